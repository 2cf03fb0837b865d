//! Who signs: keys in files, and a command that has its own.

use std::path::Path;

use coracle_core::trust::{Envelope, KeyId, Kind, PublicKey, Signature, pae};
use coracle_host::console::exit::{Exit, Failure};
use coracle_host::files;

use crate::args::Signing;
use crate::keys::{Pkcs8, PrivateKey, PrivateKeyError};
use crate::{secret, signer};

/// Bytes of a key's file; one has some hundreds.
const KEY_BYTES_MAX: u64 = 16 << 10;

/// One who signs.
pub(crate) struct Signer {
    public: PublicKey,
    hand: Hand,
}

enum Hand {
    Key(Box<PrivateKey>),
    Command(String),
}

/// All of `args`, opened: what is wrong with a key or a passphrase shows before anything else is begun.
pub(crate) fn signers(args: &Signing) -> Result<Vec<Signer>, Failure> {
    let files = &args.passphrase_files;
    if files.len() > 1 && files.len() != args.keys.len() {
        let message = "--passphrase-file stands once for all keys, or once for each --key in turn";
        return Err(Failure::usage(message));
    }
    let mut signers = Vec::new();
    for (nth, path) in args.keys.iter().enumerate() {
        let refused = |error: &dyn std::fmt::Display| Failure {
            exit: Exit::Configuration,
            message: format!("{} {error}", path.display()),
        };
        let bytes = secret::read(path, KEY_BYTES_MAX).map_err(|failure| unless_public(path, failure))?;
        let text = String::from_utf8(bytes).map_err(|_| refused(&PrivateKeyError::Form))?;
        let opened =
            Pkcs8::from_pem(&text, || secret::passphrase(files, nth, path).map_err(Unopened::Asking));
        let key = opened.and_then(|opened| Ok(opened.key()?)).map_err(|error| match error {
            Unopened::Asking(failure) => failure,
            Unopened::Key(error) => refused(&error),
        })?;
        let public = key.public().map_err(|error| refused(&error))?;
        signers.push(Signer { public, hand: Hand::Key(Box::new(key)) });
    }
    if let (Some(command), Some(path)) = (&args.signer, &args.public_key) {
        signers.push(Signer { public: public_key(path)?, hand: Hand::Command(command.clone()) });
    }
    Ok(signers)
}

/// What is wrong with the modes of a file, unless it has a public key, which may well be read by others.
fn unless_public(path: &Path, failure: Failure) -> Failure {
    if public_key(path).is_err() {
        return failure;
    }
    let message = format!("{} {}", path.display(), PrivateKeyError::Public);
    Failure { exit: Exit::Configuration, message }
}

enum Unopened {
    Key(PrivateKeyError),
    Asking(Failure),
}

impl From<PrivateKeyError> for Unopened {
    fn from(error: PrivateKeyError) -> Self {
        Self::Key(error)
    }
}

/// The public key in a file.
pub(crate) fn public_key(path: &Path) -> Result<PublicKey, Failure> {
    let bytes = files::read_needed(path, KEY_BYTES_MAX)
        .map_err(|error| Failure::usage(format!("failed to read {}: {error}", path.display())))?;
    PublicKey::from_pem(&String::from_utf8_lossy(&bytes)).map_err(|error| Failure {
        exit: Exit::Configuration,
        message: format!("{} {error}", path.display()),
    })
}

impl Signer {
    fn sign(&self, message: &[u8]) -> Result<Signature, Failure> {
        let sig = match &self.hand {
            Hand::Key(key) => {
                key.sign(message).map_err(|error| Failure::unexpected(format!("the key {error}")))?
            }
            Hand::Command(command) => signer::sign(command, &self.public, message)?,
        };
        Ok(Signature { keyid: Some(self.public.id().to_string()), sig })
    }
}

/// An envelope around `payload` with the signatures it had and those of `signers`; also the keys that signed now. Who
/// signed these bytes before does not sign them again.
pub(crate) fn seal(
    kind: Kind,
    payload: Vec<u8>,
    mut signatures: Vec<Signature>,
    signers: &[Signer],
) -> Result<(Envelope, Vec<KeyId>), Failure> {
    let message = pae(kind, &payload);
    let mut signed = Vec::new();
    for signer in signers {
        if signatures.iter().any(|known| signer.public.verifies(&message, &known.sig)) {
            continue;
        }
        signatures.push(signer.sign(&message)?);
        signed.push(signer.public.id());
    }
    Ok((Envelope::sealed(kind, payload, signatures), signed))
}
