// Rows read better without a reference before each value.
#![allow(clippy::needless_pass_by_value)]

use super::*;
use crate::compose::{Device, Mount, NetworkMode, Restart, Ulimit};
use crate::ident::VolumeName;

#[track_caller]
fn check<T: std::fmt::Debug + PartialEq>(
    parse: impl Fn(&str) -> Result<T, FormError>,
    text: &str,
    want: Option<T>,
) {
    assert_eq!(parse(text).ok(), want, "{text:?}");
}

#[track_caller]
fn words(line: &str, want: &[&str]) {
    check(split_words, line, Some(want.iter().map(|&word| word.to_owned()).collect()));
}

#[test]
fn a_command_line_is_split_as_a_shell_splits_it() {
    words("", &[]);
    words("  \t ", &[]);
    words("nginx -g 'daemon off;'", &["nginx", "-g", "daemon off;"]);
    words(r#"a "b c" d\ e"#, &["a", "b c", "d e"]);
    words(r#"x"y"'z'"#, &["xyz"]);
    words(r#"'' """#, &["", ""]);
    words(r#""\"\\\$\n""#, &[r#""\$\n"#]);
    words(r"'a\b'", &[r"a\b"]);
    words("a \\\n b", &["a", "b"]);
    words("echo $HOME", &["echo", "$HOME"]);
    for bad in ["'a", "\"a", "a\\", "a && b", "a | b", "a > b", "a; b", "`a`"] {
        check(split_words, bad, None);
    }
}

#[test]
fn amounts_have_dockers_units() {
    for (text, want) in [
        ("512", 512),
        ("64m", 64 << 20),
        ("64MB", 64 << 20),
        ("1.5g", 3 << 29),
        ("10k", 10 << 10),
        ("7b", 7),
        ("1GiB", 1 << 30),
    ] {
        check(parse_bytes, text, Some(want));
    }
    for bad in ["", "0", "-1", "m", "1x", "1e9", "1.m", ".5m", "99999999t", "99999999999999999999", "1m1"] {
        check(parse_bytes, bad, None);
    }
    check(parse_cpu_milli, "0.5", Some(500));
    check(parse_cpu_milli, "2", Some(2000));
    check(parse_cpu_milli, "1.2345", Some(1234));
    for bad in ["", "0", "0.0001", "-1", "1025", "two", "1e3"] {
        check(parse_cpu_milli, bad, None);
    }
    check(parse_pids, "100", Some(100));
    check(parse_pids, "-1", Some(-1));
    for bad in ["0", "-2", "x", "99999999"] {
        check(parse_pids, bad, None);
    }
}

#[test]
fn durations_are_compose_s() {
    for (text, want) in
        [("0", 0), ("1m30s", 90_000), ("500ms", 500), ("1.5s", 1_500), ("2h", 7_200_000), ("999us", 0)]
    {
        check(parse_duration_ms, text, Some(want));
    }
    for bad in ["", "10", "1d", "-1s", "1 s", "s", "1s2", "9999999h", "1.s"] {
        check(parse_duration_ms, bad, None);
    }
}

#[test]
fn paths_are_absolute_and_never_climb() {
    check(parse_path, "/a//b/./c/", Some("/a/b/c".to_owned()));
    check(parse_path, "/", Some("/".to_owned()));
    for bad in ["", "a", "./a", "/a/../b", "/..", "/a\0"] {
        check(parse_path, bad, None);
    }
    check(parse_path, &format!("/{}", "a".repeat(4095)), None);
}

#[test]
fn a_short_volume_is_a_bind_or_a_named_volume() {
    let bind = |source: &str, target: &str, read_only| Mount::Bind {
        source: source.to_owned(),
        target: target.to_owned(),
        read_only,
        create: true,
    };
    check(parse_volume, "/host/n.conf:/etc/n.conf", Some(bind("/host/n.conf", "/etc/n.conf", false)));
    check(parse_volume, "/h:/c:ro", Some(bind("/h", "/c", true)));
    check(parse_volume, "/h/:/c/:rw,rprivate", Some(bind("/h", "/c", false)));
    let name = VolumeName::parse("data").unwrap();
    let target = "/data".to_owned();
    check(parse_volume, "data:/data:ro", Some(Mount::Volume { name, target, read_only: true }));
    for bad in [
        "/data",
        "data",
        "./x:/x",
        "~/x:/x",
        "../x:/x",
        "/h:c",
        "/h:/",
        "/h:/proc",
        "/h:/proc/sys",
        "/h:/c:z",
        "/h:/c:ro:rw",
        "/h/../x:/c",
        "/h:/c/../d",
        ":/c",
        "a/b:/c",
        "/h:/c:",
    ] {
        check(parse_volume, bad, None);
    }
}

#[test]
fn a_short_tmpfs_has_dockers_defaults() {
    let tmpfs =
        |size_bytes, mode, noexec| Mount::Tmpfs { target: "/run".to_owned(), size_bytes, mode, noexec };
    check(parse_tmpfs, "/run", Some(tmpfs(None, None, true)));
    check(parse_tmpfs, "/run:size=1m,mode=755,exec", Some(tmpfs(Some(1 << 20), Some(0o755), false)));
    check(parse_tmpfs, "/run:rw,noexec,nosuid,nodev,size=1k", Some(tmpfs(Some(1024), None, true)));
    for bad in ["run", "/", "/run:size=50%", "/run:mode=999", "/run:mode=17777", "/run:suid", "/run:uid=1"] {
        check(parse_tmpfs, bad, None);
    }
}

#[test]
fn hosts_have_a_name_and_an_address() {
    let entry = |name: &str, address: &str| Some((name.to_owned(), address.parse().unwrap()));
    check(parse_extra_host, "mgmt.foundries.io:127.0.0.1", entry("mgmt.foundries.io", "127.0.0.1"));
    check(parse_extra_host, "a=10.0.0.1", entry("a", "10.0.0.1"));
    check(parse_extra_host, "six:::1", entry("six", "::1"));
    check(parse_extra_host, "six=[fe80::1]", entry("six", "fe80::1"));
    for bad in
        ["a", "a:", ":1.2.3.4", "a b:1.2.3.4", "a:host-gateway", "a:1.2.3", "a\n:1.2.3.4", "-a:1.2.3.4"]
    {
        check(parse_extra_host, bad, None);
    }
    check(parse_hostname, "web-1.local", Some("web-1.local".to_owned()));
    for bad in ["", "a b", "a..b", "-a", &"a".repeat(65)] {
        check(parse_hostname, bad, None);
    }
    check(parse_network_mode, "host", Some(NetworkMode::Host));
    check(parse_network_mode, "none", Some(NetworkMode::None));
    check(parse_network_mode, "bridge", None);
}

#[test]
fn restart_policies_and_signals_are_dockers() {
    check(parse_restart, "no", Some(Restart::No));
    check(parse_restart, "always", Some(Restart::Always));
    check(parse_restart, "unless-stopped", Some(Restart::UnlessStopped));
    check(parse_restart, "on-failure", Some(Restart::OnFailure { max: None }));
    check(parse_restart, "on-failure:3", Some(Restart::OnFailure { max: Some(3) }));
    for bad in ["", "never", "always:3", "on-failure:", "on-failure:0", "on-failure:-1"] {
        check(parse_restart, bad, None);
    }
    for (text, want) in [
        ("SIGTERM", "SIGTERM"),
        ("int", "SIGINT"),
        ("15", "SIGTERM"),
        ("9", "SIGKILL"),
        ("SIGRTMIN+3", "SIGRTMIN+3"),
    ] {
        check(parse_signal, text, Some(want.to_owned()));
    }
    for bad in ["", "SIG", "0", "32", "SIGFOO", "RTMIN+31", "RTMIN-1"] {
        check(parse_signal, bad, None);
    }
}

#[test]
fn security_settings_are_known_ones() {
    check(parse_capability, "cap_net_admin", Some("NET_ADMIN".to_owned()));
    check(parse_capability, "ALL", Some("ALL".to_owned()));
    check(parse_capability, "NET_ADMINS", None);
    check(parse_security_option, "no-new-privileges", Some(SecurityOption::NoNewPrivileges(true)));
    check(parse_security_option, "no-new-privileges=false", Some(SecurityOption::NoNewPrivileges(false)));
    check(parse_security_option, "seccomp:unconfined", Some(SecurityOption::SeccompUnconfined));
    check(parse_security_option, "seccomp=/etc/profile.json", None);
    check(parse_security_option, "apparmor=unconfined", None);
    let device = |target: &str, permissions: &str| {
        Some(Device {
            source: "/dev/ttyS0".to_owned(),
            target: target.to_owned(),
            permissions: permissions.to_owned(),
        })
    };
    check(parse_device, "/dev/ttyS0", device("/dev/ttyS0", "rwm"));
    check(parse_device, "/dev/ttyS0:rw", device("/dev/ttyS0", "rw"));
    check(parse_device, "/dev/ttyS0:/dev/tty0:r", device("/dev/tty0", "r"));
    for bad in
        ["ttyS0", "/dev/a:b", "/dev/a:/dev/b:", "/dev/a:/dev/b:x", "/dev/a:rr", "/dev/../a", "vendor/x=y"]
    {
        check(parse_device, bad, None);
    }
    check(parse_sysctl_name, "net.core.somaxconn", Some("net.core.somaxconn".to_owned()));
    check(parse_sysctl_name, "kernel.shmmax", Some("kernel.shmmax".to_owned()));
    for bad in ["kernel.panic", "vm.swappiness", "net.", "net./../kernel", "net..x", "kernel.hostname"] {
        check(parse_sysctl_name, bad, None);
    }
    let ulimit = |soft, hard| Some(("nofile".to_owned(), Ulimit { soft, hard }));
    check(parse_ulimit, "nofile=1024", ulimit(1024, 1024));
    check(parse_ulimit, "nofile=1024:2048", ulimit(1024, 2048));
    check(parse_ulimit, "nofile=1024:-1", ulimit(1024, -1));
    for bad in ["nofile", "nofile=2:1", "nofile=-1:5", "nofile=x", "files=1", "nofile=-2"] {
        check(parse_ulimit, bad, None);
    }
    for good in ["0", "1000:1000", "nginx", "nginx:www-data"] {
        check(parse_user, good, Some(good.to_owned()));
    }
    for bad in ["", ":", "a:", ":b", "a:b:c", "a b", "a\n"] {
        check(parse_user, bad, None);
    }
}
