use serde_json::{Value, json};

use super::user::{UserError, resolve};
use super::*;
use crate::compose::{Mount, NetworkMode, Resources, Ulimit};

fn means() -> Means {
    Means {
        capabilities: CapabilitySet::all(),
        device_rules: true,
        swap_limit: true,
        pids_limit: true,
        mqueue: true,
        recursive_read_only: true,
        cpus: 2,
    }
}

/// A case: a service and what surrounds it, each changed by the row.
struct Case {
    service: Service,
    exec: ExecConfig,
    user: ProcessUser,
    sources: Vec<Option<String>>,
    devices: Vec<DeviceNode>,
    means: Means,
}

impl Case {
    fn new() -> Self {
        let exec = ExecConfig {
            entrypoint: vec!["/entry".to_owned()],
            cmd: vec!["serve".to_owned()],
            env: vec!["PATH=/bin".to_owned(), "A=image".to_owned(), "=odd".to_owned(), "bare".to_owned()],
            working_dir: "srv".to_owned(),
            ..ExecConfig::default()
        };
        let user = ProcessUser { uid: 0, gid: 0, groups: vec![0], home: "/root".to_owned() };
        let service = Service::new("nginx", NetworkMode::Host);
        Self { service, exec, user, sources: Vec::new(), devices: Vec::new(), means: means() }
    }

    fn config(&self) -> Result<Value, BundleError> {
        config_json(&BundleInput {
            workload: "shop.web",
            service: &self.service,
            exec: &self.exec,
            user: &self.user,
            rootfs: "/run/rootfs",
            host_name: "board",
            etc: "/run/etc",
            sources: &self.sources,
            devices: &self.devices,
            cgroup_path: "/coracle/shop.web",
            seccomp: Some(&json!({ "defaultAction": "SCMP_ACT_ERRNO" })),
            means: &self.means,
        })
    }
}

/// After `change`, the config has `want` at `pointer`; null stands for nothing.
#[track_caller]
fn check(change: impl FnOnce(&mut Case), pointer: &str, want: &Value) {
    let mut case = Case::new();
    change(&mut case);
    let config = case.config().unwrap();
    assert_eq!(config.pointer(pointer).unwrap_or(&Value::Null), want, "{pointer}");
}

