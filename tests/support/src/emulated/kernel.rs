//! Debian's kernel for virtual machines, fetched once and kept in the cache.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{Flock, FlockArg};

use crate::debian::{self, Apt};
use crate::process::run;
use crate::scratch::{TempDir, cache};

/// The package that names the newest such kernel.
const NEWEST: &str = "linux-image-cloud-amd64";
/// What the board's disks, network and overlays need, each after what it needs itself.
const MODULES: [&str; 12] = [
    "failover",
    "net_failover",
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "dm-mod",
    "dm-log-writes",
    "overlay",
];

/// A kernel and the modules to load, in order.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// The bootable image.
    pub image: PathBuf,
    /// Module files.
    pub modules: Vec<PathBuf>,
}

/// The kernel, from the cache or from Debian.
pub fn kernel() -> io::Result<Kernel> {
    let cache = cache();
    let lock = File::options().create(true).append(true).open(cache.join("kernel.lock"))?;
    let _only_one = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, e)| io::Error::from(e))?;
    let home = cache.join("kernel-amd64");
    if !home.exists() {
        fetch(&home)?;
    }
    let modules = MODULES.map(|name| home.join(format!("{name}.ko"))).to_vec();
    Ok(Kernel { image: home.join("vmlinuz"), modules })
}

fn fetch(home: &Path) -> io::Result<()> {
    let apt = Apt::new(&["amd64"])?;
    let [newest] = &apt.download(&[NEWEST])?[..] else { return Err(io::Error::other("no kernel package")) };
    let depends = run(Command::new("dpkg-deb").arg("-f").arg(newest).arg("Depends"))?;
    let name = depends.split_whitespace().next().unwrap_or_default();
    let packages = apt.download(&[name])?;
    let package = packages.iter().find(|package| *package != newest);
    let package = package.ok_or_else(|| io::Error::other(format!("{NEWEST} names no kernel: {depends}")))?;
    let tree = TempDir::new("kernel");
    debian::unpack(package, &tree)?;
    // Whole or not at all: another run may look at the cache at any time.
    let partial = home.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir(&partial)?;
    let files =
        run(Command::new("find").arg(tree.path()).args(["-name", "*.ko", "-o", "-name", "vmlinuz-*"]))?;
    let file = |wanted: &str| {
        let found = files.lines().map(Path::new).find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name == format!("{wanted}.ko") || name.starts_with(&format!("{wanted}-"))
        });
        found.ok_or_else(|| io::Error::other(format!("{name} has no {wanted}")))
    };
    fs::copy(file("vmlinuz")?, partial.join("vmlinuz"))?;
    for module in MODULES {
        fs::copy(file(module)?, partial.join(format!("{module}.ko")))?;
    }
    fs::rename(partial, home)
}
