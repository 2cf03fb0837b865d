//! What a container sees: files, mounts, names, users, networks.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::process::Command;

use coracle_core::compose::{Mount, NetworkMode};
use coracle_core::ident::VolumeName;

use super::bench::{Bench, words};

fn bind(source: &str, target: &str, read_only: bool, create: bool) -> Mount {
    Mount::Bind { source: source.to_owned(), target: target.to_owned(), read_only, create }
}

fn tmpfs(target: &str) -> Mount {
    Mount::Tmpfs { target: target.to_owned(), size_bytes: None, mode: None, noexec: false }
}

#[test]
fn environment_directory_and_command_are_the_images_under_the_services() {
    let bench = Bench::new();
    let mut unit = bench.unit("env", "");
    unit.exec.env = ["PATH=/bin", "A=image", "B=image"].map(str::to_owned).to_vec();
    unit.exec.entrypoint = vec!["sh".to_owned(), "-c".to_owned()];
    unit.exec.cmd = vec!["echo $A $B $(pwd)".to_owned()];
    unit.exec.working_dir = "/tmp".to_owned();
    unit.workload.service.command = None;
    unit.workload.service.environment.insert("B".to_owned(), "service".to_owned());
    assert_eq!(bench.output(&unit), (vec!["image service /tmp".to_owned()], 0));
    let mut other = unit.clone();
    other.id = bench.id("dir");
    other.scratch = bench.direct.scratch(&other.id, 0);
    other.workload.service.working_dir = Some("/var".to_owned());
    other.workload.service.command = Some(vec!["pwd".to_owned()]);
    assert_eq!(bench.output(&other), (vec!["/var".to_owned()], 0));
}

