// Rows read better without a reference before each value.
#![allow(clippy::needless_pass_by_value)]

use serde_json::{Value, json};

use super::*;
use crate::compose::{
    Condition, Device, FailureAction, Healthcheck, Mount, Probe, Probed, Resources, Restart, Timing, Ulimit,
    UpdateConfig, UpdateOrder,
};

fn project() -> ProjectName {
    ProjectName::parse("shop").unwrap()
}

fn read(document: &Value) -> Result<Project, ComposeError> {
    parse(&project(), document, &Defaults { network: Some(NetworkMode::Host) })
}

/// A document with one service, `web`, with these keys beside its image.
fn with(keys: &Value) -> Value {
    let mut service = json!({ "image": "nginx" });
    service.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    json!({ "services": { "web": service, "db": { "image": "db" } }, "volumes": { "data": null } })
}

/// These keys set just what `change` sets.
#[track_caller]
fn sets(keys: Value, change: impl Fn(&mut Service)) {
    let parsed = read(&with(&keys)).unwrap();
    let mut want = Service::new("nginx", NetworkMode::Host);
    change(&mut want);
    assert_eq!(parsed.services[&ServiceName::parse("web").unwrap()], want, "{keys}");
}

/// These keys are refused at this path of the service.
#[track_caller]
fn refused(keys: Value, path: &str) {
    let error = read(&with(&keys)).unwrap_err();
    assert_eq!(error.path, format!("services.web.{path}"), "{keys}: {error}");
}