/// After `change`, the mount at `target` has this type, source and these options.
#[track_caller]
fn mount(change: impl FnOnce(&mut Case), target: &str, want: (&str, &str, &[&str])) {
    let mut case = Case::new();
    change(&mut case);
    let config = case.config().unwrap();
    let mounts = config["mounts"].as_array().unwrap();
    let found: Vec<_> = mounts.iter().filter(|mount| mount["destination"] == target).collect();
    let want = json!({ "destination": target, "type": want.0, "source": want.1, "options": want.2 });
    assert_eq!(found, [&want]);
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn nothing(_: &mut Case) {}

#[test]
fn an_entrypoint_of_the_service_takes_the_images_command_away() {
    let args = "/process/args";
    check(nothing, args, &json!(["/entry", "serve"]));
    check(|c| c.service.command = Some(words(&["x"])), args, &json!(["/entry", "x"]));
    check(|c| c.service.command = Some(words(&[])), args, &json!(["/entry"]));
    check(|c| c.service.entrypoint = Some(words(&["/own", "-a"])), args, &json!(["/own", "-a"]));
    check(
        |c| {
            c.service.entrypoint = Some(words(&[]));
            c.service.command = Some(words(&["sh"]));
        },
        args,
        &json!(["sh"]),
    );
    for (entrypoint, command) in [(Some(&[][..]), None), (Some(&[""][..]), None)] {
        let mut case = Case::new();
        (case.service.entrypoint, case.service.command) = (entrypoint.map(words), command);
        assert_eq!(case.config(), Err(BundleError::NoCommand));
    }
}

#[test]
fn the_environment_is_dockers_then_the_images_then_the_services() {
    let plain = json!(["PATH=/bin", "HOSTNAME=board", "HOME=/root", "A=image"]);
    check(nothing, "/process/env", &plain);
    let own = |c: &mut Case| {
        c.exec.env = words(&["A=1", "A=2"]);
        c.service.environment =
            [("HOME", "/h"), ("B", "x=y")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        c.service.tty = true;
    };
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let want = json!([path, "HOSTNAME=board", "TERM=xterm", "HOME=/h", "A=2", "B=x=y"]);
    check(own, "/process/env", &want);
}

#[test]
fn the_process_is_where_and_who_it_is_told_to_be() {
    check(nothing, "/process/cwd", &json!("/srv"));
    check(|c| c.exec.working_dir.clear(), "/process/cwd", &json!("/"));
    check(|c| c.service.working_dir = Some("/own".to_owned()), "/process/cwd", &json!("/own"));
    check(nothing, "/process/user", &json!({ "uid": 0, "gid": 0, "additionalGids": [0] }));
    check(|c| c.service.tty = true, "/process/terminal", &json!(true));
    check(nothing, "/process/terminal", &json!(false));
    check(|c| c.service.no_new_privileges = true, "/process/noNewPrivileges", &json!(true));
    let limits = |c: &mut Case| {
        c.service.ulimits = [("core", 0, 0), ("nofile", 10, -1)]
            .map(|(name, soft, hard)| (name.to_owned(), Ulimit { soft, hard }))
            .into();
    };
    let want = json!([{ "type": "RLIMIT_CORE", "soft": 0, "hard": 0 },
        { "type": "RLIMIT_NOFILE", "soft": 10, "hard": u64::MAX }]);
    check(limits, "/process/rlimits", &want);
    check(nothing, "/hostname", &json!("board"));
    check(nothing, "/annotations", &json!({ "coracle.workload": "shop.web" }));
    check(nothing, "/root", &json!({ "path": "/run/rootfs", "readonly": false }));
    check(|c| c.service.read_only = true, "/root/readonly", &json!(true));
}

/// The names a process gets as root.
#[track_caller]
fn capabilities(change: impl FnOnce(&mut Case), want: &[&str]) {
    let mut case = Case::new();
    change(&mut case);
    let set = case.config().unwrap()["process"]["capabilities"].clone();
    let mut want: Vec<String> = want.iter().map(|name| format!("CAP_{name}")).collect();
    let mut got: Vec<String> = serde_json::from_value(set["bounding"].clone()).unwrap();
    want.sort();
    got.sort();
    assert_eq!(got, want);
    assert_eq!((&set["effective"], &set["permitted"]), (&set["bounding"], &set["bounding"]));
    assert_eq!((&set["inheritable"], &set["ambient"]), (&json!([]), &json!([])));
}

#[test]
fn capabilities_are_added_and_dropped_as_docker_does() {
    let all = capability::ALL;
    let default = capability::DEFAULT;
    let without = |names: &[&'static str], less: &[&str]| -> Vec<&'static str> {
        names.iter().copied().filter(|name| !less.contains(name)).collect()
    };
    capabilities(nothing, &default);
    capabilities(|c| c.service.cap_add = words(&["NET_ADMIN"]), &[&default[..], &["NET_ADMIN"]].concat());
    capabilities(|c| c.service.cap_drop = words(&["CHOWN", "SYS_ADMIN"]), &without(&default, &["CHOWN"]));
    capabilities(|c| c.service.cap_drop = words(&["ALL"]), &[]);
    capabilities(
        |c| {
            c.service.cap_add = words(&["CHOWN"]);
            c.service.cap_drop = words(&["ALL"]);
        },
        &["CHOWN"],
    );
    capabilities(
        |c| {
            c.service.cap_add = words(&["ALL"]);
            c.service.cap_drop = words(&["SYS_ADMIN"]);
        },
        &without(&all, &["SYS_ADMIN"]),
    );
    capabilities(|c| c.service.privileged = true, &all);
    let bounded = |c: &mut Case| {
        c.service.privileged = true;
        c.means.capabilities = CapabilitySet::of(&["KILL"]);
    };
    capabilities(bounded, &["KILL"]);
    let mut case = Case::new();
    case.service.cap_add = words(&["SYS_RESOURCE"]);
    case.means.capabilities = CapabilitySet::of(&capability::DEFAULT);
    assert_eq!(case.config(), Err(BundleError::Capability { name: "SYS_RESOURCE".to_owned() }));
}

#[test]
fn another_user_than_root_has_capabilities_as_a_bound_only() {
    let mut case = Case::new();
    case.user.uid = 1000;
    let set = case.config().unwrap()["process"]["capabilities"].clone();
    assert_eq!(set["bounding"].as_array().unwrap().len(), capability::DEFAULT.len());
    for name in ["effective", "permitted", "inheritable", "ambient"] {
        assert_eq!(set[name], json!([]), "{name}");
    }
}

#[test]
fn the_kernels_own_mounts_are_dockers() {
    mount(nothing, "/proc", ("proc", "proc", &["nosuid", "noexec", "nodev"]));
    mount(nothing, "/sys", ("sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]));
    mount(nothing, "/dev", ("tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]));
    let shm = &["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"];
    mount(nothing, "/dev/shm", ("tmpfs", "shm", shm));
    let cgroup = &["nosuid", "noexec", "nodev", "relatime", "ro"];
    mount(nothing, "/sys/fs/cgroup", ("cgroup", "cgroup", cgroup));
    let writable = &["nosuid", "noexec", "nodev", "rw"];
    mount(|c| c.service.privileged = true, "/sys", ("sysfs", "sysfs", writable));
    mount(nothing, "/etc/hosts", ("bind", "/run/etc/hosts", &["rbind", "rprivate", "rw"]));
    let frozen = &["rbind", "rprivate", "ro"];
    mount(|c| c.service.read_only = true, "/etc/resolv.conf", ("bind", "/run/etc/resolv.conf", frozen));
    let mut case = Case::new();
    case.means.mqueue = false;
    assert!(!case.config().unwrap()["mounts"].to_string().contains("mqueue"));
}

fn bind(c: &mut Case, target: &str, read_only: bool) {
    let (source, target) = ("/h".to_owned(), target.to_owned());
    c.service.mounts.push(Mount::Bind { source, target, read_only, create: true });
    c.sources.push(Some("/real/h".to_owned()));
}

#[test]
fn the_services_mounts_follow_parents_first() {
    mount(|c| bind(c, "/c", false), "/c", ("bind", "/real/h", &["rbind", "rprivate", "rw"]));
    mount(|c| bind(c, "/c", true), "/c", ("bind", "/real/h", &["rbind", "rprivate", "rro"]));
    let older = |c: &mut Case| {
        bind(c, "/c", true);
        c.means.recursive_read_only = false;
    };
    mount(older, "/c", ("bind", "/real/h", &["rbind", "rprivate", "ro"]));
    // The service's own file takes the place of the agent's.
    mount(|c| bind(c, "/etc/hosts", false), "/etc/hosts", ("bind", "/real/h", &["rbind", "rprivate", "rw"]));
    let tmpfs = |size_bytes, mode, noexec| {
        move |c: &mut Case| {
            c.service.mounts.push(Mount::Tmpfs { target: "/run".to_owned(), size_bytes, mode, noexec });
        }
    };
    mount(tmpfs(None, None, true), "/run", ("tmpfs", "tmpfs", &["nosuid", "nodev", "noexec", "mode=1777"]));
    let options = &["nosuid", "nodev", "mode=755", "size=1024"];
    mount(tmpfs(Some(1024), Some(0o755), false), "/run", ("tmpfs", "tmpfs", options));
    let mut case = Case::new();
    bind(&mut case, "/etc/a/b", false);
    bind(&mut case, "/etc", false);
    let config = case.config().unwrap();
    let order: Vec<_> = config["mounts"].as_array().unwrap().iter().map(|m| &m["destination"]).collect();
    let at = |target: &str| order.iter().position(|found| *found == target).unwrap();
    assert!(at("/etc") < at("/etc/hosts") && at("/etc") < at("/etc/a/b") && at("/dev") < at("/dev/pts"));
    case.sources.pop();
    assert_eq!(case.config(), Err(BundleError::NoSource { target: "/etc".to_owned() }));
}

#[test]
fn limits_of_the_control_group_follow_the_service() {
    let resources = |pids| Resources {
        memory_bytes: Some(1 << 20),
        memory_reservation_bytes: Some(1 << 19),
        cpu_milli: Some(1500),
        pids,
    };
    let memory = "/linux/resources/memory";
    let set = |c: &mut Case| c.service.resources = resources(Some(7));
    check(set, memory, &json!({ "limit": 1 << 20, "swap": 1 << 20, "reservation": 1 << 19 }));
    check(set, "/linux/resources/cpu", &json!({ "quota": 150_000, "period": 100_000 }));
    check(set, "/linux/resources/pids/limit", &json!(7));
    check(|c| c.service.resources.cpu_milli = Some(1), "/linux/resources/cpu/quota", &json!(1000));
    check(|c| c.service.resources.pids = Some(-1), "/linux/resources/pids", &Value::Null);
    check(nothing, "/linux/resources/pids/limit", &json!(2048));
    check(|c| c.means.pids_limit = false, "/linux/resources/pids", &Value::Null);
    let asked = |c: &mut Case| (c.means.pids_limit, c.service.resources) = (false, resources(Some(7)));
    check(asked, "/linux/resources/pids/limit", &json!(7));
    check(nothing, memory, &Value::Null);
    let no_swap = |c: &mut Case| {
        c.service.resources = resources(None);
        c.means.swap_limit = false;
    };
    check(no_swap, memory, &json!({ "limit": 1 << 20, "reservation": 1 << 19 }));
    check(nothing, "/linux/cgroupsPath", &json!("/coracle/shop.web"));
}

#[test]
fn devices_are_denied_but_for_the_harmless_and_the_asked() {
    let rules = "/linux/resources/devices";
    check(nothing, &format!("{rules}/0"), &json!({ "allow": false, "access": "rwm" }));
    let null = json!({ "allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm" });
    check(nothing, &format!("{rules}/3"), &null);
    let serial = |c: &mut Case| {
        c.devices.push(DeviceNode {
            target: "/dev/tty0".to_owned(),
            kind: DeviceKind::Character,
            major: 4,
            minor: 64,
            mode: 0o20660,
            uid: 0,
            gid: 20,
            permissions: "rw".to_owned(),
        });
    };
    let rule = json!({ "allow": true, "type": "c", "major": 4, "minor": 64, "access": "rw" });
    check(serial, &format!("{rules}/12"), &rule);
    let node = json!({ "path": "/dev/tty0", "type": "c", "major": 4, "minor": 64, "fileMode": 0o660,
        "uid": 0, "gid": 20 });
    check(serial, "/linux/devices", &json!([node]));
    check(|c| c.service.privileged = true, rules, &json!([{ "allow": true, "access": "rwm" }]));
    check(|c| c.means.device_rules = false, rules, &Value::Null);
}

#[test]
fn a_privileged_container_has_no_masks_and_no_filter() {
    let seccomp = "/linux/seccomp/defaultAction";
    check(nothing, seccomp, &json!("SCMP_ACT_ERRNO"));
    check(|c| c.service.seccomp_unconfined = true, seccomp, &Value::Null);
    check(|c| c.service.privileged = true, seccomp, &Value::Null);
    check(|c| c.service.privileged = true, "/linux/maskedPaths", &json!([]));
    check(|c| c.service.privileged = true, "/linux/readonlyPaths", &json!([]));
    let config = Case::new().config().unwrap();
    let masked = config["linux"]["maskedPaths"].as_array().unwrap();
    for path in ["/proc/kcore", "/proc/interrupts", "/sys/devices/system/cpu/cpu1/thermal_throttle"] {
        assert!(masked.contains(&json!(path)), "{path}");
    }
    check(nothing, "/linux/readonlyPaths/3", &json!("/proc/sys"));
}

#[test]
fn the_network_is_a_namespace_of_its_own_unless_it_is_the_boards() {
    let kinds = |names: &[&str]| json!(names.iter().map(|kind| json!({ "type": kind })).collect::<Vec<_>>());
    check(nothing, "/linux/namespaces", &kinds(&["pid", "ipc", "uts", "mount", "cgroup"]));
    let none = |c: &mut Case| c.service.network_mode = NetworkMode::None;
    check(none, "/linux/namespaces", &kinds(&["pid", "ipc", "uts", "mount", "cgroup", "network"]));
    let sysctl = |c: &mut Case| c.service.sysctls = [("kernel.msgmax".to_owned(), "9".to_owned())].into();
    check(sysctl, "/linux/sysctl", &json!({ "kernel.msgmax": "9" }));
}

/// What has led runtimes and engines astray: labels that became settings of the runtime (`run.oci.handler`), volumes with
/// paths of the board, and names without a value, which took the value from the engine's own environment.
#[test]
fn what_an_image_says_beyond_its_process_is_not_in_the_bundle() {
    let image = json!({
        "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": [] },
        "config": {
            "Entrypoint": ["/entry"], "Env": ["A=image", "PLANTED_NAME", "*", ""],
            "Labels": {
                "run.oci.handler": "planted-krun", "run.oci.hooks.stdout": "planted-hook",
                "io.podman.annotations.checkpoint.runtime.name": "planted-restore",
            },
            "Volumes": { "/../../../../planted/etc": {}, "/planted": {} },
        },
    });
    let parsed = crate::oci::config::ImageConfig::parse(image.to_string().as_bytes()).unwrap();
    let mut case = Case::new();
    case.exec = parsed.exec;
    let config = case.config().unwrap();
    assert!(!config.to_string().to_lowercase().contains("planted"), "{config}");
    assert_eq!(config["annotations"], json!({ "coracle.workload": "shop.web" }));
    for variable in config["process"]["env"].as_array().unwrap() {
        assert!(variable.as_str().unwrap().find('=') > Some(0), "{variable}");
    }
    assert_eq!(config["hooks"], Value::Null);
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\nbroken\nweb:x:101:101:web:/srv:/bin/sh\n\
    nohome:x:102:101\nodd:x:-1:x::\nbig:x:4294967295:0::/\n1000:x:7:7::/seven:\n";
const GROUP: &str = "root:x:0:\nweb:x:101:\nwww:x:33:root,web\nlog:x:4:web\nx\nadm:x:4:web\n";

#[track_caller]
fn user(spec: &str, want: Result<(u32, u32, &[u32], &str), UserError>) {
    let want = want.map(|(uid, gid, groups, home)| ProcessUser {
        uid,
        gid,
        groups: groups.to_vec(),
        home: home.to_owned(),
    });
    assert_eq!(resolve(spec, PASSWD, GROUP), want, "{spec:?}");
}

#[test]
fn users_are_found_as_docker_finds_them() {
    user("", Ok((0, 0, &[0, 33], "/root")));
    user("root", Ok((0, 0, &[0, 33], "/root")));
    user("web", Ok((101, 101, &[101, 4, 33], "/srv")));
    user("101", Ok((101, 101, &[101, 4, 33], "/srv")));
    user("web:www", Ok((101, 33, &[33], "/srv")));
    user("web:4", Ok((101, 4, &[4], "/srv")));
    user(":www", Ok((0, 33, &[33], "/root")));
    user("1234", Ok((1234, 0, &[0], "/")));
    user("1234:5678", Ok((1234, 5678, &[5678], "/")));
    user("nohome", Ok((102, 101, &[101], "/")));
    user("1000", Ok((7, 7, &[7], "/seven")));
    user("nobody", Err(UserError::NoUser("nobody".to_owned())));
    user("odd", Err(UserError::NoUser("odd".to_owned())));
    user("web:nobody", Err(UserError::NoGroup("nobody".to_owned())));
    user("4294967295", Err(UserError::Number("4294967295".to_owned())));
    user("big", Err(UserError::Number("4294967295".to_owned())));
    user("99999999999", Err(UserError::Number("99999999999".to_owned())));
    user("web:", Err(UserError::Form("web:".to_owned())));
    user("a:b:c", Err(UserError::Form("a:b:c".to_owned())));
    // An image config bounds none of its words; an error does.
    user(&"x".repeat(9000), Err(UserError::NoUser("x".repeat(80))));
    assert_eq!(resolve("0", "", "").unwrap().groups, [0]);
}

#[test]
fn the_default_container_is_that_of_docker() {
    // github.com/moby/moby: oci/caps/defaults.go, oci/defaults.go, daemon/oci_linux.go.
    let capabilities = [
        "CAP_AUDIT_WRITE",
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_MKNOD",
        "CAP_NET_BIND_SERVICE",
        "CAP_NET_RAW",
        "CAP_SETFCAP",
        "CAP_SETGID",
        "CAP_SETPCAP",
        "CAP_SETUID",
        "CAP_SYS_CHROOT",
    ];
    let masked = [
        "/proc/acpi",
        "/proc/asound",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/sys/devices/system/cpu/cpu0/thermal_throttle",
        "/sys/devices/system/cpu/cpu1/thermal_throttle",
        "/sys/devices/virtual/powercap",
        "/sys/firmware",
    ];
    let read_only = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
    let namespaces = ["cgroup", "ipc", "mount", "pid", "uts"];
    let config = Case::new().config().unwrap();
    let sorted = |pointer: &str, key: Option<&str>| {
        let list = config.pointer(pointer).unwrap().as_array().unwrap();
        let mut texts: Vec<String> =
            list.iter().map(|item| key.map_or(item, |key| &item[key]).as_str().unwrap().to_owned()).collect();
        texts.sort();
        texts
    };
    assert_eq!(sorted("/process/capabilities/bounding", None), capabilities);
    assert_eq!(sorted("/process/capabilities/effective", None), capabilities);
    assert_eq!(sorted("/linux/maskedPaths", None), masked);
    assert_eq!(sorted("/linux/readonlyPaths", None), read_only);
    assert_eq!(sorted("/linux/namespaces", Some("type")), namespaces);
    // Programs that change the user are part of many images; a service may say no-new-privileges.
    assert_eq!(config["process"]["noNewPrivileges"], false);
    // Docker has no limit here; a fork bomb takes the board with it.
    assert_eq!(config["linux"]["resources"]["pids"]["limit"], 2048);
    assert!(config["linux"]["seccomp"].is_object());
}