#[test]
fn users_are_found_by_name_and_number() {
    let bench = Bench::new();
    for (number, (user, expected)) in [
        ("web", "33 44 44 55"),
        ("33", "33 44 44 55"),
        ("web:extra", "33 55 55"),
        ("1000:1001", "1000 1001 1001"),
        ("1000", "1000 0 0"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut unit = bench.unit(&format!("user{number}"), "echo $(id -u) $(id -g) $(id -G)");
        unit.workload.service.user = Some(user.to_owned());
        assert_eq!(bench.output(&unit), (vec![expected.to_owned()], 0), "{user}");
    }
    let mut unit = bench.unit("nobody", "true");
    unit.workload.service.user = Some("stranger".to_owned());
    let text = words(&bench.direct.start(&unit).unwrap_err());
    assert!(text.contains("stranger"), "{text}");
}

#[test]
fn a_read_only_root_has_its_tmpfs_and_a_bind_stays_as_it_was_given() {
    let bench = Bench::new();
    fs::write(bench.dir.join("nginx.conf"), "hello\n").unwrap();
    fs::create_dir(bench.dir.join("data")).unwrap();
    let at = |name: &str| bench.dir.join(name).display().to_string();
    let script = "touch /x 2>/dev/null || echo ro; touch /var/run/x && echo tmp; cat /etc/nginx/nginx.conf; \
        echo no > /etc/nginx/nginx.conf || echo ro; touch /srv/data/x && echo rw; touch /srv/ro/x || echo ro";
    let mut unit = bench.unit("ro", &format!("({script}) 2>/dev/null"));
    unit.workload.service.read_only = true;
    unit.workload.service.mounts = vec![
        tmpfs("/var/run"),
        bind(&at("nginx.conf"), "/etc/nginx/nginx.conf", true, false),
        bind(&at("data"), "/srv/data", false, false),
        bind(&at("data"), "/srv/ro", true, false),
    ];
    let (lines, _) = bench.output(&unit);
    assert_eq!(lines, ["ro", "tmp", "hello", "ro", "rw", "ro"]);
    assert!(bench.dir.join("data/x").exists());
    assert!(!unit.scratch.join("upper").exists());
}

#[test]
fn a_missing_bind_source_is_made_or_named() {
    let bench = Bench::new();
    let source = bench.dir.join("made/below").display().to_string();
    let mut unit = bench.unit("missing", "ls -d /data");
    unit.workload.service.mounts = vec![bind(&source, "/data", false, false)];
    let text = words(&bench.direct.start(&unit).unwrap_err());
    assert!(text.contains("bind source") && text.contains(&source), "{text}");
    unit.workload.service.mounts = vec![bind(&source, "/data", false, true)];
    assert_eq!(bench.output(&unit).0, ["/data"]);
    assert!(bench.dir.join("made/below").is_dir());
}

#[test]
fn a_volume_outlives_its_workload_and_belongs_to_its_project() {
    let bench = Bench::new();
    let volume = |target: &str| Mount::Volume {
        name: VolumeName::parse("data").unwrap(),
        target: target.to_owned(),
        read_only: false,
    };
    let mut writer = bench.unit("writer", "echo kept > /data/file");
    writer.workload.service.mounts = vec![volume("/data")];
    bench.output(&writer);
    bench.direct.remove(&writer.id).unwrap();
    let mut reader = bench.unit("reader", "cat /srv/file");
    reader.workload.service.mounts = vec![volume("/srv")];
    assert_eq!(bench.output(&reader).0, ["kept"]);
    let name = format!("{}_data", reader.id.project);
    assert!(bench.direct.volumes().join(name).join("file").exists());
}

#[test]
fn a_volume_used_for_the_first_time_has_what_the_image_has_there() {
    let bench = Bench::new();
    let srv = bench.dir.join("layer/srv");
    fs::create_dir_all(srv.join("below")).unwrap();
    fs::write(srv.join("below/file"), "of the image\n").unwrap();
    symlink("/etc/passwd", srv.join("link")).unwrap();
    chown(&srv, Some(33), Some(44)).unwrap();
    fs::set_permissions(srv.join("below/file"), fs::Permissions::from_mode(0o4640)).unwrap();
    // Within the image this is /srv; on the board it would be somewhere else.
    symlink("/srv", bench.dir.join("layer/data")).unwrap();
    let script = "cat /data/below/file; stat -c '%a' /data/below/file; stat -c '%u %g' /srv; echo x >> /srv/below/file";
    for expected in ["of the image 4640 33 44", "of the image x 4640 33 44"] {
        let mut unit = bench.unit("volume", script);
        unit.workload.service.mounts = vec![Mount::Volume {
            name: VolumeName::parse("srv").unwrap(),
            target: "/data".to_owned(),
            read_only: false,
        }];
        assert_eq!(bench.output(&unit).0.join(" "), expected);
        bench.direct.remove(&unit.id).unwrap();
    }
    let volume = bench.direct.volumes().join(format!("{}_srv", bench.id("x").project));
    assert_eq!(fs::read_link(volume.join("link")).unwrap().to_str(), Some("/etc/passwd"));
}

#[test]
fn names_and_hosts_are_the_containers_own() {
    let bench = Bench::new();
    let script = "hostname; cat /etc/hostname; grep mgmt /etc/hosts; cat /etc/resolv.conf";
    let mut unit = bench.unit("names", script);
    let service = &mut unit.workload.service;
    service.hostname = Some("box".to_owned());
    service.extra_hosts = vec![("mgmt.example".to_owned(), "127.0.0.1".parse().unwrap())];
    service.dns = vec!["192.0.2.53".parse().unwrap()];
    let (lines, _) = bench.output(&unit);
    assert_eq!(lines, ["box", "box", "127.0.0.1\tmgmt.example", "nameserver 192.0.2.53"]);
}

#[test]
fn the_host_network_is_the_boards_and_none_is_loopback_only() {
    let bench = Bench::new();
    let script = "stat -L -c %i /proc/self/ns/net; ls /sys/class/net | tr '\\n' ' '; echo; hostname";
    let none = bench.unit("none", script);
    let mut host = bench.unit("host", script);
    host.workload.service.network_mode = NetworkMode::Host;
    let board = fs::metadata("/proc/self/ns/net").unwrap().ino().to_string();
    let (of_none, of_host) = (bench.output(&none).0, bench.output(&host).0);
    assert_ne!(of_none[0], board);
    assert_eq!((of_none[1].trim(), of_none[2].as_str()), ("lo", "none"));
    assert_eq!(of_host[0], board);
    let board_name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(of_host[2], board_name.trim());
}

#[test]
fn layers_are_stacked_lowest_first_even_when_there_are_many() {
    for read_only in [false, true] {
        let bench = Bench::new();
        let mut unit = bench.unit("many", "cat /etc/top; ls /etc/parts | wc -l");
        for number in 0..120 {
            let layer = bench.dir.join(format!("a-name-as-long-as-that-of-a-digest-{number:064}"));
            fs::create_dir_all(layer.join("etc/parts")).unwrap();
            fs::write(layer.join("etc/top"), format!("{number}\n")).unwrap();
            fs::write(layer.join(format!("etc/parts/{number}")), "").unwrap();
            unit.layers.push(layer);
        }
        unit.workload.service.read_only = read_only;
        assert_eq!(bench.output(&unit).0, ["119", "120"]);
    }
}

#[test]
fn more_layers_than_the_kernel_stacks_are_refused_by_number() {
    let bench = Bench::new();
    let mut unit = bench.unit("many", "true");
    unit.layers = vec![bench.dir.join("layer"); 501];
    let text = words(&bench.direct.start(&unit).unwrap_err());
    assert!(text.contains("501 layers"), "{text}");
}

#[test]
fn changes_are_not_kept_on_another_overlay() {
    let bench = Bench::new();
    let at = |name: &str| bench.dir.join(name).display().to_string();
    for name in ["ov/lower", "ov/upper", "ov/work", "ov/merged"] {
        fs::create_dir_all(bench.dir.join(name)).unwrap();
    }
    let options =
        format!("lowerdir={},upperdir={},workdir={}", at("ov/lower"), at("ov/upper"), at("ov/work"));
    let mount =
        Command::new("mount").args(["-t", "overlay", "overlay", "-o", &options, &at("ov/merged")]).status();
    assert!(mount.unwrap().success());
    let mut unit = bench.unit("stacked", "true");
    unit.scratch = bench.dir.join("ov/merged/scratch");
    let refused = bench.direct.start(&unit);
    assert!(Command::new("umount").arg(at("ov/merged")).status().unwrap().success());
    let text = words(&refused.unwrap_err());
    assert!(text.contains("lies on an overlay file system"), "{text}");
}

#[test]
fn nothing_of_a_container_is_mounted_on_the_board() {
    let bench = Bench::new();
    let unit = bench.unit("quiet", "echo up; sleep 60");
    bench.direct.start(&unit).unwrap();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(&bench.dir.display().to_string()));
    assert_eq!(fs::read_dir(bench.direct.place(&unit.id).join("rootfs")).unwrap().count(), 0);
}