/// This whole document is refused at this path.
#[track_caller]
fn document_refused(document: Value, path: &str) {
    assert_eq!(read(&document).unwrap_err().path, path, "{document}");
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[test]
fn a_service_needs_nothing_but_its_image() {
    sets(json!({}), |_| {});
    sets(json!({ "x-note": { "any": [1] }, "command": null, "init": false }), |_| {});
    document_refused(json!({ "services": { "web": {} } }), "services.web.image");
    for image in [json!(""), json!("a b"), json!("${REF}"), json!(7), json!("x".repeat(600))] {
        document_refused(json!({ "services": { "web": { "image": image } } }), "services.web.image");
    }
}

#[test]
fn the_process_is_written_as_a_line_or_a_list() {
    sets(json!({ "command": "nginx -g 'daemon off;'" }), |s| {
        s.command = Some(texts(&["nginx", "-g", "daemon off;"]));
    });
    sets(json!({ "command": ["sleep", 5] }), |s| s.command = Some(texts(&["sleep", "5"])));
    sets(json!({ "entrypoint": [], "command": "" }), |s| {
        s.entrypoint = Some(Vec::new());
        s.command = Some(Vec::new());
    });
    sets(json!({ "entrypoint": "/bin/sh -c" }), |s| s.entrypoint = Some(texts(&["/bin/sh", "-c"])));
    sets(json!({ "working_dir": "/srv//app/" }), |s| s.working_dir = Some("/srv/app".to_owned()));
    sets(json!({ "user": 1000 }), |s| s.user = Some("1000".to_owned()));
    sets(json!({ "user": "www:www" }), |s| s.user = Some("www:www".to_owned()));
    sets(json!({ "tty": true, "stdin_open": true, "read_only": true }), |s| {
        (s.tty, s.stdin_open, s.read_only) = (true, true, true);
    });
    refused(json!({ "command": "a && b" }), "command");
    refused(json!({ "command": ["a", ["b"]] }), "command[1]");
    refused(json!({ "command": ["a\u{0}"] }), "command[0]");
    refused(json!({ "working_dir": "srv" }), "working_dir");
    refused(json!({ "tty": "yes" }), "tty");
}

#[test]
fn environment_and_labels_are_maps_or_lists() {
    let want = |s: &mut Service| {
        s.environment =
            [("A", "1"), ("B", "x=y"), ("C", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    };
    sets(json!({ "environment": { "A": 1, "B": "x=y", "C": "" } }), want);
    sets(json!({ "environment": ["A=1", "B=x=y", "C="] }), want);
    sets(json!({ "environment": { "ON": true } }), |s| {
        s.environment = [("ON".to_owned(), "true".to_owned())].into();
    });
    sets(json!({ "labels": ["a=b", "bare"] }), |s| {
        s.labels = [("a", "b"), ("bare", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    });
    refused(json!({ "environment": ["A"] }), "environment[0]");
    refused(json!({ "environment": { "A": null } }), "environment.A");
    refused(json!({ "environment": ["A=1", "A=2"] }), "environment[1]");
    refused(json!({ "environment": ["=1"] }), "environment[0]");
    refused(json!({ "environment": { "A": [] } }), "environment.A");
    refused(json!({ "environment": { "A": "x".repeat(9000) } }), "environment.A");
    refused(json!({ "labels": vec!["a=b"; 300] }), "labels");
}

#[test]
fn the_network_is_the_boards_or_none() {
    sets(json!({ "network_mode": "none" }), |s| s.network_mode = NetworkMode::None);
    sets(json!({ "hostname": "board-1" }), |s| s.hostname = Some("board-1".to_owned()));
    let want = |s: &mut Service| s.extra_hosts = vec![("a.example".to_owned(), "127.0.0.1".parse().unwrap())];
    sets(json!({ "extra_hosts": ["a.example:127.0.0.1"] }), want);
    sets(json!({ "extra_hosts": ["a.example=127.0.0.1"] }), want);
    sets(json!({ "extra_hosts": { "a.example": "127.0.0.1" } }), want);
    sets(json!({ "extra_hosts": { "a.example": ["127.0.0.1"] } }), want);
    sets(json!({ "dns": "9.9.9.9" }), |s| s.dns = vec!["9.9.9.9".parse().unwrap()]);
    sets(json!({ "dns": ["9.9.9.9", "::1"] }), |s| {
        s.dns = vec!["9.9.9.9".parse().unwrap(), "::1".parse().unwrap()];
    });
    refused(json!({ "network_mode": "bridge" }), "network_mode");
    refused(json!({ "network_mode": "container:x" }), "network_mode");
    refused(json!({ "ports": ["80:80"] }), "ports");
    refused(json!({ "networks": ["front"] }), "networks");
    refused(json!({ "dns": ["one"] }), "dns[0]");
    refused(json!({ "extra_hosts": { "a": "b" } }), "extra_hosts.a");
    let silent = parse(&project(), &with(&json!({})), &Defaults::default()).unwrap_err();
    assert_eq!(silent.path, "services.db.network_mode");
}

#[test]
fn volumes_have_a_short_and_a_long_form() {
    let bind =
        |create| Mount::Bind { source: "/h".to_owned(), target: "/c".to_owned(), read_only: true, create };
    sets(json!({ "volumes": ["/h:/c:ro"] }), |s| s.mounts = vec![bind(true)]);
    let long = json!({ "type": "bind", "source": "/h", "target": "/c", "read_only": true });
    sets(json!({ "volumes": [long] }), |s| s.mounts = vec![bind(true)]);
    let long = json!({ "type": "bind", "source": "/h", "target": "/c", "read_only": true,
        "bind": { "create_host_path": false, "propagation": "rprivate" } });
    sets(json!({ "volumes": [long] }), |s| s.mounts = vec![bind(false)]);
    let volume = |s: &mut Service| {
        let name = VolumeName::parse("data").unwrap();
        s.mounts = vec![Mount::Volume { name, target: "/d".to_owned(), read_only: false }];
    };
    sets(json!({ "volumes": ["data:/d"] }), volume);
    sets(json!({ "volumes": [{ "type": "volume", "source": "data", "target": "/d" }] }), volume);
    let tmpfs = |s: &mut Service| {
        let (size_bytes, mode) = (Some(1 << 20), Some(0o700));
        s.mounts = vec![Mount::Tmpfs { target: "/t".to_owned(), size_bytes, mode, noexec: true }];
    };
    sets(json!({ "tmpfs": "/t:size=1m,mode=700" }), tmpfs);
    sets(json!({ "tmpfs": ["/t:size=1m,mode=700"] }), tmpfs);
    let long = json!({ "type": "tmpfs", "target": "/t", "tmpfs": { "size": 1_048_576, "mode": 0o700 } });
    sets(json!({ "volumes": [long] }), tmpfs);
    let long = json!({ "type": "tmpfs", "target": "/t", "tmpfs": { "size": "1m", "mode": "0700" } });
    sets(json!({ "volumes": [long] }), tmpfs);
}

#[test]
fn volumes_that_leave_their_place_are_refused() {
    refused(json!({ "volumes": ["cache:/d"] }), "volumes[0]");
    refused(json!({ "volumes": ["/a:/x", "/b:/x/"] }), "volumes[1]");
    refused(json!({ "volumes": ["/a:/x"], "tmpfs": "/x" }), "tmpfs");
    refused(json!({ "volumes": ["/a/../b:/x"] }), "volumes[0]");
    refused(json!({ "volumes": "data:/d" }), "volumes");
    refused(json!({ "volumes": [{ "source": "/h", "target": "/c" }] }), "volumes[0].type");
    refused(json!({ "volumes": [{ "type": "npipe", "target": "/c" }] }), "volumes[0].type");
    refused(json!({ "volumes": [{ "type": "bind", "target": "/c" }] }), "volumes[0].source");
    refused(json!({ "volumes": [{ "type": "volume", "target": "/c" }] }), "volumes[0].source");
    refused(json!({ "volumes": [{ "type": "bind", "source": "h", "target": "/c" }] }), "volumes[0].source");
    refused(json!({ "volumes": [{ "type": "tmpfs", "target": "/c", "source": "x" }] }), "volumes[0].source");
    let selinux = json!({ "type": "bind", "source": "/h", "target": "/c", "bind": { "selinux": "z" } });
    refused(json!({ "volumes": [selinux] }), "volumes[0].bind.selinux");
    let copy = json!({ "type": "volume", "source": "data", "target": "/c", "volume": { "nocopy": true } });
    refused(json!({ "volumes": [copy] }), "volumes[0].volume");
}

#[test]
fn security_settings_have_one_form_each() {
    sets(json!({ "cap_add": ["NET_ADMIN", "CAP_CHOWN", "net_admin"], "cap_drop": ["ALL"] }), |s| {
        s.cap_add = texts(&["CHOWN", "NET_ADMIN"]);
        s.cap_drop = texts(&["ALL"]);
    });
    sets(json!({ "privileged": true }), |s| s.privileged = true);
    sets(json!({ "security_opt": ["no-new-privileges:true", "seccomp=unconfined"] }), |s| {
        (s.no_new_privileges, s.seccomp_unconfined) = (true, true);
    });
    let device = |s: &mut Service| {
        let (source, target) = ("/dev/ttyS0".to_owned(), "/dev/tty0".to_owned());
        s.devices = vec![Device { source, target, permissions: "rw".to_owned() }];
    };
    sets(json!({ "devices": ["/dev/ttyS0:/dev/tty0:rw"] }), device);
    let long = json!({ "source": "/dev/ttyS0", "target": "/dev/tty0", "permissions": "rw" });
    sets(json!({ "devices": [long] }), device);
    let sysctls = |s: &mut Service| s.sysctls = [("kernel.msgmax".to_owned(), "9".to_owned())].into();
    sets(json!({ "sysctls": { "kernel.msgmax": 9 } }), sysctls);
    sets(json!({ "sysctls": ["kernel.msgmax=9"] }), sysctls);
    sets(json!({ "network_mode": "none", "sysctls": { "net.core.somaxconn": "9" } }), |s| {
        s.network_mode = NetworkMode::None;
        s.sysctls = [("net.core.somaxconn".to_owned(), "9".to_owned())].into();
    });
    refused(json!({ "cap_add": ["FLY"] }), "cap_add[0]");
    refused(json!({ "security_opt": ["label=disable"] }), "security_opt[0]");
    refused(json!({ "devices": ["ttyS0"] }), "devices[0]");
    refused(json!({ "devices": [{ "target": "/dev/x" }] }), "devices[0].source");
    refused(json!({ "sysctls": { "kernel.panic": 1 } }), "sysctls.kernel.panic");
    refused(json!({ "sysctls": { "net.core.somaxconn": 1 } }), "sysctls.net.core.somaxconn");
}

#[test]
fn limits_are_written_at_the_top_or_under_deploy() {
    let want = |s: &mut Service| {
        s.resources = Resources {
            memory_bytes: Some(64 << 20),
            memory_reservation_bytes: Some(32 << 20),
            cpu_milli: Some(500),
            pids: Some(100),
        };
    };
    sets(json!({ "mem_limit": "64m", "mem_reservation": "32m", "cpus": 0.5, "pids_limit": 100 }), want);
    let deploy = json!({ "resources": { "limits": { "memory": "64m", "cpus": "0.5", "pids": 100 },
        "reservations": { "memory": "32m" } } });
    sets(json!({ "deploy": deploy }), want);
    sets(json!({ "deploy": deploy, "mem_limit": 64 << 20 }), want);
    refused(json!({ "deploy": deploy, "mem_limit": "65m" }), "deploy.resources.limits.memory");
    refused(json!({ "mem_limit": "lots" }), "mem_limit");
    refused(json!({ "cpus": 0 }), "cpus");
    refused(json!({ "memswap_limit": "1g" }), "memswap_limit");
    refused(json!({ "deploy": { "replicas": 2 } }), "deploy.replicas");
    refused(json!({ "deploy": { "restart_policy": {} } }), "deploy.restart_policy");
    refused(
        json!({ "deploy": { "resources": { "reservations": { "cpus": "1" } } } }),
        "deploy.resources.reservations.cpus",
    );
    let above = json!({ "mem_limit": "1m", "mem_reservation": "2m" });
    assert_eq!(read(&with(&above)).unwrap_err().path, "services.web");
    sets(json!({ "ulimits": { "nofile": { "soft": 10, "hard": 20 }, "core": 0 } }), |s| {
        s.ulimits = [("nofile", 10, 20), ("core", 0, 0)]
            .map(|(name, soft, hard)| (name.to_owned(), Ulimit { soft, hard }))
            .into();
    });
    refused(json!({ "ulimits": { "files": 1 } }), "ulimits.files");
    refused(json!({ "ulimits": { "nofile": { "soft": 1 } } }), "ulimits.nofile.hard");
}

#[test]
fn updates_are_described_under_deploy() {
    let deploy =
        json!({ "update_config": { "order": "start-first", "monitor": "1m", "failure_action": "pause" } });
    sets(json!({ "deploy": deploy }), |s| {
        s.update = UpdateConfig {
            order: UpdateOrder::StartFirst,
            monitor_ms: Some(60_000),
            failure_action: FailureAction::Pause,
        };
    });
    sets(json!({ "deploy": { "update_config": { "order": "stop-first" } } }), |_| {});
    refused(json!({ "deploy": { "update_config": { "order": "first" } } }), "deploy.update_config.order");
    refused(
        json!({ "deploy": { "update_config": { "parallelism": 2 } } }),
        "deploy.update_config.parallelism",
    );
}

#[test]
fn starting_and_stopping_are_dockers() {
    sets(json!({ "restart": "on-failure:3" }), |s| s.restart = Restart::OnFailure { max: Some(3) });
    sets(json!({ "restart": "always" }), |s| s.restart = Restart::Always);
    sets(json!({ "restart": false }), |s| s.restart = Restart::No);
    sets(json!({ "stop_signal": "int", "stop_grace_period": "1m30s" }), |s| {
        s.stop_signal = Some("SIGINT".to_owned());
        s.stop_grace_ms = 90_000;
    });
    sets(json!({ "logging": { "driver": "journald" } }), |_| {});
    let db = || ServiceName::parse("db").unwrap();
    sets(json!({ "depends_on": ["db"] }), |s| s.depends_on = [(db(), Condition::ServiceStarted)].into());
    sets(json!({ "depends_on": { "db": { "condition": "service_healthy", "required": true } } }), |s| {
        s.depends_on = [(db(), Condition::ServiceHealthy)].into();
    });
    refused(json!({ "stop_grace_period": "61m" }), "stop_grace_period");
    refused(json!({ "restart": true }), "restart");
    refused(json!({ "init": true }), "init");
    refused(json!({ "logging": { "driver": "syslog" } }), "logging.driver");
    refused(json!({ "logging": { "options": {} } }), "logging.options");
    refused(json!({ "depends_on": ["cache"] }), "depends_on");
    refused(json!({ "depends_on": ["web"] }), "depends_on");
    refused(json!({ "depends_on": { "db": { "required": false } } }), "depends_on.db.required");
    let endless = json!({ "services": { "db": { "image": "x", "restart": "always" }, "web": { "image": "x",
        "depends_on": { "db": { "condition": "service_completed_successfully" } } } } });
    document_refused(endless, "services.web.depends_on.db.condition");
    let circle = json!({ "services": {
        "a": { "image": "x", "depends_on": ["b"] }, "b": { "image": "x", "depends_on": ["a"] } } });
    document_refused(circle, "services.a.depends_on");
}

#[test]
fn a_health_check_is_a_line_a_list_or_off() {
    let check = |test: &[&str]| Healthcheck {
        test: texts(test),
        interval_ms: 30_000,
        timeout_ms: 30_000,
        retries: 3,
        start_period_ms: 0,
        start_interval_ms: None,
    };
    sets(json!({ "healthcheck": { "test": "curl x || exit 1" } }), |s| {
        s.healthcheck = Some(check(&["CMD-SHELL", "curl x || exit 1"]));
    });
    let full = json!({ "test": ["CMD", "true"], "interval": "5s", "timeout": "1s", "retries": 1,
        "start_period": "0", "start_interval": "2s" });
    sets(json!({ "healthcheck": full }), |s| {
        s.healthcheck = Some(Healthcheck {
            interval_ms: 5_000,
            timeout_ms: 1_000,
            retries: 1,
            start_interval_ms: Some(2_000),
            ..check(&["CMD", "true"])
        });
    });
    sets(json!({ "healthcheck": { "disable": true } }), |s| s.healthcheck = Some(check(&["NONE"])));
    refused(json!({ "healthcheck": { "test": ["true"] } }), "healthcheck.test");
    refused(json!({ "healthcheck": { "interval": "5s" } }), "healthcheck.test");
    refused(json!({ "healthcheck": { "disable": true, "test": "x" } }), "healthcheck.test");
    refused(json!({ "healthcheck": { "test": "x", "interval": "0" } }), "healthcheck.interval");
    refused(json!({ "healthcheck": { "test": "x", "start_interval": "0" } }), "healthcheck.start_interval");
    refused(json!({ "healthcheck": { "test": "x", "period": "5s" } }), "healthcheck.period");
}

#[test]
fn a_probe_asks_a_port_or_a_page() {
    let timing = Timing {
        interval_ms: 30_000,
        timeout_ms: 30_000,
        retries: 3,
        start_period_ms: 0,
        start_interval_ms: None,
    };
    sets(json!({ "x-coracle-probe": { "tcp": { "port": 80 } } }), |s| {
        s.probe = Some(Probe { probed: Probed::Tcp { port: 80 }, timing });
    });
    sets(json!({ "x-coracle-probe": { "http": { "port": 80 }, "interval": "5s" } }), |s| {
        let probed = Probed::Http { port: 80, path: "/".to_owned(), status: None };
        s.probe = Some(Probe { probed, timing: Timing { interval_ms: 5_000, ..timing } });
    });
    let full = json!({ "http": { "port": 8080, "path": "/up?deep=1", "scheme": "http", "status": 204 },
        "timeout": "1s", "retries": 1, "start_period": "1m" });
    sets(json!({ "x-coracle-probe": full }), |s| {
        let probed = Probed::Http { port: 8080, path: "/up?deep=1".to_owned(), status: Some(204) };
        let timing = Timing { timeout_ms: 1_000, retries: 1, start_period_ms: 60_000, ..timing };
        s.probe = Some(Probe { probed, timing });
    });
    let bad = |probe: Value, path: &str| {
        refused(json!({ "x-coracle-probe": probe }), &format!("x-coracle-probe{path}"));
    };
    bad(json!({}), "");
    bad(json!({ "http": { "port": 80 }, "tcp": { "port": 80 } }), "");
    bad(json!({ "tcp": {} }), ".tcp.port");
    bad(json!({ "tcp": { "port": 65_536 } }), ".tcp.port");
    bad(json!({ "tcp": { "port": "80" } }), ".tcp.port");
    bad(json!({ "tcp": { "port": 80, "host": "db" } }), ".tcp.host");
    bad(json!({ "http": { "port": 0 } }), ".http.port");
    bad(json!({ "http": { "port": 80, "path": "up" } }), ".http.path");
    bad(json!({ "http": { "port": 80, "path": "/a b" } }), ".http.path");
    bad(json!({ "http": { "port": 80, "scheme": "https" } }), ".http.scheme");
    bad(json!({ "http": { "port": 80, "status": 99 } }), ".http.status");
    bad(json!({ "tcp": { "port": 80 }, "interval": "0" }), ".interval");
    bad(json!({ "tcp": { "port": 80 }, "test": "x" }), ".test");
    let both = json!({ "healthcheck": { "test": "x" }, "x-coracle-probe": { "tcp": { "port": 80 } } });
    refused(both, "x-coracle-probe");
    refused(json!({ "x-coracle-prob": {} }), "x-coracle-prob");
    sets(json!({ "x-other": {} }), |_| {});
}

#[test]
fn what_is_not_supported_is_refused_with_its_path() {
    for key in [
        "annotations",
        "blkio_config",
        "build",
        "cgroup",
        "cgroup_parent",
        "configs",
        "container_name",
        "cpu_shares",
        "cpuset",
        "develop",
        "domainname",
        "env_file",
        "expose",
        "extends",
        "external_links",
        "gpus",
        "group_add",
        "ipc",
        "links",
        "mac_address",
        "networks",
        "oom_kill_disable",
        "oom_score_adj",
        "pid",
        "platform",
        "profiles",
        "provider",
        "pull_policy",
        "runtime",
        "scale",
        "secrets",
        "shm_size",
        "userns_mode",
        "uts",
        "volumes_from",
        "Image",
        "",
    ] {
        let mut keys = json!({});
        keys[key] = json!("x");
        refused(keys, key);
    }
    document_refused(json!([]), "document");
    document_refused(json!({}), "document");
    document_refused(json!({ "services": [] }), "services");
    document_refused(json!({ "services": { "a/b": { "image": "x" } } }), "services.a/b");
    document_refused(json!({ "services": {}, "networks": {} }), "networks");
    document_refused(json!({ "services": {}, "include": [] }), "include");
    document_refused(json!({ "services": {}, "name": "other" }), "name");
    document_refused(
        json!({ "services": {}, "volumes": { "a": { "external": true } } }),
        "volumes.a.external",
    );
    document_refused(json!({ "services": {}, "volumes": { "a": { "driver": "nfs" } } }), "volumes.a.driver");
    let many: serde_json::Map<_, _> = (0..65).map(|n| (format!("s{n}"), json!({ "image": "x" }))).collect();
    document_refused(json!({ "services": many }), "services");
}

#[test]
fn the_top_of_a_document_may_carry_its_name_and_remarks() {
    let document = json!({ "name": "shop", "version": "3.8", "x-team": 1, "services": {},
        "volumes": { "data": { "driver": "local", "labels": { "a": 1 } } } });
    let parsed = read(&document).unwrap();
    assert_eq!(parsed.volumes[&VolumeName::parse("data").unwrap()].labels["a"], "1");
}

#[test]
fn a_parsed_project_is_saved_and_read_back_the_same() {
    let document = with(&json!({ "restart": "on-failure:3", "volumes": ["data:/d"], "tmpfs": "/t",
        "extra_hosts": ["a:::1"], "healthcheck": { "test": "x" }, "depends_on": ["db"] }));
    let parsed = read(&document).unwrap();
    let saved = serde_json::to_string(&parsed).unwrap();
    assert_eq!(serde_json::from_str::<Project>(&saved).unwrap(), parsed);
}
