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
}

impl Contender for Ours {
    fn name(&self) -> &'static str {
        "coracle"
    }

    fn pull(&self, disk: &Path, host: &str, image: &str) -> io::Result<Usage> {
        let config = disk.join("config.toml");
        let place = disk.display();
        let settings = format!(
            "device_id = \"bench\"\nstate_dir = \"{place}/state\"\nrun_dir = \"{place}/run\"\n[registry]\ninsecure = [\"{host}\"]\n"
        );
        fs::write(&config, settings)?;
        usage::of(
            Command::new(&self.exe).arg("--config").arg(config).args(["pull", &format!("{host}/{image}")]),
        )
    }
}
