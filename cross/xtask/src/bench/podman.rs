//! Podman: no daemon, everything in one command.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use super::pull::Contender;
use super::usage::{self, Usage};

/// `podman pull`.
pub struct Podman;

impl Contender for Podman {
    fn name(&self) -> &'static str {
        "podman"
    }

    fn pull(&self, disk: &Path, host: &str, image: &str) -> io::Result<Usage> {
        settings(disk, disk)?;
        let mut command = Command::new("podman");
        command.env("CONTAINERS_STORAGE_CONF", disk.join("storage.conf"));
        command.env("CONTAINERS_CONF", disk.join("containers.conf"));
        command.env("HOME", disk).env("TMPDIR", disk);
        command
            .args(["pull", "--quiet", "--tls-verify=false", "--signature-policy"])
            .arg(disk.join("policy.json"));
        usage::of(command.arg(format!("{host}/{image}")))
    }
}

/// Writes its three files of settings into `to`: everything that it keeps goes below `disk`.
pub fn settings(disk: &Path, to: &Path) -> io::Result<()> {
    let place = disk.display();
    let storage = format!(
        "[storage]\ndriver = \"overlay\"\ngraphroot = \"{place}/graph\"\nrunroot = \"{place}/run\"\n"
    );
    fs::write(to.join("storage.conf"), storage)?;
    // Hard limits cannot be raised everywhere: ask for no more than there are.
    let engine = format!(
        "[containers]\ndefault_ulimits = [\"nofile=20000:20000\", \"nproc=32768:32768\"]\n[engine]\n\
         cgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\nimage_copy_tmp_dir = \"{place}\"\ntmp_dir = \"{place}/tmp\"\n"
    );
    fs::write(to.join("containers.conf"), engine)?;
    fs::write(to.join("policy.json"), r#"{"default": [{"type": "insecureAcceptAnything"}]}"#)
}
