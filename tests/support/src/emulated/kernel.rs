//! Debian's kernels for virtual machines, fetched once and kept in the cache.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{Flock, FlockArg};

use crate::debian::Apt;
use crate::images::Arch;
use crate::process::run;
use crate::scratch::{TempDir, cache};

/// Counts the forms of what is kept: another one is made anew.
const NAME: &str = "kernel-2";
/// Unpacks a kernel's package, `$1`, into `$2`, but for drivers of hardware that no virtual machine has, and indexes
/// its modules.
const UNPACK: &str = r#"
dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --exclude '*/drivers/gpu' --exclude '*/drivers/media' \
    --exclude '*/drivers/iio' --exclude '*/drivers/net/wireless' --exclude '*/drivers/net/ethernet' \
    --exclude '*/sound' ./boot ./lib
mv "$2"/boot/vmlinuz-* "$2/vmlinuz"
rm -r "$2/boot"
depmod -b "$2" "$(ls "$2/lib/modules")"
"#;

/// A kernel and its modules.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// Whose it is.
    pub arch: Arch,
    /// The bootable image.
    pub image: PathBuf,
    /// The folder that has its modules in `lib/modules`.
    pub home: PathBuf,
    /// Its name there.
    pub version: String,
}

impl Kernel {
    /// The files of `modules` and of all that they need, in the order in which they have to be loaded.
    pub fn modules(&self, modules: &[&str]) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for module in modules {
            let mut ask = Command::new("modprobe");
            ask.arg("-d").arg(&self.home).args(["-S", &self.version, "--show-depends", module]);
            for line in run(&mut ask)?.lines() {
                // What is in the kernel itself is shown as "builtin NAME".
                let Some(path) = line.strip_prefix("insmod ") else { continue };
                let path = PathBuf::from(path.trim());
                if !files.contains(&path) {
                    files.push(path);
                }
            }
        }
        Ok(files)
    }
}

/// The package that names the newest kernel of an architecture.
fn newest(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "linux-image-cloud-amd64",
        Arch::Arm64 => "linux-image-cloud-arm64",
        Arch::ArmV7 => "linux-image-armmp",
    }
}

/// The kernel of an architecture, from the cache or from Debian.
pub fn kernel(arch: Arch) -> io::Result<Kernel> {
    let (cache, name) = (cache(), format!("{NAME}-{}", arch.debian()));
    let lock = File::options().create(true).append(true).open(cache.join(format!("{name}.lock")))?;
    let _only_one = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, e)| io::Error::from(e))?;
    let home = cache.join(name);
    if !home.exists() {
        fetch(arch, &home)?;
    }
    let mut versions = fs::read_dir(home.join("lib/modules"))?;
    let version = versions.next().ok_or_else(|| io::Error::other("a kernel without modules"))??.file_name();
    Ok(Kernel { arch, image: home.join("vmlinuz"), version: version.to_string_lossy().into_owned(), home })
}

fn fetch(arch: Arch, home: &Path) -> io::Result<()> {
    let (apt, newest) = (Apt::new(&[arch.debian()])?, newest(arch));
    let name = |name: &str| format!("{name}:{}", arch.debian());
    let [named] = &apt.download(&[&name(newest)])?[..] else {
        return Err(io::Error::other("no kernel package"));
    };
    let depends = run(Command::new("dpkg-deb").arg("-f").arg(named).arg("Depends"))?;
    let wanted = depends.split_whitespace().next().unwrap_or_default();
    let packages = apt.download(&[&name(wanted)])?;
    let package = packages.iter().find(|package| *package != named);
    let package = package.ok_or_else(|| io::Error::other(format!("{newest} names no kernel: {depends}")))?;
    // Whole or not at all: another run may look at the cache at any time.
    let partial = home.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir(&partial)?;
    run(Command::new("sh").args(["-ec", UNPACK, "sh"]).arg(package).arg(&partial))?;
    fs::rename(partial, home)
}

/// Puts `modules` and what they need into the root of a ramdisk: their files into `lib/modules`, and their names into
/// `etc/modules`, in order.
pub fn add_modules(kernel: &Kernel, modules: &[&str], root: &Path) -> io::Result<()> {
    let mut names = String::new();
    fs::create_dir_all(root.join("lib/modules"))?;
    for module in kernel.modules(modules)? {
        let name = module.file_name().unwrap_or_default();
        fs::copy(&module, root.join("lib/modules").join(name))?;
        names += &format!("{}\n", name.to_string_lossy());
    }
    fs::write(root.join("etc/modules"), names)
}

/// Packs the root of a ramdisk to the archive `to`, as the kernel wants it.
pub fn archive(root: &TempDir, to: &Path) -> io::Result<()> {
    let pack = "cd \"$1\" && find . | cpio --quiet -o -H newc | gzip -1 > \"$2\"";
    run(Command::new("sh").args(["-ec", pack, "sh"]).arg(root.path()).arg(to)).map(drop)
}
