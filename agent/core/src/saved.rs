//! The version of a saved form, and the one sentence on a form of a newer agent.
//!
//! Invariant: a form of a version that this agent does not know is never read further than its version, and never
//! replaced or removed for it.

use serde::Deserialize;

/// A saved form that a newer agent wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has version {found}, and this agent reads up to version {known}: install the newer agent again")]
pub struct Newer {
    /// The version that it has.
    pub found: u32,
    /// The highest that can be read.
    pub known: u32,
}

impl Newer {
    /// Refuses a version above the highest that can be read.
    ///
    /// # Errors
    /// [`Newer`].
    pub fn check(found: u32, known: u32) -> Result<(), Self> {
        if found > known { Err(Self { found, known }) } else { Ok(()) }
    }

    /// Whether a JSON object says by its `version` that it is newer than `known`; `None` for whatever says nothing.
    #[must_use]
    pub fn of_json(bytes: &[u8], known: u32) -> Option<Self> {
        Self::check(version(bytes)?, known).err()
    }
}

/// The `version` of a JSON object; `None` for whatever has none.
#[must_use]
pub fn version(bytes: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    serde_json::from_slice(bytes).ok().map(|Versioned { version }| version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &str, expected: Option<u32>) {
        assert_eq!(Newer::of_json(bytes.as_bytes(), 2).map(|newer| newer.found), expected, "{bytes}");
    }

    #[test]
    fn only_a_version_above_the_known_one_is_newer() {
        check(r#"{"version":3,"anything":{"that":"a newer agent writes"}}"#, Some(3));
        check(r#"{"version":2}"#, None);
        check(r#"{"version":1}"#, None);
        check(r#"{"version":"3"}"#, None);
        check(r#"{"other":3}"#, None);
        check("", None);
    }

    #[test]
    fn the_sentence_has_both_versions_and_what_helps() {
        let said = Newer { found: 3, known: 2 }.to_string();
        assert_eq!(
            said,
            "it has version 3, and this agent reads up to version 2: install the newer agent again"
        );
    }
}
