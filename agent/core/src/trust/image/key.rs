//! The keys that sign images: what cosign signs with, in the form that openssl and cosign write public keys.
//!
//! ```text
//! ECDSA P-384    30 76 30 10 06 07 … 06 05 2b 81 04 00 22 03 62 00    04, 48 bytes x, 48 bytes y   (RFC 5480)
//! RSA            30 … 30 0d 06 09 2a 86 … 01 01 01 05 00 03 … 00      30 … 02 … n  02 … e          (RFC 3279)
//! ```

use std::fmt;

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Serialize;

use crate::trust::key::{ED25519_HEAD, KeyError, KeyId, P256_HEAD, UNCOMPRESSED, der_of};

const P384_HEAD: &[u8] = &[
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81,
    0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];
/// `rsaEncryption` with its parameters, which are null.
const RSA_ALGORITHM: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
/// Bits of an RSA key that can still be trusted, and that ring verifies with.
const RSA_BITS_MIN: usize = 2048;
const RSA_BITS_MAX: usize = 8192;
/// Bytes of a signature: as many as the longest RSA key has.
const SIGNATURE_BYTES_MAX: usize = RSA_BITS_MAX / 8;
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Algorithm {
    /// RFC 8032.
    #[serde(rename = "ed25519")]
    Ed25519,
    /// Over SHA-256, signatures in DER.
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
    /// Over SHA-256, as cosign does with any curve, or SHA-384, as the curve suggests; signatures in DER.
    #[serde(rename = "ecdsa-p384")]
    EcdsaP384,
    /// Over SHA-256, PKCS #1 v1.5 or PSS; 2048 to 8192 bits.
    #[serde(rename = "rsa")]
    Rsa,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::Rsa => "rsa",
        })
    }
}

/// Why something is no key for images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImageKeyError {
    /// Not one public key in PEM.
    #[error(transparent)]
    Pem(#[from] KeyError),
    /// A key of another kind.
    #[error("is neither an Ed25519, ECDSA P-256, ECDSA P-384 nor RSA key")]
    Algorithm,
    /// An RSA key that is too short or too long.
    #[error("is an RSA key of {0} bits; {RSA_BITS_MIN} to {RSA_BITS_MAX} are taken")]
    Bits(usize),
}

/// A key that signatures of images are held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageKey {
    id: KeyId,
    algorithm: Algorithm,
    /// The point, or n and e in their sequence: what is verified with.
    key: Vec<u8>,
}

impl ImageKey {
    /// Reads a PEM file with one key and nothing else.
    ///
    /// # Errors
    /// [`ImageKeyError`] says what it is instead.
    pub fn from_pem(text: &str) -> Result<Self, ImageKeyError> {
        let der = der_of(text)?;
        let point = |head: &[u8], length: usize| {
            let point = der.strip_prefix(head).filter(|point| point.len() == length)?;
            (length == 32 || point.first() == Some(&UNCOMPRESSED)).then(|| point.to_vec())
        };
        let (algorithm, key) = if let Some(point) = point(ED25519_HEAD, 32) {
            (Algorithm::Ed25519, point)
        } else if let Some(point) = point(P256_HEAD, 65) {
            (Algorithm::EcdsaP256, point)
        } else if let Some(point) = point(P384_HEAD, 97) {
            (Algorithm::EcdsaP384, point)
        } else {
            let key = rsa(&der).ok_or(ImageKeyError::Algorithm)?;
            let bits = modulus_bits(key).ok_or(ImageKeyError::Algorithm)?;
            if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
                return Err(ImageKeyError::Bits(bits));
            }
            (Algorithm::Rsa, key.to_vec())
        };
        Ok(Self { id: KeyId::of(&der), algorithm, key })
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

    /// Whether `signature` was made by this key over exactly `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        if signature.len() > SIGNATURE_BYTES_MAX {
            return false;
        }
        let ways: &[&dyn VerificationAlgorithm] = match self.algorithm {
            Algorithm::Ed25519 => &[&ED25519],
            Algorithm::EcdsaP256 => &[&ECDSA_P256_SHA256_ASN1],
            Algorithm::EcdsaP384 => &[&ECDSA_P384_SHA256_ASN1, &ECDSA_P384_SHA384_ASN1],
            Algorithm::Rsa => &[&RSA_PKCS1_2048_8192_SHA256, &RSA_PSS_2048_8192_SHA256],
        };
        ways.iter().any(|way| UnparsedPublicKey::new(*way, &self.key).verify(message, signature).is_ok())
    }
}

/// The `RSAPublicKey` inside a `SubjectPublicKeyInfo`.
fn rsa(der: &[u8]) -> Option<&[u8]> {
    let inside = alone(der, SEQUENCE)?;
    let (algorithm, rest) = element(inside, SEQUENCE)?;
    if algorithm != RSA_ALGORITHM {
        return None;
    }
    // The bits are whole bytes.
    alone(rest, BIT_STRING)?.strip_prefix(&[0])
}

fn modulus_bits(key: &[u8]) -> Option<usize> {
    let (modulus, rest) = element(alone(key, SEQUENCE)?, INTEGER)?;
    alone(rest, INTEGER)?;
    let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    let unused = usize::try_from(modulus.first()?.leading_zeros()).ok()?;
    (modulus.len() * 8).checked_sub(unused)
}

/// The content of the only element.
fn alone(der: &[u8], tag: u8) -> Option<&[u8]> {
    element(der, tag).and_then(|(content, rest)| rest.is_empty().then_some(content))
}

/// The content of the first element, and what follows it; in DER a length has one form.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match der.strip_prefix(&[tag])? {
        [length @ ..=0x7f, rest @ ..] => (usize::from(*length), rest),
        [0x81, length @ 0x80..=0xff, rest @ ..] => (usize::from(*length), rest),
        [0x82, high @ 1..=0xff, low, rest @ ..] => (usize::from(*high) << 8 | usize::from(*low), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}
