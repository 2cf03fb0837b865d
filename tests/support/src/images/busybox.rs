//! Debian's static busybox for each architecture, fetched once through an apt of our own and kept in the cache.
//!
//! The system's apt keeps its lists, architectures and packages as they are.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{Flock, FlockArg};

use crate::process::run;
use crate::scratch::{TempDir, cache};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An architecture that a microPlatform board has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// 64-bit x86.
    Amd64,
    /// 64-bit arm.
    Arm64,
    /// 32-bit arm, version 7 with hardware floating point.
    ArmV7,
}

impl Arch {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Amd64, Self::Arm64, Self::ArmV7];

    /// As OCI documents name it.
    pub fn oci(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
            Self::ArmV7 => "arm",
        }
    }

    /// The variant as OCI documents name it.
    pub fn variant(self) -> Option<&'static str> {
        match self {
            Self::Amd64 | Self::Arm64 => None,
            Self::ArmV7 => Some("v7"),
        }
    }

    /// As a whole platform: `linux/arm/v7`.
    pub fn platform(self) -> String {
        let variant = self.variant().map(|v| format!("/{v}")).unwrap_or_default();
        format!("linux/{}{variant}", self.oci())
    }

    fn debian(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
            Self::ArmV7 => "armhf",
        }
    }
}

/// The path of a busybox that runs on `arch`.
pub fn busybox(arch: Arch) -> io::Result<PathBuf> {
    let cache = cache();
    let lock = File::options().create(true).append(true).open(cache.join("busybox.lock"))?;
    let _only_one = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, e)| io::Error::from(e))?;
    let path = cache.join(format!("busybox-{}", arch.debian()));
    if !path.exists() {
        fetch(&cache)?;
    }
    Ok(path)
}

fn fetch(cache: &Path) -> io::Result<()> {
    let root = TempDir::new("apt");
    for folder in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::write(root.join("sources.list"), format!("deb [signed-by={KEYRING}] {} bookworm main\n", mirror()))?;
    run(apt(&root).arg("update"))?;
    let wanted = Arch::ALL.map(|arch| format!("busybox-static:{}", arch.debian()));
    run(apt(&root).arg("download").args(wanted))?;
    for package in fs::read_dir(root.path())? {
        let package = package?.path();
        let name = package.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(arch) = name.strip_suffix(".deb").and_then(|n| n.rsplit('_').next()) else { continue };
        let tree = root.join(arch);
        run(Command::new("dpkg").arg("-x").arg(&package).arg(&tree))?;
        // Whole or not at all: another run may look at the cache at any time.
        let partial = cache.join(format!("busybox-{arch}.partial"));
        fs::copy(tree.join("bin/busybox"), &partial)?;
        fs::rename(&partial, cache.join(format!("busybox-{arch}")))?;
    }
    Ok(())
}

fn apt(root: &TempDir) -> Command {
    let mut command = Command::new("apt-get");
    command.current_dir(root.path()).args([
        "-q",
        "-o",
        "APT::Sandbox::User=root",
        "-o",
        "Dir::Etc::sourceparts=/dev/null",
    ]);
    for (key, folder) in
        [("Dir::State::lists", "lists"), ("Dir::Cache", "cache"), ("Dir::Etc::sourcelist", "sources.list")]
    {
        command.arg("-o").arg(format!("{key}={}", root.join(folder).display()));
    }
    for arch in Arch::ALL {
        command.arg("-o").arg(format!("APT::Architectures::={}", arch.debian()));
    }
    command
}

/// The mirror that this machine already uses, else Debian's own.
fn mirror() -> String {
    let lists = ["/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources"];
    let text = lists.iter().filter_map(|path| fs::read_to_string(path).ok()).collect::<String>();
    let used = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace)
        .find(|word| word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian"));
    used.unwrap_or("http://deb.debian.org/debian").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_architecture_has_its_own_static_busybox() {
        // ELF machine numbers: EM_X86_64, EM_AARCH64, EM_ARM.
        for (arch, machine) in [(Arch::Amd64, 62), (Arch::Arm64, 183), (Arch::ArmV7, 40)] {
            let program = fs::read(busybox(arch).unwrap()).unwrap();
            assert_eq!(&program[..4], b"\x7fELF");
            assert_eq!(program[18], machine, "{arch:?}");
        }
    }
}
