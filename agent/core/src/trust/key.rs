//! Public keys, in the form that openssl and cosign write them.
//!
//! Two algorithms are taken, each in its one usual encoding, so that a key has one form and one id:
//!
//! ```text
//! Ed25519        30 2a 30 05 06 03 2b 65 70 03 21 00                          32 bytes       (RFC 8410)
//! ECDSA P-256    30 59 30 13 06 07 … 06 08 … 03 42 00            04, 32 bytes x, 32 bytes y  (RFC 5480)
//! ```

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::oci::Digest;

/// Bytes of a PEM file with one key; one has 113 or 178.
const PEM_BYTES_MAX: usize = 4 << 10;
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";
/// Characters of a line between the two, as openssl writes it.
const LINE_CHARS: usize = 64;
/// What a key of either algorithm begins with.
pub(super) const ED25519_HEAD: &[u8] =
    &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
pub(super) const P256_HEAD: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// An uncompressed point begins so (SEC 1, 2.3.3).
pub(super) const UNCOMPRESSED: u8 = 0x04;

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Algorithm {
    /// RFC 8032.
    #[serde(rename = "ed25519")]
    Ed25519,
    /// Over SHA-256, signatures in DER.
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
}

impl Algorithm {
    /// Whether a signature of this form can be one; a 64-byte one may be either.
    fn may_have_made(self, signature: &[u8]) -> bool {
        match self {
            Self::Ed25519 => signature.len() == 64,
            // A sequence of two numbers of at most 33 bytes.
            Self::EcdsaP256 => (8..=72).contains(&signature.len()) && signature.first() == Some(&0x30),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256 => "ecdsa-p256",
        })
    }
}

/// Names a key: the SHA-256 of its DER (a `SubjectPublicKeyInfo`), in hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Digest);

impl KeyId {
    /// From 64 lower-case hex digits; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Digest::from_hex(text).map(Self)
    }

    /// The name of the key with this DER.
    pub(super) fn of(der: &[u8]) -> Self {
        Self(Digest::of(der))
    }

    /// The first digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        self.0.short()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.hex())
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a key id is 64 lower-case hex digits"))
    }
}

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A private one, which has no business on a board.
    #[error("is a private key: a board needs the public one alone (openssl pkey -pubout, cosign public-key)")]
    Private,
    /// Something else.
    #[error("is not one public key in PEM (-----BEGIN PUBLIC KEY-----)")]
    Form,
    /// A key of another kind.
    #[error("is neither an Ed25519 nor an uncompressed ECDSA P-256 key")]
    Algorithm,
}

/// A key that signatures are held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    id: KeyId,
    algorithm: Algorithm,
    der: Vec<u8>,
}

impl PublicKey {
    /// Reads a PEM file with one key and nothing else.
    ///
    /// # Errors
    /// [`KeyError`] says what it is instead.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        Self::from_der(&der_of(text)?)
    }

    /// Reads a `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// [`KeyError::Algorithm`].
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let algorithm = match (der.strip_prefix(ED25519_HEAD), der.strip_prefix(P256_HEAD)) {
            (Some(point), _) if point.len() == 32 => Algorithm::Ed25519,
            (_, Some(point)) if point.len() == 65 && point.first() == Some(&UNCOMPRESSED) => {
                Algorithm::EcdsaP256
            }
            _ => return Err(KeyError::Algorithm),
        };
        Ok(Self { id: KeyId::of(der), algorithm, der: der.to_vec() })
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// How it signs.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The PEM file, as openssl writes it.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let body = STANDARD.encode(&self.der);
        let mut pem = format!("{BEGIN}\n");
        let mut rest = body.as_str();
        while !rest.is_empty() {
            let (line, left) = rest.split_at(rest.len().min(LINE_CHARS));
            pem.push_str(line);
            pem.push('\n');
            rest = left;
        }
        pem.push_str(END);
        pem.push('\n');
        pem
    }

    /// Whether `signature` was made by this key over exactly `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        if !self.algorithm.may_have_made(signature) {
            return false;
        }
        let (head, verified) = match self.algorithm {
            Algorithm::Ed25519 => (ED25519_HEAD, &ED25519 as &dyn ring::signature::VerificationAlgorithm),
            Algorithm::EcdsaP256 => (P256_HEAD, &ECDSA_P256_SHA256_ASN1 as _),
        };
        let Some(point) = self.der.strip_prefix(head) else { return false };
        UnparsedPublicKey::new(verified, point).verify(message, signature).is_ok()
    }
}

/// The DER of a PEM file with one public key and nothing else.
///
/// # Errors
/// [`KeyError::Private`], [`KeyError::Form`].
pub(super) fn der_of(text: &str) -> Result<Vec<u8>, KeyError> {
    if text.len() > PEM_BYTES_MAX {
        return Err(KeyError::Form);
    }
    if text.contains("PRIVATE KEY-----") {
        return Err(KeyError::Private);
    }
    let inner = text.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
    let body: String = inner.ok_or(KeyError::Form)?.split_ascii_whitespace().collect();
    STANDARD.decode(body).map_err(|_| KeyError::Form)
}
