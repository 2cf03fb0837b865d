//! What services are asked to be, and what a board is asked to do: Compose, commands, users.

use coracle_core::bundle::user::resolve;
use coracle_core::bundle::{BundleInput, CapabilitySet, Means, ProcessUser, config_json};
use coracle_core::command::{Facts, Intake, Message, Origin, Reply, Verb, console};
use coracle_core::compose::{Defaults, NetworkMode, Project, Service, parse};
use coracle_core::desired::Clock;
use coracle_core::ident::{GroupName, ProjectName};
use coracle_core::limits::{REPLY_BYTES_MAX, SERVICES_MAX};
use coracle_core::oci::config::ExecConfig;
use coracle_core::service_unit::{DropIn, drop_in, unit_name};
use coracle_core::time::Timestamp;
use serde_json::{Value, json};

use crate::told::{fault, told};

/// A Compose document: the same once saved and read, a bundle for each service, and a unit without a line of its own.
pub(crate) fn compose(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    let name = ProjectName::parse("shop").expect("a name");
    let project = match parse(&name, &value, &Defaults { network: Some(NetworkMode::None) }) {
        Ok(project) => project,
        Err(error) => return told(&error),
    };
    assert!(project.services.len() <= SERVICES_MAX);
    let json = serde_json::to_vec(&project).expect("JSON");
    assert_eq!(serde_json::from_slice::<Project>(&json).expect("the same"), project);
    for (name, service) in &project.services {
        bundle(service);
        unit(&format!("shop.{name}"), service);
    }
}

fn bundle(service: &Service) {
    let means = Means {
        capabilities: CapabilitySet::all(),
        device_rules: true,
        swap_limit: true,
        pids_limit: true,
        mqueue: true,
        recursive_read_only: true,
        cpus: 2,
    };
    let (user, sources) = (
        ProcessUser { uid: 0, gid: 0, groups: vec![0], home: "/".to_owned() },
        service.mounts.iter().map(|_| Some("/x".to_owned())),
    );
    let exec = ExecConfig { cmd: vec!["/bin/sh".to_owned()], ..ExecConfig::default() };
    let input = BundleInput {
        workload: "shop.web",
        service,
        exec: &exec,
        user: &user,
        rootfs: "rootfs",
        host_name: "web",
        etc: "etc",
        sources: &sources.collect::<Vec<_>>(),
        devices: &[],
        cgroup_path: "coracle/shop.web",
        seccomp: None,
        means: &means,
    };
    match config_json(&input) {
        Ok(config) => {
            let asks = |key: &str| config.pointer(key).and_then(Value::as_bool);
            assert_eq!(asks("/root/readonly"), Some(service.read_only));
            // Whoever is not privileged gets neither all capabilities nor an open view of the kernel.
            if !service.privileged {
                assert!(
                    config
                        .pointer("/linux/maskedPaths")
                        .and_then(Value::as_array)
                        .is_some_and(|it| !it.is_empty())
                );
            }
        }
        Err(error) => told(&error),
    }
}

/// Every line of a unit is one of the template's: nothing that a document says begins another.
fn unit(workload: &str, service: &Service) {
    const KEYS: [&str; 11] = [
        "# ",
        "[Unit]",
        "[Service]",
        "Description=",
        "After=",
        "Restart=",
        "TimeoutStopSec=",
        "MemoryMax=",
        "MemoryLow=",
        "CPUQuota=",
        "TasksMax=",
    ];
    let after = [workload.to_owned()];
    let text = drop_in(&DropIn { workload, service, after: &after, command: None });
    for line in text.lines().filter(|line| !line.is_empty()) {
        assert!(KEYS.iter().any(|key| line.starts_with(key)), "{line:?}");
    }
    let name = unit_name(workload);
    assert!(name.chars().all(|c| c.is_ascii_graphic() && c != '/'), "{name:?}");
}

/// A command on each topic and at the console: what is taken is of its time and answered in bounds.
pub(crate) fn command(data: &[u8]) {
    let Some((flags, payload)) = data.split_first() else { return };
    let group = Origin::Group(GroupName::parse("pumps").expect("a name"));
    let clock =
        Clock { synced: Some(Timestamp(1_789_000_010)), built: Timestamp(1), newest_issued: Timestamp(2) };
    let facts = Facts { device: "pump-7", clock, now_ms: 1_000_000 };
    for origin in [&Origin::Device, &group] {
        for verb in Verb::ALL.iter().map(|verb| verb.wire()).chain(["nonsense"]) {
            let (retained, mut intake) = (flags & 1 != 0, Intake::default());
            let message = Message { origin, verb, payload, retained };
            match intake.take(message, &facts) {
                Ok(command) => {
                    assert!(!retained && command.action.verb().is_for(origin));
                    assert!(command.id.as_deref().is_some_and(|id| !id.is_empty()));
                    assert!(intake.take(message, &facts).is_err(), "taken twice");
                    answered(command.id.as_deref(), verb);
                }
                Err(refusal) => {
                    fault(&refusal.fault);
                    let reply =
                        Reply::new(refusal.id.as_deref(), "refresh", Timestamp(7), Err(*refusal.fault));
                    assert!(reply.to_bytes().len() <= REPLY_BYTES_MAX);
                }
            }
        }
    }
    match console(payload) {
        Ok(command) => assert_eq!((command.origin, command.delay_s), (Origin::Console, 0)),
        Err(error) => fault(&error),
    }
}

fn answered(id: Option<&str>, verb: &str) {
    let reply = Reply::new(id, verb, Timestamp(7), Ok(json!({ "x": "y".repeat(REPLY_BYTES_MAX) })));
    assert!(reply.to_bytes().len() <= REPLY_BYTES_MAX);
}

/// Who an image says its process is: the first line is what is asked for, then `passwd`, then after a zero `group`.
pub(crate) fn user(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (asked, files) = text.split_once('\n').unwrap_or((&text, ""));
    let (passwd, group) = files.split_once('\0').unwrap_or((files, ""));
    match resolve(asked, passwd, group) {
        Ok(user) => {
            let most = i32::MAX.cast_unsigned();
            assert!(user.uid <= most && user.groups.iter().all(|group| *group <= most));
            assert!(user.groups.first() == Some(&user.gid) && user.home.starts_with('/'));
        }
        Err(error) => told(&error),
    }
}
