//! A sound board, and one row for each thing that can be wrong with it.

use std::time::Duration;

use coracle_core::time::Timestamp;
use coracle_host::disk::{Keeping, Space};
use coracle_host::kernel::{Attempt, Kernel};

use super::cgroups::Layout;
use super::facts::{Demanded, Trusted};
use super::{Facts, Handed, Verdict, examine, json, passed, text};

fn sound() -> Facts {
    Facts {
        handed: Handed { now: Timestamp(1_789_000_000), clock_synced: true },
        root: true,
        kernel: Kernel {
            release: "6.18.2-yocto".to_owned(),
            overlay: Attempt::Works,
            trusted_xattr: Attempt::Works,
            user_xattr: Attempt::Works,
            openat2: Attempt::Works,
            namespaces_missing: Vec::new(),
            seccomp: Attempt::Works,
        },
        cgroups: Layout::Unified { missing: Vec::new() },
        waits_counted: Ok(()),
        runtime: "crun".into(),
        runtime_version: Ok("crun version 1.26".to_owned()),
        seccomp_profile: Some("/usr/share/containers/seccomp.json".into()),
        state_dir: "/var/lib/coracle".into(),
        agent_running: Some(true),
        confines_workloads: false,
        space: Ok(Space {
            total_bytes: 8 << 30,
            free_bytes: 4 << 30,
            free_files: None,
            block_bytes: 4096,
            keeping: Keeping::Disk,
        }),
        machine_id: Some("0123456789abcdef0123456789abcdef\n".to_owned()),
        device_id: "board".to_owned(),
        named_after: Some("machine-id".to_owned()),
        unsteady: false,
        waits: None,
        trust: Trusted::Keys("for deploy this board wants 1 of the keys 0123".to_owned()),
        images: Demanded::Nothing("/usr/share/coracle/policy.json".into()),
        ca_store: Some("/etc/ssl/certs/ca-certificates.crt".into()),
        resolv_conf: Ok("nameserver 10.0.0.1\n".to_owned()),
        broker: Some(("b:1883".to_owned(), Ok(Duration::from_millis(3)))),
        registries: Vec::new(),
    }
}

#[test]
fn a_sound_board_passes_every_check() {
    let findings = examine(&sound());
    assert!(findings.iter().all(|finding| finding.verdict == Verdict::Ok), "{}", text(&findings));
    assert_eq!(json(&findings)["passed"], true);
}

#[track_caller]
fn check(name: &str, verdict: Verdict, says: &str, spoil: impl FnOnce(&mut Facts)) {
    let mut facts = sound();
    spoil(&mut facts);
    let findings = examine(&facts);
    let spoiled: Vec<_> = findings.iter().filter(|finding| finding.verdict != Verdict::Ok).collect();
    let [finding] = spoiled.as_slice() else { panic!("one finding for {name}: {spoiled:?}") };
    assert_eq!((finding.name, finding.verdict), (name, verdict));
    let remedy = finding.remedy.as_deref().unwrap_or_default();
    assert!(!remedy.is_empty());
    assert!(format!("{} -> {remedy}", finding.found).contains(says), "{finding:?}");
    assert_eq!(passed(&findings), verdict != Verdict::Fail);
}

