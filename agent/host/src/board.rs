//! What the system says of its processor and kernel: [`gather`] for [`coracle_core::board::detect`].
//!
//! Invariant: nothing is concluded here, and nothing on the board is changed: the personality is asked for in a thread
//! that ends, and a probe is a program in memory that only exits.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use coracle_core::board::{Facts, Outcome, Probe, doubts};

mod cpu;
mod probe;

/// Bytes of `/proc/cpuinfo` that are kept; the first processor's block has under 2 KiB everywhere.
const CPUINFO_BYTES_MAX: u64 = 4096;
/// Bytes of a one-line file of `/sys`.
const LINE_BYTES_MAX: u64 = 1024;
/// Names of emulators that are kept; qemu knows about thirty.
const EMULATORS_MAX: usize = 64;

/// Where the kernel's files are: the real ones, or a test's.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The root of procfs.
    pub proc: PathBuf,
    /// The root of sysfs.
    pub sys: PathBuf,
}

impl Default for Sources {
    fn default() -> Self {
        Self { proc: "/proc".into(), sys: "/sys".into() }
    }
}

/// Finds out what the system says, and settles by tiny programs what that leaves open.
#[must_use]
pub fn gather() -> Facts {
    let mut facts = gather_from(&Sources::default());
    for platform in doubts(&facts) {
        let outcome = probe::program(&platform).map_or(Outcome::Unclear, |program| probe::execute(&program));
        facts.probes.push(Probe { platform, outcome });
    }
    facts
}

/// The same without executing anything.
#[must_use]
pub fn gather_from(sources: &Sources) -> Facts {
    let machine = nix::sys::utsname::uname()
        .map(|name| name.machine().to_string_lossy().into_owned())
        .unwrap_or_default();
    let auxiliary = cpu::auxiliary();
    Facts {
        target: std::env::consts::ARCH.to_owned(),
        machine,
        at_platform: auxiliary.platform,
        hwcap: auxiliary.hwcap,
        hwcap2: auxiliary.hwcap2,
        cpuinfo: beginning(&sources.proc.join("cpuinfo"), CPUINFO_BYTES_MAX).unwrap_or_default(),
        linux32: cpu::linux32(),
        aarch32_cores: beginning(&sources.sys.join("devices/system/cpu/aarch32_el0"), LINE_BYTES_MAX),
        cpuid: cpu::features(),
        xcr0: cpu::xcr0(),
        ia32: ia32(&sources.proc),
        probes: Vec::new(),
        emulators: emulators(&sources.proc),
    }
}

/// An amd64 kernel has this sysctl when, and only when, it was built with IA32 emulation.
fn ia32(proc: &Path) -> Option<bool> {
    let sysctls = proc.join("sys/abi");
    (cfg!(target_arch = "x86_64") && proc.join("sys/kernel").is_dir())
        .then(|| sysctls.join("vsyscall32").exists())
}

/// What binfmt_misc would run by emulation; its own two control files left out.
fn emulators(proc: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(proc.join("sys/fs/binfmt_misc")) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("qemu-")).take(EMULATORS_MAX).collect();
    names.sort();
    names
}

/// At most `most` bytes of a file; `None` when it cannot be read.
fn beginning(path: &Path, most: u64) -> Option<String> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
