//! System call filters: a profile in the form of docker and containers-common, resolved for one container to what
//! the runtime reads (runtime-spec, `linux.seccomp`).
//!
//! Invariant: resolving only selects rules; it never widens one.

mod built_in;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::bundle::CapabilitySet;
use crate::plain::complaint;

/// Bytes of a profile; the largest known have 20 KiB.
pub const PROFILE_BYTES_MAX: usize = 1 << 20;

/// What a container is filtered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// The kernel's architecture in Go's words (`amd64`, `arm64`, `arm`, `386`, `riscv64`).
    pub architecture: &'a str,
    /// What the container is granted.
    pub capabilities: CapabilitySet,
    /// The kernel's version, major and minor.
    pub kernel: (u32, u32),
}

/// A profile that is not resolved yet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    default_action: String,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    arch_map: Option<Vec<Family>>,
    #[serde(default)]
    flags: Option<Vec<String>>,
    syscalls: Vec<Rule>,
}

/// An architecture, and those whose programs its kernel runs too.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Family {
    architecture: String,
    #[serde(default)]
    sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    /// Old docker profiles have one name a rule.
    name: Option<String>,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: String,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
    #[serde(default)]
    includes: Option<Condition>,
    #[serde(default)]
    excludes: Option<Condition>,
}

/// A condition on one argument of a call.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u32,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// Why a profile was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeccompError {
    /// Longer than [`PROFILE_BYTES_MAX`].
    #[error("the seccomp profile is longer than {PROFILE_BYTES_MAX} bytes")]
    TooLong,
    /// Not JSON of the expected form.
    #[error("the seccomp profile cannot be read: {0}")]
    Form(String),
    /// `minKernel` that is no version.
    #[error("the seccomp profile asks for kernel {0:?}, which is no version")]
    Kernel(String),
    /// No filter can be made for this architecture.
    #[error("no system call filter is known for architecture {0:?}")]
    Architecture(String),
}

impl Profile {
    /// Reads a profile; one in the runtime's own form is one without conditions.
    ///
    /// # Errors
    /// [`SeccompError`] says what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, SeccompError> {
        if bytes.len() > PROFILE_BYTES_MAX {
            return Err(SeccompError::TooLong);
        }
        serde_json::from_slice(bytes).map_err(|error| SeccompError::Form(complaint(&error)))
    }

    /// The profile for boards that have none: what programs need, and of what reaches into the board only what a
    /// capability opens. Calls unknown to it fail with ENOSYS, so that programs fall back to older ones.
    #[must_use]
    pub fn built_in() -> Self {
        built_in::profile()
    }

    /// The filter for `target`.
    ///
    /// # Errors
    /// A `minKernel` that is no version; an architecture nobody has a filter for.
    pub fn resolve(&self, target: &Target<'_>) -> Result<Value, SeccompError> {
        let mut syscalls = Vec::new();
        for rule in &self.syscalls {
            let includes = rule.includes.as_ref().map_or(Ok(true), |wanted| wanted.all(target))?;
            let excludes = rule.excludes.as_ref().map_or(Ok(false), |unwanted| unwanted.any(target))?;
            if includes && !excludes {
                syscalls.extend(rule.resolved());
            }
        }
        let mut filter = Map::new();
        filter.insert("defaultAction".to_owned(), json!(self.default_action));
        filter.extend(self.default_errno_ret.map(|errno| ("defaultErrnoRet".to_owned(), json!(errno))));
        filter.insert("architectures".to_owned(), json!(self.architectures(target.architecture)?));
        filter.extend(self.flags.as_ref().map(|flags| ("flags".to_owned(), json!(flags))));
        filter.insert("syscalls".to_owned(), Value::Array(syscalls));
        Ok(Value::Object(filter))
    }

    /// The target's architecture and those whose programs its kernel runs too.
    fn architectures(&self, architecture: &str) -> Result<Vec<String>, SeccompError> {
        let own = self.architectures.as_ref().filter(|names| !names.is_empty());
        if let (Some(names), None) = (own, &self.arch_map) {
            return Ok(names.clone());
        }
        let (native, subs): (&str, &[&str]) = match architecture {
            "amd64" => ("SCMP_ARCH_X86_64", &["SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
            "386" => ("SCMP_ARCH_X86", &[]),
            "arm64" => ("SCMP_ARCH_AARCH64", &["SCMP_ARCH_ARM"]),
            "arm" => ("SCMP_ARCH_ARM", &[]),
            "riscv64" => ("SCMP_ARCH_RISCV64", &[]),
            other => return Err(SeccompError::Architecture(other.to_owned())),
        };
        let families = self.arch_map.as_deref().unwrap_or_default();
        let family = families.iter().find(|family| family.architecture == native);
        let subs = family.map_or_else(
            || subs.iter().map(|&sub| sub.to_owned()).collect(),
            |family| family.sub_architectures.clone().unwrap_or_default(),
        );
        Ok(std::iter::once(native.to_owned()).chain(subs).collect())
    }
}

impl Rule {
    /// The rule in the runtime's form; nothing where it names no call.
    fn resolved(&self) -> Option<Value> {
        let names: Vec<&String> = self.names.iter().flatten().chain(&self.name).collect();
        if names.is_empty() {
            return None;
        }
        let mut rule = Map::new();
        rule.insert("names".to_owned(), json!(names));
        rule.insert("action".to_owned(), json!(self.action));
        rule.extend(self.errno_ret.map(|errno| ("errnoRet".to_owned(), json!(errno))));
        let args: Vec<Value> = self.args.iter().flatten().map(Argument::resolved).collect();
        if !args.is_empty() {
            rule.insert("args".to_owned(), Value::Array(args));
        }
        Some(Value::Object(rule))
    }
}

impl Argument {
    fn resolved(&self) -> Value {
        json!({ "index": self.index, "value": self.value, "valueTwo": self.value_two, "op": self.op })
    }
}

/// Profiles call 32-bit x86 by the kernel's word.
fn profile_word(architecture: &str) -> &str {
    if architecture == "386" { "x86" } else { architecture }
}

impl Condition {
    /// Whether the target has all of it: every capability, one of the architectures, the kernel.
    fn all(&self, target: &Target<'_>) -> Result<bool, SeccompError> {
        let caps = self.caps.iter().flatten().all(|name| holds(target, name));
        let arches = self.arches.as_ref().filter(|names| !names.is_empty());
        let arch =
            arches.is_none_or(|names| names.iter().any(|name| name == profile_word(target.architecture)));
        Ok(caps && arch && self.recent_enough(target)?.unwrap_or(true))
    }

    /// Whether the target has any of it.
    fn any(&self, target: &Target<'_>) -> Result<bool, SeccompError> {
        let caps = self.caps.iter().flatten().any(|name| holds(target, name));
        let arch = self.arches.iter().flatten().any(|name| name == profile_word(target.architecture));
        Ok(caps || arch || self.recent_enough(target)?.unwrap_or(false))
    }

    /// Whether the kernel is `minKernel` or newer, where that is said.
    fn recent_enough(&self, target: &Target<'_>) -> Result<Option<bool>, SeccompError> {
        let Some(text) = self.min_kernel.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
        let version = text
            .split_once('.')
            .and_then(|(major, minor)| Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?)));
        let version = version.ok_or_else(|| SeccompError::Kernel(text.chars().take(40).collect()))?;
        Ok(Some(target.kernel >= version))
    }
}

fn holds(target: &Target<'_>, name: &str) -> bool {
    target.capabilities.has(name.strip_prefix("CAP_").unwrap_or(name))
}
