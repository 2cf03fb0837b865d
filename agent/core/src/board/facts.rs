//! What the system says of itself: the input of every decision on platforms, and the form in which boards are recorded.

use serde::{Deserialize, Serialize};

use crate::oci::Platform;

/// What was found out about a board. What could not be read is absent, never guessed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Facts {
    /// The architecture that the agent was built for, in Rust's words (`arm`, `aarch64`, `x86_64`, `riscv64`).
    pub target: String,
    /// The kernel's machine name (`uname -m`).
    pub machine: String,
    /// The auxiliary vector's AT_PLATFORM (`v6l`, `v7l`, `aarch64`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_platform: Option<String>,
    /// The auxiliary vector's AT_HWCAP; its bits mean what they mean for `target`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hwcap: Option<u64>,
    /// The auxiliary vector's AT_HWCAP2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hwcap2: Option<u64>,
    /// The beginning of `/proc/cpuinfo`. For people: its "CPU architecture" is not believed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cpuinfo: String,
    /// What a 64-bit ARM kernel answered to `personality(PER_LINUX32)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux32: Option<Personality>,
    /// The cores that run AArch32 where not all do (`/sys/devices/system/cpu/aarch32_el0`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aarch32_cores: Option<String>,
    /// CPUID's feature names on amd64, as `/proc/cpuinfo` spells them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpuid: Vec<String>,
    /// The register state that the kernel saves (XCR0) on amd64; absent without OSXSAVE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xcr0: Option<u64>,
    /// Whether an amd64 kernel was built with IA32 emulation, as far as its sysctl tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ia32: Option<bool>,
    /// Tiny programs that were executed, with what became of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<Probe>,
    /// Emulators registered with binfmt_misc.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub emulators: Vec<String>,
}

/// The answer to `personality(PER_LINUX32)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Personality {
    /// Taken: 32-bit programs run.
    Accepted,
    /// EINVAL: this processor or kernel has no 32-bit side.
    Refused,
}

/// One tiny program that was executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// The platform it is for.
    pub platform: Platform,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a tiny program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It ran to its end.
    Ran,
    /// The kernel would not load it (ENOEXEC).
    NotLoaded,
    /// It died of an instruction that the processor does not know (SIGILL).
    IllegalInstruction,
    /// It could not be tried, or ended in a way that tells nothing.
    Unclear,
}

impl Facts {
    /// Whether the program of `platform` ran; `None` when it was not tried or the outcome tells nothing.
    pub(super) fn ran(&self, platform: &Platform) -> Option<bool> {
        let probe = self.probes.iter().find(|probe| probe.platform.normalized() == *platform)?;
        match probe.outcome {
            Outcome::Ran => Some(true),
            Outcome::NotLoaded | Outcome::IllegalInstruction => Some(false),
            Outcome::Unclear => None,
        }
    }

    /// The value of the first line of cpuinfo with this key.
    pub(super) fn cpuinfo(&self, key: &str) -> Option<&str> {
        self.cpuinfo.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            (found.trim() == key).then(|| value.trim())
        })
    }

    /// Whether binfmt_misc would run a program of `architecture` (qemu's word) by emulation.
    pub(super) fn emulated(&self, architecture: &str) -> bool {
        self.emulators.iter().any(|name| name == &format!("qemu-{architecture}"))
    }
}

impl Outcome {
    /// The outcome in words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Ran => "ran",
            Self::NotLoaded => "was not loaded by the kernel (ENOEXEC)",
            Self::IllegalInstruction => "died of an illegal instruction (SIGILL)",
            Self::Unclear => "told nothing",
        }
    }
}
