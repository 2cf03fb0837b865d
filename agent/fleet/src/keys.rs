//! Private keys in files, in the form that openssl writes and reads them.
//!
//! ```text
//! -----BEGIN ENCRYPTED PRIVATE KEY-----   PKCS#8 under PBES2: PBKDF2 with HMAC-SHA-256, AES-256 in CBC
//! -----BEGIN PRIVATE KEY-----             PKCS#8 as it is
//! ```

use coracle_core::trust::{Algorithm, KeyError, PublicKey};
use pkcs8::der::SecretDocument;
use pkcs8::der::pem::LineEnding;
use pkcs8::pkcs5::pbes2;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};

/// Rounds of PBKDF2: half a second of a laptop for one who guesses, as OWASP advises for SHA-256.
const ITERATIONS: u32 = 600_000;
const SALT_BYTES: usize = 16;
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
const PLAIN: &str = "PRIVATE KEY";
/// A PKCS#8 key of Ed25519 (RFC 8410, 7) up to its seed. The second version, which has the public key too, is what
/// openssl 3.0 does not read.
const ED25519_HEAD: &[u8] =
    &[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// What public keys begin with, up to their point (RFC 8410, RFC 5480).
const ED25519_PUBLIC: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const P256_PUBLIC: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Why a text is no key that can sign.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PrivateKeyError {
    /// Something else.
    #[error(
        "is not one private key in PEM (-----BEGIN PRIVATE KEY----- or -----BEGIN ENCRYPTED PRIVATE KEY-----)"
    )]
    Form,
    /// A public one.
    #[error("is a public key: signing takes the private one")]
    Public,
    /// An older form of PEM.
    #[error("is not PKCS#8; run: openssl pkcs8 -topk8 -in OLD -out NEW")]
    Old,
    /// Encrypted in another way.
    #[error(
        "is encrypted in a way that is not read here; run: \
         openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -in OLD -out NEW"
    )]
    Encryption,
    /// The passphrase is another.
    #[error("does not open: the passphrase is wrong")]
    Passphrase,
    /// A key of another kind.
    #[error("is neither an Ed25519 nor an ECDSA P-256 key")]
    Algorithm,
    /// The system has no chance to give.
    #[error("cannot be made: the system has no random numbers")]
    Random,
}

/// A key that signs. It has no `Debug`: it must not come into a log.
pub(crate) enum PrivateKey {
    /// RFC 8032.
    Ed25519(Ed25519KeyPair),
    /// Over SHA-256, signatures in DER.
    P256(EcdsaKeyPair),
}

/// The bytes of a key, in PKCS#8.
pub(crate) struct Pkcs8(SecretDocument);

impl Pkcs8 {
    /// A fresh key.
    pub(crate) fn generate(algorithm: Algorithm) -> Result<Self, PrivateKeyError> {
        let random = SystemRandom::new();
        let der = match algorithm {
            Algorithm::Ed25519 => {
                let mut seed = [0; 32];
                random.fill(&mut seed).map_err(|_| PrivateKeyError::Random)?;
                [ED25519_HEAD, &seed].concat()
            }
            Algorithm::EcdsaP256 => {
                let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
                made.map_err(|_| PrivateKeyError::Random)?.as_ref().to_vec()
            }
        };
        SecretDocument::try_from(der).map(Self).map_err(|_| PrivateKeyError::Form)
    }

    /// Reads a PEM file; `passphrase` is asked only where the key has one.
    pub(crate) fn from_pem<E: From<PrivateKeyError>>(
        text: &str,
        passphrase: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let (label, document) = SecretDocument::from_pem(text).map_err(|_| PrivateKeyError::Form)?;
        match label {
            PLAIN => Ok(Self(document)),
            ENCRYPTED => {
                let info = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
                    .map_err(|_| PrivateKeyError::Encryption)?;
                // Asked what it is before anybody has to type: what is not read here needs no passphrase.
                if !matches!(info.encryption_algorithm, pkcs8::pkcs5::EncryptionScheme::Pbes2(_)) {
                    return Err(PrivateKeyError::Encryption.into());
                }
                let opened = info.decrypt(passphrase()?).map_err(|error| unopened(&error))?;
                // A wrong passphrase gives rubbish whose padding is good, once in some hundred times.
                PrivateKeyInfoRef::try_from(opened.as_bytes()).map_err(|_| PrivateKeyError::Passphrase)?;
                Ok(Self(opened))
            }
            "PUBLIC KEY" => Err(PrivateKeyError::Public.into()),
            "EC PRIVATE KEY" | "RSA PRIVATE KEY" => Err(PrivateKeyError::Old.into()),
            _ => Err(PrivateKeyError::Form.into()),
        }
    }

