//! What let containers out of other engines, tried here (agent/docs/security.md).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use coracle_core::compose::Mount;
use coracle_core::ident::VolumeName;
use coracle_host::runtime::{Execution, Runtime};
use coracle_host::supervise::{Life, Phase, Unit};
use coracle_test_support::tree;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};

use super::bench::{Bench, words};

/// A file that every child of this process inherits, unless the child before it keeps it back.
fn left_open(path: &Path) -> File {
    let file = File::open(path).unwrap();
    fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    file
}

/// A unit whose image has a second layer, in which `name` is a link to `target`.
fn with_link(bench: &Bench, service: &str, script: &str, name: &str, target: &Path) -> Unit {
    let mut unit = bench.unit(service, script);
    let layer = bench.dir.join(format!("layer-of-{service}"));
    fs::create_dir(&layer).unwrap();
    symlink(target, layer.join(name)).unwrap();
    unit.layers.push(layer);
    unit
}

/// The output of a program that is executed in the running container of `unit`.
fn executed(bench: &Bench, unit: &Unit, script: &str) -> String {
    let place = bench.direct.place(&unit.id);
    let runtime = Runtime::new(&unit.runtime, &place.runtime_root(), &place.join("exec.log"));
    let args = ["sh", "-c", script].map(str::to_owned).to_vec();
    let execution = Execution { args, ..Execution::default() };
    let mut executing = runtime.execution(&unit.id.to_string(), place.dir(), &execution).unwrap();
    let output = executing.command().output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The runtime of the bench under another name, and with another word on its version.
fn disguised(bench: &Bench, version: &str) -> PathBuf {
    let path = bench.dir.join("runc");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && echo runc version {version} && exit\nexec crun --cgroup-manager=cgroupfs \"$@\"\n"
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_runc_that_containers_get_out_of_starts_none() {
    let bench = Bench::new();
    let mut unit = bench.unit("old", "echo in");
    unit.runtime = disguised(&bench, "1.1.5+ds1");
    let text = words(&bench.direct.start(&unit).unwrap_err());
    assert!(text.contains("runc 1.1.5 has known escapes; 1.2.8 is the oldest that is taken"), "{text}");
    let status = bench.direct.status(&unit.id).unwrap();
    assert!(status.phase == Phase::Failed && status.of_board, "{status:?}");
    unit.runtime = disguised(&bench, "1.2.8");
    assert_eq!(bench.output(&unit).0, ["in"]);
}

#[test]
fn a_container_has_its_three_streams_and_nothing_else_of_the_board_open() {
    let bench = Bench::new();
    let _left: Vec<File> = (0..20).map(|_| left_open(&bench.dir)).collect();
    let unit = bench.unit("open", "sleep 60");
    let pid = bench.direct.start(&unit).unwrap().pid.unwrap();
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let target = fs::read_link(entry.path()).unwrap();
        (entry.file_name().into_string().unwrap(), target.to_string_lossy().into_owned())
    });
    let open: BTreeMap<String, String> = open.collect();
    assert_eq!(open.keys().collect::<Vec<_>>(), ["0", "1", "2"], "{open:?}");
    assert_eq!(open["0"], "/dev/null");
    assert!(open["1"].starts_with("pipe:") && open["2"].starts_with("pipe:"), "{open:?}");
    // Nor does the shim hand them on in another way: what it was started with is all closed to its children.
    let shim = Life::holder(&bench.direct.place(&unit.id)).unwrap().unwrap();
    for entry in fs::read_dir(format!("/proc/{shim}/fdinfo")).unwrap() {
        let entry = entry.unwrap();
        let number: u32 = entry.file_name().to_str().unwrap().parse().unwrap();
        let facts = fs::read_to_string(entry.path()).unwrap();
        let flags = facts.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        let flags = i32::from_str_radix(flags, 8).unwrap();
        assert!(number < 3 || flags & OFlag::O_CLOEXEC.bits() != 0, "{number}: {facts}");
    }
}

#[test]
fn a_working_directory_behind_a_descriptor_is_no_way_out() {
    let bench = Bench::new();
    let _left: Vec<File> = (0..20).map(|_| left_open(Path::new("/"))).collect();
    let up = "../".repeat(20);
    for number in 3..12 {
        let script = format!("ls -d {up}{} && echo out", bench.dir.display());
        let mut unit = bench.unit(&format!("behind{number}"), &script);
        unit.workload.service.working_dir = Some(format!("/proc/self/fd/{number}"));
        // Whether there is such a directory is the runtime's business.
        if bench.direct.start(&unit).is_ok() {
            let status = bench.until(&unit.id, |status| !status.phase.live());
            assert_ne!(status.exit_code, Some(0), "{number}: {:?}", bench.lines(&unit.id));
            assert!(!bench.lines(&unit.id).iter().any(|line| line == "out"), "{number}");
        }
    }
}

