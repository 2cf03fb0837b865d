//! The envelope (DSSE v1.0.2): exact bytes with signatures over them.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use crate::fault::{Code, Fault};
use crate::limits::DESIRED_BYTES_MAX;
use crate::oci::Digest;

/// The only `payloadType` that is taken.
pub const PAYLOAD_TYPE: &str = "application/vnd.coracle.desired.v1+json";
/// Signatures of one envelope; a threshold of a handful of keys, and a rotation.
const SIGNATURES_MAX: usize = 16;

/// A desired-state document as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

/// One signature over the payload's exact bytes; not verified in this version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Which key may have made it; a hint, never a proof.
    pub keyid: Option<String>,
    /// Its bytes.
    pub sig: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wire {
    payload_type: String,
    payload: String,
    signatures: Vec<WireSignature>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSignature {
    #[serde(default)]
    keyid: Option<String>,
    sig: String,
}

impl Envelope {
    /// Reads an envelope; its payload is not looked into.
    ///
    /// # Errors
    /// `TOO_LARGE` or `SCHEMA`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() > DESIRED_BYTES_MAX {
            let message =
                format!("envelope has {} bytes, more than the {DESIRED_BYTES_MAX} taken", bytes.len());
            return Err(Fault::new(Code::TooLarge, &message));
        }
        let schema = |message: &str| Fault::new(Code::Schema, message);
        let wire: Wire = serde_json::from_slice(bytes)
            .map_err(|error| schema(&format!("envelope is not DSSE: {error}")))?;
        if wire.payload_type != PAYLOAD_TYPE {
            let shown: String = wire.payload_type.chars().take(80).collect();
            return Err(schema(&format!("envelope has payloadType {shown:?} instead of {PAYLOAD_TYPE:?}")));
        }
        if wire.signatures.len() > SIGNATURES_MAX {
            let count = wire.signatures.len();
            return Err(schema(&format!(
                "envelope has {count} signatures, more than the {SIGNATURES_MAX} taken"
            )));
        }
        let payload = decode(&wire.payload).ok_or_else(|| schema("envelope's payload is not base64"))?;
        let mut signatures = Vec::with_capacity(wire.signatures.len());
        for signature in wire.signatures {
            let sig = decode(&signature.sig).ok_or_else(|| schema("envelope's signature is not base64"))?;
            signatures.push(Signature { keyid: signature.keyid, sig });
        }
        Ok(Self { payload, signatures })
    }

    /// The bytes that signatures cover.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The signatures, in the order written.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// What tells two documents with the same numbers apart. Signatures are not part of it: another key's signature
    /// does not make another document.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.payload)
    }
}

/// DSSE allows both alphabets; padding is written or not.
fn decode(text: &str) -> Option<Vec<u8>> {
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
    GeneralPurpose::new(alphabet, lenient).decode(text).ok()
}

/// What the board's configuration says of documents that nobody vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsigned {
    /// They are rejected.
    Refused,
    /// They are taken, and every state document says `trust: "none"`.
    Allowed,
}

impl From<bool> for Unsigned {
    fn from(allowed: bool) -> Self {
        if allowed { Self::Allowed } else { Self::Refused }
    }
}

/// Whether an envelope's payload may be read. Signatures are not verified in this version, so an envelope that
/// carries some is trusted no more than one that carries none.
///
/// # Errors
/// `UNSIGNED`.
pub fn admit(envelope: &Envelope, unsigned: Unsigned) -> Result<&[u8], Fault> {
    match unsigned {
        Unsigned::Allowed => Ok(envelope.payload()),
        Unsigned::Refused => {
            let why = if envelope.signatures.is_empty() {
                "document carries no signature"
            } else {
                "document carries signatures, which this version does not verify"
            };
            let hint =
                "set trust.unsigned = true only where everyone who can write to the broker may run anything";
            Err(Fault::new(Code::Unsigned, why).hint(hint))
        }
    }
}
