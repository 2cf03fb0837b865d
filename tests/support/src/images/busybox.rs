//! Debian's static busybox for each architecture, fetched once and kept in the cache.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::debian::{self, Apt};
use crate::scratch::{TempDir, cache};

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

    /// As Debian names it.
    pub fn debian(self) -> &'static str {
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
    let apt = Apt::new(&Arch::ALL.map(Arch::debian))?;
    let wanted = Arch::ALL.map(|arch| format!("busybox-static:{}", arch.debian()));
    let scratch = TempDir::new("busybox");
    for package in apt.download(&wanted.each_ref().map(String::as_str))? {
        let name = package.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(arch) = name.strip_suffix(".deb").and_then(|n| n.rsplit('_').next()) else { continue };
        let tree = scratch.join(arch);
        debian::unpack(&package, &tree)?;
        // Whole or not at all: another run may look at the cache at any time.
        let partial = cache.join(format!("busybox-{arch}.partial"));
        fs::copy(tree.join("bin/busybox"), &partial)?;
        fs::rename(&partial, cache.join(format!("busybox-{arch}")))?;
    }
    Ok(())
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
