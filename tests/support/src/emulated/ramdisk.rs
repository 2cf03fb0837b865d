//! The board's root: busybox, crun, `coracle` and the libraries they need, in one archive that the kernel unpacks.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::kernel::{Kernel, add_modules, archive};
use crate::images::{Arch, busybox::busybox};
use crate::process::run;
use crate::scratch::TempDir;

const INIT: &str = include_str!("init.sh");
/// What `init.sh` uses of busybox.
const APPLETS: [&str; 13] =
    ["sh", "mount", "mkdir", "cp", "switch_root", "cat", "cut", "insmod", "ip", "sleep", "echo", "ls", "tr"];
/// What the board's disks, network and overlays need.
const MODULES: [&str; 6] = ["virtio_pci", "virtio_blk", "virtio_net", "dm-mod", "dm-log-writes", "overlay"];
/// What the board has of this machine's programs, besides the agent.
const PROGRAMS: [&str; 2] = ["crun", "dmsetup"];

/// Makes every sync of a program that it is loaded into do nothing (Debian's package `libeatmydata1`).
const NO_SYNC: &str = "libeatmydata.so";

/// What the board's agent gets when it asks for something to be durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syncs {
    /// What it asks for.
    Kept,
    /// Only the word that it was done.
    Ignored,
}

/// Writes the archive for a board with the agent `exe` and its configuration to `to`. The agent must be linked
/// dynamically where its syncs are ignored.
pub fn pack(kernel: &Kernel, exe: &Path, config: &str, syncs: Syncs, to: &Path) -> io::Result<()> {
    let root = TempDir::new("ramdisk");
    for folder in ["bin", "etc/coracle", "lib64", "usr/bin"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::copy(busybox(Arch::Amd64)?, root.join("bin/busybox"))?;
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    add_modules(kernel, &MODULES, &root)?;
    fs::write(root.join("etc/coracle/config.toml"), config)?;
    fs::write(root.join("init"), INIT)?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    let agent = root.join("usr/bin/coracle");
    run(Command::new("strip").arg("-o").arg(&agent).arg(exe))?;
    let mut libraries = libraries(exe)?;
    for program in PROGRAMS {
        let path = PathBuf::from(run(Command::new("which").arg(program))?.trim());
        fs::copy(&path, root.join("usr/bin").join(program))?;
        libraries.extend(self::libraries(&path)?);
    }
    if syncs == Syncs::Ignored {
        let found = run(Command::new("sh").args(["-c", &format!("ls /usr/lib/*/{NO_SYNC}*")]))?;
        let library = found.lines().next().unwrap_or_default();
        fs::create_dir_all(root.join("lib"))?;
        fs::copy(library, root.join("lib").join(NO_SYNC))?;
        fs::write(root.join("etc/preload"), format!("/lib/{NO_SYNC}"))?;
    }
    for library in libraries {
        let place = root.join(library.strip_prefix("/").unwrap_or(&library));
        fs::create_dir_all(place.parent().unwrap_or(&root))?;
        fs::copy(&library, place)?;
    }
    archive(&root, to)
}

/// The libraries of a program, by the path under which it looks for them; none where it is static.
pub fn libraries(program: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let Ok(listed) = run(Command::new("ldd").arg(program)) else { return Ok(BTreeSet::new()) };
    let paths = listed.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(paths.map(PathBuf::from).filter(|path| path.exists()).collect())
}