    /// The PEM file, under a passphrase where there is one.
    pub(crate) fn to_pem(&self, passphrase: Option<&[u8]>) -> Result<String, PrivateKeyError> {
        let pem = match passphrase {
            None => self.0.to_pem(PLAIN, LineEnding::LF),
            Some(passphrase) => self.sealed(passphrase)?.to_pem(ENCRYPTED, LineEnding::LF),
        };
        pem.map(|pem| pem.to_string()).map_err(|_| PrivateKeyError::Form)
    }

    fn sealed(&self, passphrase: &[u8]) -> Result<SecretDocument, PrivateKeyError> {
        let (mut salt, mut iv) = ([0; SALT_BYTES], [0; 16]);
        let random = SystemRandom::new();
        random.fill(&mut salt).and_then(|()| random.fill(&mut iv)).map_err(|_| PrivateKeyError::Random)?;
        let parameters = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(ITERATIONS, &salt, iv)
            .map_err(|_| PrivateKeyError::Encryption)?;
        let info = PrivateKeyInfoRef::try_from(self.0.as_bytes()).map_err(|_| PrivateKeyError::Form)?;
        info.encrypt_with_params(parameters, passphrase).map_err(|_| PrivateKeyError::Encryption)
    }

    /// The key itself.
    pub(crate) fn key(&self) -> Result<PrivateKey, PrivateKeyError> {
        let der = self.0.as_bytes();
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Ok(PrivateKey::Ed25519(pair));
        }
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der, &SystemRandom::new())
            .map(PrivateKey::P256)
            .map_err(|_| PrivateKeyError::Algorithm)
    }
}

#[allow(clippy::wildcard_enum_match_arm)] // The library's enum; whatever else fails comes of a wrong passphrase.
fn unopened(error: &pkcs8::Error) -> PrivateKeyError {
    use pkcs8::pkcs5::Error;
    match error {
        pkcs8::Error::EncryptedPrivateKey(
            Error::UnsupportedAlgorithm { .. }
            | Error::AlgorithmParametersInvalid { .. }
            | Error::NoPbes1CryptSupport,
        ) => PrivateKeyError::Encryption,
        _ => PrivateKeyError::Passphrase,
    }
}

impl PrivateKey {
    /// The key that boards hold its signatures against.
    pub(crate) fn public(&self) -> Result<PublicKey, KeyError> {
        PublicKey::from_der(&match self {
            Self::Ed25519(pair) => [ED25519_PUBLIC, pair.public_key().as_ref()].concat(),
            Self::P256(pair) => [P256_PUBLIC, pair.public_key().as_ref()].concat(),
        })
    }

    /// A signature over exactly `message`.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PrivateKeyError> {
        match self {
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Self::P256(pair) => {
                let made = pair.sign(&SystemRandom::new(), message);
                made.map(|made| made.as_ref().to_vec()).map_err(|_| PrivateKeyError::Random)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(text: &str, passphrase: &[u8]) -> Result<Pkcs8, PrivateKeyError> {
        Pkcs8::from_pem(text, || Ok(passphrase.to_vec()))
    }

    #[track_caller]
    fn signs_after_a_passage_through_pem(algorithm: Algorithm, passphrase: Option<&[u8]>) {
        let made = Pkcs8::generate(algorithm).unwrap();
        let pem = made.to_pem(passphrase).unwrap();
        let label = if passphrase.is_some() { ENCRYPTED } else { PLAIN };
        assert!(pem.starts_with(&format!("-----BEGIN {label}-----\n")) && pem.ends_with("-----\n"), "{pem}");
        let key = opened(&pem, passphrase.unwrap_or_default()).unwrap().key().unwrap();
        let public = made.key().unwrap().public().unwrap();
        assert_eq!((public.algorithm(), key.public().unwrap()), (algorithm, public.clone()));
        assert!(public.verifies(b"message", &key.sign(b"message").unwrap()));
        assert!(!public.verifies(b"massage", &key.sign(b"message").unwrap()));
        if passphrase.is_some() {
            assert_eq!(opened(&pem, b"other").err(), Some(PrivateKeyError::Passphrase));
        }
    }

    #[test]
    fn a_key_signs_after_a_passage_through_its_file() {
        for algorithm in [Algorithm::Ed25519, Algorithm::EcdsaP256] {
            signs_after_a_passage_through_pem(algorithm, None);
            signs_after_a_passage_through_pem(algorithm, Some(b"correct horse"));
        }
    }

    #[test]
    fn what_is_no_private_key_is_refused_with_what_it_is() {
        let public = Pkcs8::generate(Algorithm::Ed25519).unwrap().key().unwrap().public().unwrap();
        for (text, expected) in [
            ("", PrivateKeyError::Form),
            ("hello", PrivateKeyError::Form),
            (public.to_pem().as_str(), PrivateKeyError::Public),
            ("-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n", PrivateKeyError::Old),
        ] {
            assert_eq!(opened(text, b"").err(), Some(expected), "{text}");
        }
        let empty = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        assert_eq!(opened(empty, b"").unwrap().key().err(), Some(PrivateKeyError::Algorithm));
    }
}
