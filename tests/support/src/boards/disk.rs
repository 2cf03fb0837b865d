//! The disks of a board: everything that is on it when its power is switched on for the first time.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::statvfs::statvfs;

use super::tree::tree;
use crate::emulated::{Kernel, add_modules, archive, console};
use crate::foreign;
use crate::images::Arch;
use crate::images::busybox::busybox;
use crate::process::run;
use crate::scratch::TempDir;

const INIT: &str = include_str!("init.sh");
const INSTALL: &str = include_str!("install.sh");
const SAID: &str = include_str!("said.sh");

/// MiB of the root disk, as `install.sh` makes it.
pub const ROOT_MIB: u64 = 640;

/// What stands between the kernel and the board's root.
const MODULES: [&str; 4] = ["virtio_pci", "virtio_blk", "virtio_net", "ext4"];
/// What the ramdisk uses of busybox.
const APPLETS: [&str; 6] = ["sh", "cat", "insmod", "mount", "sleep", "switch_root"];

/// What a board of this kind has of its own, beside Debian's tree and the package: the files and what they say.
const FILES: [(&str, &str); 6] = [
    ("etc/fstab", "LABEL=root / ext4 noatime 0 0\nLABEL=state /var/lib/coracle ext4 noatime 0 0\n"),
    ("etc/systemd/network/10-board.network", "[Match]\nType=ether\n\n[Network]\nDHCP=ipv4\n"),
    (
        // Everything that is said goes to the console, whose log outlives the board.
        "etc/systemd/journald.conf.d/board.conf",
        "[Journal]\nForwardToConsole=yes\nMaxLevelConsole=info\n",
    ),
    (
        // An emulated processor on a busy host takes longer than any board.
        "etc/systemd/system.conf.d/board.conf",
        "[Manager]\nDefaultTimeoutStartSec=10min\nDefaultTimeoutStopSec=10min\nDefaultDeviceTimeoutSec=10min\n",
    ),
    (
        "etc/systemd/system/board-said.service",
        "[Unit]\nDescription=Word on the console of how the boot went\n\n\
         [Service]\nType=exec\nExecStart=/usr/local/bin/board-said\n",
    ),
    (
        "etc/systemd/system/serial-getty@.service.d/board.conf",
        "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --keep-baud 115200 - $TERM\n",
    ),
];

/// Makes the disk of the root: the tree of the kernel's architecture, its modules, `package` installed by dpkg, and
/// the files of `folders`, each of which mirrors the root.
pub fn root(kernel: &Kernel, package: &Path, folders: &[PathBuf], disk: &Path) -> io::Result<()> {
    let own = TempDir::new("board-files");
    files(kernel.arch, &own)?;
    let (tree, modules) = (tree(kernel.arch)?, kernel.home.join("lib/modules"));
    let mut words = vec!["sh".as_ref(), "-ec".as_ref(), INSTALL.as_ref(), "sh".as_ref(), tree.as_os_str()];
    words.extend([modules.as_os_str(), package.as_os_str(), disk.as_os_str(), own.as_os_str()]);
    words.extend(folders.iter().map(|folder| folder.as_os_str()));
    foreign::run(kernel.arch, &words)
}

fn files(arch: Arch, to: &Path) -> io::Result<()> {
    let write = |path: &str, text: &str| {
        let place = to.join(path);
        fs::create_dir_all(place.parent().unwrap_or(to))?;
        fs::write(place, text)
    };
    for (path, text) in FILES {
        write(path, text)?;
    }
    write("etc/hostname", &format!("board-{}\n", arch.oci()))?;
    // A board that boots for the first time would make one; then no two runs were the same.
    let id =
        arch.oci().bytes().chain(*b"coracle-board").map(|byte| format!("{byte:02x}")).collect::<String>();
    write("etc/machine-id", &format!("{:0<32}\n", id.chars().take(32).collect::<String>()))?;
    write("usr/local/bin/board-said", SAID)?;
    fs::set_permissions(to.join("usr/local/bin/board-said"), fs::Permissions::from_mode(0o755))?;
    let wanted = to.join("etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wanted)?;
    symlink("/etc/systemd/system/board-said.service", wanted.join("board-said.service"))?;
    symlink("/usr/lib/systemd/system/systemd-networkd.service", wanted.join("systemd-networkd.service"))?;
    let getty = format!("serial-getty@{}.service", console(arch));
    symlink("/usr/lib/systemd/system/serial-getty@.service", wanted.join(getty))
}

/// Makes what the kernel unpacks into memory and starts first.
pub fn ramdisk(kernel: &Kernel, to: &Path) -> io::Result<()> {
    let root = TempDir::new("board-ramdisk");
    for folder in ["bin", "dev", "etc", "root"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::copy(busybox(kernel.arch)?, root.join("bin/busybox"))?;
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    add_modules(kernel, &MODULES, &root)?;
    fs::write(root.join("init"), INIT)?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    archive(&root, to)
}

/// Makes the disk of the agent's state, which is empty. A half-made one is never taken for a board's own.
pub fn state(disk: &Path, mib: u64) -> io::Result<()> {
    let (size, new) = (format!("{mib}M"), disk.with_extension("new"));
    run(Command::new("mke2fs").args(["-q", "-F", "-t", "ext4", "-L", "state"]).arg(&new).arg(size))?;
    fs::rename(new, disk)
}

/// Refuses to make disks of `mib` MiB where there is no room for them to fill: a board whose disk cannot grow stands
/// still without a word. What `files` in `dir` take already counts as room.
pub fn room(dir: &Path, files: &[&str], mib: u64) -> io::Result<()> {
    let space = statvfs(dir)?;
    let free = space.blocks_available().saturating_mul(space.fragment_size());
    let taken = |name: &&str| fs::metadata(dir.join(name)).map_or(0, |disk| disk.blocks() * 512);
    let room = (free + files.iter().map(taken).sum::<u64>()) >> 20;
    if room >= mib {
        return Ok(());
    }
    let dir = dir.display();
    Err(io::Error::other(format!(
        "the disks of a board take up to {mib} MiB, and {dir} has {room} MiB free; make room"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_need_room_and_what_they_have_is_room() {
        let dir = TempDir::new("board-room");
        assert!(room(&dir, &["root.img"], 0).is_ok());
        let error = room(&dir, &["root.img"], u64::MAX).unwrap_err().to_string();
        assert!(error.contains("make room") && error.contains(&*dir.to_string_lossy()), "{error}");
        assert!(INSTALL.contains(&format!("{ROOT_MIB}M")), "{INSTALL}");
    }
}
