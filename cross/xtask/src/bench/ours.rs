//! The agent itself, as a contender.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::pull::Contender;
use super::usage::{self, Usage};

/// `coracle pull`.
pub struct Ours {
    /// The release binary.
    pub exe: PathBuf,
    /// Further tables of its configuration.
    pub tables: String,
    /// The control group that it runs in, where it is not that of this process.
    pub group: Option<PathBuf>,
}

impl Contender for Ours {
    fn name(&self) -> &'static str {
        "coracle"
    }

    fn pull(&self, disk: &Path, host: &str, image: &str) -> io::Result<Usage> {
        let config = disk.join("config.toml");
        let place = disk.display();
        let settings = format!(
            "device_id = \"bench\"\nstate_dir = \"{place}/state\"\nrun_dir = \"{place}/run\"\n[registry]\ninsecure = [\"{host}\"]\n{}",
            self.tables
        );
        fs::write(&config, settings)?;
        let mut command = Command::new(&self.exe);
        if let Some(group) = &self.group {
            command = Command::new("sh");
            let join = "echo $$ >\"$0/cgroup.procs\" && exec \"$@\"";
            command.args(["-c", join]).arg(group).arg(&self.exe);
        }
        usage::of(command.arg("--config").arg(config).args(["pull", &format!("{host}/{image}")]))
    }
}
