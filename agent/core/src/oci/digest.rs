//! Content digests (OCI image-spec, descriptor.md, "Digests"); only SHA-256 is taken.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;
use sha2::digest::common::hazmat::{SerializableState as _, SerializedState};

/// The SHA-256 of some bytes, written `sha256:` and 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// Why a digest was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Another algorithm than SHA-256.
    #[error("digest {0:?} uses an algorithm this agent does not take (only sha256)")]
    Algorithm(String),
    /// Not an algorithm, a colon and 64 lower-case hex digits.
    #[error("digest {0:?} is not sha256:<64 lower-case hex digits>")]
    Form(String),
}

const PREFIX: &str = "sha256:";

impl Digest {
    /// Parses the written form.
    ///
    /// # Errors
    /// [`DigestError`] names the text and the rule.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let shown = || text.chars().take(80).collect::<String>();
        let Some(hex) = text.strip_prefix(PREFIX) else {
            let known = text.split_once(':').is_some_and(|(a, _)| !a.is_empty());
            return Err(if known { DigestError::Algorithm(shown()) } else { DigestError::Form(shown()) });
        };
        Self::from_hex(hex).ok_or_else(|| DigestError::Form(shown()))
    }

    /// From 64 lower-case hex digits; `None` for anything else.
    #[must_use]
    pub fn from_hex(hex: &str) -> Option<Self> {
        if hex.len() != 64 {
            return None;
        }
        let nibble = |c: u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let [high, low] = pair else { return None };
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Some(Self(bytes))
    }

    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The 64 hex digits: a safe file name.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().fold(String::with_capacity(64), |mut out, byte| {
            // Writing to a String cannot fail.
            let _ = write!(out, "{byte:02x}");
            out
        })
    }

    /// The first 12 hex digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        self.hex().chars().take(12).collect()
    }

    /// The raw 32 bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Hashes bytes as they pass.
#[derive(Debug, Clone, Default)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// Nothing hashed yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// What it remembers of the bytes taken, in the form of the `sha2` crate; the same on every processor.
    #[must_use]
    pub fn state(&self) -> Vec<u8> {
        self.0.serialize().to_vec()
    }

    /// Goes on from a [`Hasher::state`]; `None` for what is none.
    #[must_use]
    pub fn resumed(state: &[u8]) -> Option<Self> {
        let state = SerializedState::<sha2::Sha256>::try_from(state).ok()?;
        sha2::Sha256::deserialize(&state).ok().map(Self)
    }

    /// The digest of all bytes taken.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_nothing_is_the_published_one() {
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), text);
        assert_eq!(Digest::parse(text).unwrap(), Digest::of(b""));
    }

    #[test]
    fn a_hasher_goes_on_from_its_state_at_every_length() {
        let bytes: Vec<u8> = (0..=255).collect();
        for split in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(split);
            let mut first = Hasher::new();
            first.update(head);
            let mut second = Hasher::resumed(&first.state()).unwrap();
            second.update(tail);
            assert_eq!(second.finish(), Digest::of(&bytes), "{split}");
        }
        assert!(Hasher::resumed(b"").is_none());
        assert!(Hasher::resumed(&[0xff; 105]).is_none());
    }

    #[test]
    fn a_digest_is_refused_when_it_is_not_64_lower_case_hex_digits_of_sha256() {
        let upper = format!("sha256:{}", "A".repeat(64));
        let long = format!("sha256:{}", "a".repeat(65));
        for bad in ["", "sha256:", "sha256:../../etc", &upper, &long, "e3b0"] {
            assert!(matches!(Digest::parse(bad), Err(DigestError::Form(_))), "{bad:?}");
        }
        assert!(matches!(Digest::parse("sha512:00"), Err(DigestError::Algorithm(_))));
    }
}