#[test]
fn an_image_with_a_link_where_the_kernels_files_belong_is_refused() {
    let bench = Bench::new();
    let outside = bench.dir.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("ptmx"), "of the board").unwrap();
    let before = tree::look(&outside);
    for read_only in [false, true] {
        for name in ["dev", "proc", "sys"] {
            for (how, target) in [("out", outside.as_path()), ("in", Path::new("tmp"))] {
                let mut unit = with_link(&bench, &format!("{name}-{how}-{read_only}"), "true", name, target);
                unit.workload.service.read_only = read_only;
                let text = words(&bench.direct.start(&unit).unwrap_err());
                assert!(text.contains(&format!("/{name} of its root is no directory")), "{text}");
                assert_eq!(bench.direct.status(&unit.id).unwrap().phase, Phase::Failed);
            }
        }
    }
    assert_eq!(tree::look(&outside), before);
}

#[test]
fn a_working_directory_or_a_volume_behind_a_link_of_the_image_makes_nothing_on_the_board() {
    let bench = Bench::new();
    let outside = bench.dir.join("outside");
    fs::create_dir(&outside).unwrap();
    let before = tree::look(&outside);
    let mut unit = with_link(&bench, "cwd", "true", "way", &outside);
    unit.workload.service.working_dir = Some("/way/made".to_owned());
    let mut volume = with_link(&bench, "volume", "touch /way/made/file", "way", &outside);
    volume.workload.service.mounts = vec![Mount::Volume {
        name: VolumeName::parse("data").unwrap(),
        target: "/way/made".to_owned(),
        read_only: false,
    }];
    for unit in [unit, volume] {
        if bench.direct.start(&unit).is_ok() {
            bench.until(&unit.id, |status| !status.phase.live());
        }
        assert_eq!(tree::look(&outside), before, "{}", unit.id);
    }
}

#[test]
fn nothing_is_inheritable_or_ambient_for_a_container_or_what_is_executed_in_it() {
    let bench = Bench::new();
    let ask = "grep -E '^Cap(Inh|Amb):' /proc/self/status | tr '\\t' ' '";
    let none = ["CapInh: 0000000000000000", "CapAmb: 0000000000000000"];
    let unit = bench.unit("caps", &format!("{ask}; sleep 60"));
    bench.direct.start(&unit).unwrap();
    bench.until_lines(&unit.id, |lines| lines == none);
    assert_eq!(executed(&bench, &unit, ask).lines().collect::<Vec<_>>(), none);
}

#[test]
fn no_socket_of_a_shim_is_in_the_abstract_name_space_that_networks_share() {
    let bench = Bench::new();
    let mut unit = bench.unit("sockets", "sleep 60");
    unit.workload.service.stdin_open = true;
    bench.direct.start(&unit).unwrap();
    let shim = Life::holder(&bench.direct.place(&unit.id)).unwrap().unwrap();
    let open = fs::read_dir(format!("/proc/{shim}/fd")).unwrap();
    let links = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    let links: Vec<String> = links.map(|link| link.to_string_lossy().into_owned()).collect();
    let sockets: Vec<&str> =
        links.iter().filter_map(|link| link.strip_prefix("socket:[")?.strip_suffix(']')).collect();
    assert!(!sockets.is_empty(), "clients are listened for: {links:?}");
    let all = fs::read_to_string("/proc/net/unix").unwrap();
    for line in all.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [_, _, _, _, _, _, inode, name] = fields[..]
            && sockets.contains(&inode)
        {
            assert!(!name.starts_with('@'), "{line}");
        }
    }
}

/// Whether people of the board who are not root can pass every folder on the way from `top` to `path`.
fn passable(top: &Path, path: &Path) -> bool {
    let between = path.ancestors().skip(1).take_while(|folder| folder.starts_with(top) && *folder != top);
    between.into_iter().all(|folder| fs::metadata(folder).unwrap().permissions().mode() & 0o001 != 0)
}

#[test]
fn others_on_the_board_reach_nothing_of_a_container() {
    let bench = Bench::new();
    // As a partition is that somebody mounted there.
    for folder in ["state", "run"] {
        fs::create_dir(bench.dir.join(folder)).unwrap();
        fs::set_permissions(bench.dir.join(folder), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut unit = bench.unit("closed", "echo x > /root-file; echo x > /data/x");
    unit.workload.service.mounts = vec![Mount::Volume {
        name: VolumeName::parse("data").unwrap(),
        target: "/data".to_owned(),
        read_only: false,
    }];
    assert_eq!(bench.output(&unit).1, 0);
    let volume = bench.direct.volumes().join(format!("{}_data", unit.id.project)).join("x");
    let place = bench.direct.place(&unit.id);
    for path in
        [unit.scratch.join("upper/root-file"), volume, place.join("config.json"), place.join("etc/hosts")]
    {
        assert!(path.exists(), "{}", path.display());
        assert!(!passable(&bench.dir, &path), "{}", path.display());
    }
}
