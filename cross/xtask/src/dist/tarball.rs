//! The plain archive: one folder with the files as they lie on a board, and the script that installs them.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use coracle_test_support::process::run;

use super::epoch;
use crate::setup;

/// Packs the folder `name` of `parent` as `path`.
pub fn pack(parent: &Path, name: &str, path: &Path) -> io::Result<PathBuf> {
    // Beside what is installed, for whoever makes packages of it.
    for license in ["LICENSE-APACHE", "LICENSE-MIT"] {
        fs::copy(setup::root()?.join(license), parent.join(name).join(license))?;
    }
    let script = parent.join(name).join("install");
    fs::copy(setup::root()?.join("cross/package/install"), &script)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let mut tar = Command::new("tar");
    tar.args([
        "--create",
        "--sort=name",
        "--format=ustar",
        "--owner=root:0",
        "--group=root:0",
        "--mode=go-w",
    ]);
    tar.arg(format!("--mtime=@{}", epoch()?)).arg("--use-compress-program=gzip -9n");
    run(tar.arg("-C").arg(parent).arg("-f").arg(path).arg(name))?;
    Ok(path.to_owned())
}
