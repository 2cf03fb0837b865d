//! Which runtime is there, and whether it is safe to use.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::error::{Attempt, Cause, RuntimeError};

/// The first runc with the procfs escapes of November 2025 closed, in its oldest maintained series.
const RUNC_OLDEST: Version = Version { major: 1, minor: 2, patch: 8 };

/// A release number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First part.
    pub major: u32,
    /// Second part.
    pub minor: u32,
    /// Third part.
    pub patch: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// What a runtime says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeVersion {
    /// `crun`, `runc`, `youki`.
    pub name: String,
    /// Its release.
    pub version: Version,
}

/// Asks the runtime at `program` for its name and version.
///
/// # Errors
/// [`RuntimeError`] when it does not answer, or is a runc with known escapes.
pub fn probe(program: &Path) -> Result<RuntimeVersion, RuntimeError> {
    let fail = |cause| RuntimeError::new(Attempt::Probe, &program.to_string_lossy(), cause);
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let (status, output) = super::output(&mut command).map_err(fail)?;
    if !status.success() {
        return Err(fail(Cause::Refused(status.to_string())));
    }
    let text = String::from_utf8_lossy(&output);
    let found = parse(&text).ok_or_else(|| fail(Cause::Answer(text.chars().take(200).collect())))?;
    if found.name == "runc" && found.version < RUNC_OLDEST {
        return Err(fail(Cause::TooOld { found: found.version, oldest: RUNC_OLDEST }));
    }
    Ok(found)
}

/// Reads the first line of `--version`: `crun version 1.8.1`, `runc version 1.1.5+ds1`, `youki version: 0.5.3`.
pub(super) fn parse(text: &str) -> Option<RuntimeVersion> {
    let mut words = text.lines().next()?.split_whitespace();
    let name = words.next()?.to_owned();
    let number = words.find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut parts = number.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    let version = Version { major: next(), minor: next(), patch: next() };
    Some(RuntimeVersion { name, version })
}
