//! Docker: dockerd and its client.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use coracle_test_support::process::{READY, Running, eventually, run};
use coracle_test_support::scratch::TempDir;
use serde_json::json;

use super::pull::Contender;
use super::usage::{self, Account, Usage};

/// `docker pull`.
pub struct Docker;

/// Debian's; another one may come first on the path.
const CLIENT: &str = "/usr/bin/docker";

impl Contender for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn pull(&self, disk: &Path, host: &str, image: &str) -> io::Result<Usage> {
        let dir = TempDir::new("docker");
        let socket = format!("unix://{}/d.sock", dir.display());
        let settings = json!({
            "data-root": disk.join("root"), "exec-root": dir.join("exec"), "pidfile": dir.join("pid"),
            "hosts": [socket], "bridge": "none", "iptables": false, "ip6tables": false,
            "insecure-registries": [host], "storage-driver": "overlay2",
        });
        fs::write(dir.join("daemon.json"), settings.to_string())?;
        let mut command = Command::new("dockerd");
        // In-process inflating, as everybody else here does.
        command
            .arg("--config-file")
            .arg(dir.join("daemon.json"))
            .env("MOBY_DISABLE_PIGZ", "1")
            .env("TMPDIR", disk);
        let mut daemon = Running::start("dockerd", &mut command, &dir.join("log"))?;
        let docker = |words: &[&str]| {
            let mut command = Command::new(CLIENT);
            command.args(["-H", &socket]).args(words).env("HOME", disk);
            command
        };
        eventually(READY, || run(&mut docker(&["version"])));

        let account = Account::open(daemon.pid())?;
        let client = usage::of(&docker(&["pull", "--quiet", &format!("{host}/{image}")]))?;
        let served = account.close()?;
        daemon.stop(Duration::from_secs(20))?;
        Ok(client.and(served))
    }
}
