//! containerd with its own client `ctr`.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use coracle_test_support::process::{READY, Running, eventually, run};
use coracle_test_support::scratch::TempDir;

use super::pull::Contender;
use super::usage::{self, Account, Usage};

/// `ctr images pull`.
pub struct Containerd;

impl Contender for Containerd {
    fn name(&self) -> &'static str {
        "containerd"
    }

    fn pull(&self, disk: &Path, host: &str, image: &str) -> io::Result<Usage> {
        let dir = TempDir::new("ctr");
        let (place, state) = (disk.display(), dir.display());
        let settings = format!(
            "version = 2\nroot = \"{place}/root\"\nstate = \"{state}/state\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = \"{state}/c.sock\"\n"
        );
        fs::write(dir.join("config.toml"), settings)?;
        let mut command = Command::new("containerd");
        // In-process inflating, as everybody else here does.
        command
            .arg("-c")
            .arg(dir.join("config.toml"))
            .env("CONTAINERD_DISABLE_PIGZ", "1")
            .env("TMPDIR", disk);
        let mut daemon = Running::start("containerd", &mut command, &dir.join("log"))?;
        let ctr = |words: &[&str]| {
            let mut command = Command::new("ctr");
            command.arg("-a").arg(dir.join("c.sock")).args(["-n", "bench"]).args(words).env("TMPDIR", disk);
            command
        };
        eventually(READY, || run(&mut ctr(&["version"])));

        let account = Account::open(daemon.pid())?;
        let client = usage::of(&ctr(&["images", "pull", "--plain-http", &format!("{host}/{image}")]))?;
        let served = account.close()?;
        daemon.stop(Duration::from_secs(10))?;
        Ok(client.and(served))
    }
}
