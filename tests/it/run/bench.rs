//! What the run tests stand on: an image of busybox in a directory, a supervisor over directories of its own.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use coracle_core::compose::{NetworkMode, Service};
use coracle_core::deployment::{PinnedImage, Workload};
use coracle_core::ident::WorkloadId;
use coracle_core::oci::Digest;
use coracle_core::oci::config::ExecConfig;
use coracle_host::supervise::{Clearing, Direct, DirectConfig, Phase, Status, UNIT_VERSION, Unit};
use coracle_test_support::process;

/// What anything may take here: containers start in 50 ms on an idle machine, and tests share a busy one.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A supervisor with an image; whatever it started ends with it.
pub(super) struct Bench {
    pub(super) dir: PathBuf,
    pub(super) direct: Direct,
    project: String,
}

impl Bench {
    pub(super) fn new() -> Self {
        demand_environment();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let project = format!("t{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(format!("coracle-run-{project}"));
        fs::create_dir_all(&dir).unwrap();
        lay_busybox(&dir.join("layer"));
        let config = DirectConfig {
            clearing: Clearing::Child,
            run_dir: dir.join("run"),
            state_dir: dir.join("state"),
            exe: PathBuf::from(env!("CARGO_BIN_EXE_coracle")),
        };
        Self { dir, direct: Direct::new(config), project }
    }

    pub(super) fn id(&self, service: &str) -> WorkloadId {
        WorkloadId::parse(&format!("{}.{service}", self.project)).unwrap()
    }

    /// A unit that runs `script`, on the network of nobody.
    pub(super) fn unit(&self, service: &str, script: &str) -> Unit {
        let mut settings = Service::new("busybox", NetworkMode::None);
        settings.command = Some(vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()]);
        // Where a script does not listen to the stop signal, no test waits ten seconds for that.
        settings.stop_grace_ms = 200;
        let id = self.id(service);
        let digest = Digest::of(b"busybox");
        let platform = serde_json::from_str(r#"{"os":"linux","architecture":"amd64"}"#).unwrap();
        let image =
            PinnedImage { reference: "busybox".to_owned(), index: digest, manifest: digest, platform };
        Unit {
            version: UNIT_VERSION,
            workload: Workload { service: settings, image },
            exec: ExecConfig { env: vec!["PATH=/bin".to_owned()], ..ExecConfig::default() },
            layers: vec![self.dir.join("layer")],
            turn: 0,
            scratch: self.direct.scratch(&id, 0),
            volumes: self.direct.volumes(),
            runtime: PathBuf::from("crun"),
            seccomp_profile: None,
            log_bytes_max: 1 << 20,
            places: None,
            id,
        }
    }

    /// Starts the unit and waits for its end.
    pub(super) fn run(&self, unit: &Unit) -> Status {
        self.direct.start(unit).unwrap_or_else(|error| panic!("{}", words(&error)));
        self.until(&unit.id, |status| !status.phase.live())
    }

    /// Runs a script to its end: its output, without times, and its exit code.
    pub(super) fn output(&self, unit: &Unit) -> (Vec<String>, i32) {
        let status = self.run(unit);
        assert_eq!(status.phase, Phase::Exited, "{status:?}");
        (self.lines(&unit.id), status.exit_code.unwrap())
    }

    /// What a workload wrote so far, both streams, without times.
    pub(super) fn lines(&self, id: &WorkloadId) -> Vec<String> {
        let entries = self.direct.logs(id, usize::MAX).unwrap();
        entries.iter().map(|entry| entry.splitn(4, ' ').nth(3).unwrap().to_owned()).collect()
    }

    #[track_caller]
    pub(super) fn until(&self, id: &WorkloadId, wanted: impl Fn(&Status) -> bool) -> Status {
        let mut last = None;
        eventually(
            || {
                last = self.direct.status(id).ok();
                last.as_ref().is_some_and(&wanted)
            },
            || format!("{id} with log {:?}", self.direct.logs(id, 20)),
        );
        last.unwrap()
    }

    #[track_caller]
    pub(super) fn until_lines(&self, id: &WorkloadId, wanted: impl Fn(&[String]) -> bool) {
        eventually(|| wanted(&self.lines(id)), || format!("{:?} of {id}", self.lines(id)));
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for status in self.direct.list() {
            let _ = self.direct.stop(&status.id);
            let _ = self.direct.remove(&status.id);
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

#[track_caller]
pub(super) fn eventually(mut wanted: impl FnMut() -> bool, describe: impl Fn() -> String) {
    process::eventually(PATIENCE, || if wanted() { Ok(()) } else { Err(describe()) });
}

/// An error with all its causes.
pub(super) fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// A root with busybox and nothing but what it needs.
fn lay_busybox(layer: &Path) {
    for directory in ["bin", "etc", "tmp", "var/run", "proc", "sys", "dev"] {
        fs::create_dir_all(layer.join(directory)).unwrap();
    }
    fs::set_permissions(layer.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::copy("/bin/busybox", layer.join("bin/busybox")).unwrap();
    for name in ["sh", "cat", "echo", "grep", "hostname", "id", "ls", "pwd", "sleep", "stat", "stty", "touch"]
        .into_iter()
        .chain([
            "env", "head", "httpd", "mkdir", "ip", "kill", "mount", "seq", "test", "tr", "true", "wc", "dd",
            "chown",
        ])
    {
        symlink("busybox", layer.join("bin").join(name)).unwrap();
    }
    fs::write(layer.join("etc/passwd"), "root:x:0:0::/:/bin/sh\nweb:x:33:44::/srv:/bin/sh\n").unwrap();
    fs::write(layer.join("etc/group"), "root:x:0:\nwww:x:44:\nextra:x:55:web\n").unwrap();
}

fn demand_environment() {
    assert!(nix::unistd::geteuid().is_root(), "the run tests start containers and must be run as root");
    assert!(Path::new("/bin/busybox").exists(), "the run tests need /bin/busybox: install busybox-static");
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let hybrid = mounts.lines().any(|line| line.split(' ').nth(1) == Some("/sys/fs/cgroup/unified"));
    assert!(
        !hybrid,
        "crun refuses hybrid control groups; run the tests in a mount namespace without the version 2 part: \
         unshare -m --propagation private sh -c 'umount /sys/fs/cgroup/unified; exec \"$@\"' sh cargo test …"
    );
}