#[test]
fn each_fault_is_found_alone_and_comes_with_what_to_do() {
    use Verdict::{Fail, Warn};
    let refused = || Attempt::Refused("no such device".to_owned());
    let space = |free_bytes, keeping| {
        Ok(Space { total_bytes: 8 << 30, free_bytes, free_files: None, block_bytes: 4096, keeping })
    };
    check("root", Warn, "sudo", |it| it.root = false);
    check("supervisor", Fail, "direct.conf", |it| it.confines_workloads = true);
    check("kernel", Warn, "5.6", |it| it.kernel.release = "4.19.0".to_owned());
    check("overlayfs", Fail, "CONFIG_OVERLAY_FS", |it| it.kernel.overlay = refused());
    check("overlayfs", Warn, "as root", |it| it.kernel.overlay = Attempt::NotTried("needs root"));
    check("trust", Warn, "decides what runs", |it| it.trust = Trusted::Anybody);
    check("trust", Warn, "no key", |it| it.trust = Trusted::Nobody("no key".to_owned()));
    check("images", Warn, "default is missing", |it| {
        it.images = Demanded::Unusable("default is missing".to_owned());
    });
    check("xattr", Fail, "extended attributes", |it| it.kernel.trusted_xattr = refused());
    check("xattr", Warn, "user_xattr", |it| it.kernel.user_xattr = refused());
    check("openat2", Warn, "slower way", |it| it.kernel.openat2 = refused());
    check("namespaces", Fail, "missing: pid", |it| it.kernel.namespaces_missing = vec!["pid"]);
    check("seccomp", Fail, "CONFIG_SECCOMP_FILTER", |it| it.kernel.seccomp = refused());
    check("cgroups", Fail, "mount cgroup2", |it| it.cgroups = Layout::None);
    check("cgroups", Fail, "crun refuses", |it| it.cgroups = Layout::Hybrid { missing: Vec::new() });
    check("cgroups", Warn, "cgroup_enable=memory", |it| {
        it.cgroups = Layout::Unified { missing: vec!["memory"] }
    });
    check("pressure", Warn, "psi=1", |it| it.waits_counted = Err("not there".to_owned()));
    check("pressure", Warn, "systemd.unified_cgroup_hierarchy=1", |it| {
        it.cgroups = Layout::Legacy { missing: Vec::new() }
    });
    check("runtime", Fail, "install crun", |it| it.runtime_version = Err("not found".to_owned()));
    check("runtime", Fail, "1.2.8", |it| it.runtime_version = Ok("runc version 1.1.5+ds1".to_owned()));
    check("runtime", Warn, "1.4.4", |it| it.runtime_version = Ok("crun version 1.4.3".to_owned()));
    check("runtime", Warn, "1.4.4", |it| it.runtime_version = Ok("crun version 0.17".to_owned()));
    check("state-dir", Fail, "in memory", |it| it.space = space(4 << 30, Keeping::Memory));
    check("state-dir", Fail, "overlay", |it| it.space = space(4 << 30, Keeping::Overlay));
    check("state-dir", Fail, "writable", |it| it.space = space(4 << 30, Keeping::ReadOnly));
    check("disk", Warn, "coracle prune", |it| it.space = space(200 << 20, Keeping::Disk));
    check("disk", Fail, "10.0 MiB free", |it| it.space = space(10 << 20, Keeping::Disk));
    check("clock", Fail, "1970", |it| it.handed.now = Timestamp(90));
    check("clock", Warn, "time service", |it| it.handed.clock_synced = false);
    check("identity", Warn, "machine-id-setup", |it| it.machine_id = None);
    check("identity", Warn, "device id board, from machine-id; /etc/machine-id lies in memory", |it| {
        it.unsteady = true;
    });
    check("identity", Warn, "broker.cert_file /c is not there", |it| {
        it.waits = Some("broker.cert_file /c is not there".to_owned());
    });
    check("agent", Warn, "systemctl start", |it| it.agent_running = Some(false));
    check("ca-store", Warn, "ca-certificates", |it| it.ca_store = None);
    check("dns", Warn, "names no server", |it| it.resolv_conf = Ok("search lan\n".to_owned()));
    check("broker", Warn, "broker.url", |it| it.broker = None);
    check("broker", Fail, "refused", |it| it.broker = Some(("b:1".to_owned(), Err("refused".to_owned()))));
    check("registry", Fail, "r:5000", |it| {
        it.registries = vec![("r:5000".to_owned(), Err("away".to_owned()))];
    });
}

#[test]
fn newer_runtimes_are_good() {
    for line in [
        "runc version 1.2.8",
        "runc version 1.3.3",
        "runc version 1.10.0",
        "crun version 1.8.1",
        "crun version 1.5",
    ] {
        let facts = Facts { runtime_version: Ok(line.to_owned()), ..sound() };
        assert!(examine(&facts).iter().all(|finding| finding.verdict == Verdict::Ok), "{line}");
    }
}

#[test]
fn the_layout_of_control_groups_is_read_from_the_mounts() {
    let v2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    let memory = "31 23 0:27 / /sys/fs/cgroup/memory rw shared:5 - cgroup cgroup rw,memory\n";
    let rest = "32 23 0:28 / /sys/fs/cgroup/x rw - cgroup cgroup rw,cpu,cpuacct\n33 23 0:29 / /sys/fs/cgroup/p rw - cgroup cgroup rw,pids\n";
    let named = "34 23 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n";
    let rows = [
        (String::new(), "", Layout::None),
        (v2.to_owned(), "cpuset cpu io memory pids", Layout::Unified { missing: vec![] }),
        (v2.to_owned(), "cpu pids", Layout::Unified { missing: vec!["memory"] }),
        (format!("{memory}{rest}{named}"), "", Layout::Legacy { missing: vec![] }),
        (memory.to_owned(), "", Layout::Legacy { missing: vec!["cpu", "pids"] }),
        (format!("{v2}{memory}{rest}"), "hugetlb", Layout::Hybrid { missing: vec![] }),
        (format!("{v2}{named}"), "cpu memory pids", Layout::Unified { missing: vec![] }),
    ];
    for (mounts, controllers, layout) in rows {
        assert_eq!(Layout::read(&mounts, controllers), layout, "{mounts}");
    }
}
