//! The envelope (DSSE v1.0.2): exact bytes with signatures over them and over what they claim to be.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fault::{Code, Fault};
use crate::limits::{DESIRED_BYTES_MAX, TRUST_BYTES_MAX};
use crate::oci::Digest;

/// Signatures of one envelope; a threshold of a handful of keys, and a rotation.
const SIGNATURES_MAX: usize = 16;
/// Characters of a key's name in a signature; an id has 64.
const KEYID_CHARS_MAX: usize = 256;

/// What an envelope holds. The signatures cover it: an envelope of one kind never passes for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A desired-state document.
    Desired,
    /// A trust document.
    Trust,
}

impl Kind {
    /// Its `payloadType`.
    #[must_use]
    pub const fn payload_type(self) -> &'static str {
        match self {
            Self::Desired => "application/vnd.coracle.desired.v1+json",
            Self::Trust => "application/vnd.coracle.trust.v1+json",
        }
    }

    /// Bytes of such an envelope.
    #[must_use]
    pub const fn bytes_max(self) -> usize {
        match self {
            Self::Desired => DESIRED_BYTES_MAX,
            Self::Trust => TRUST_BYTES_MAX,
        }
    }

    /// What it is called in a message.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Desired => "document",
            Self::Trust => "trust document",
        }
    }
}

/// A signed document as it travels; nothing in it is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    kind: Kind,
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

/// One signature, over [`pae`] of the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Which key may have made it; a hint, never a proof.
    pub keyid: Option<String>,
    /// Its bytes.
    pub sig: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wire {
    payload_type: String,
    payload: String,
    signatures: Vec<WireSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSignature {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyid: Option<String>,
    sig: String,
}

/// The bytes that a signature covers (DSSE, "pre-authentication encoding"): what the payload claims to be and its exact
/// bytes, each with its length, so that no two pairs give the same.
#[must_use]
pub fn pae(kind: Kind, payload: &[u8]) -> Vec<u8> {
    pae_of(kind.payload_type(), payload)
}

/// The same for a payload of any type.
pub(super) fn pae_of(claimed: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {claimed} {} ", claimed.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

impl Envelope {
    /// An envelope around `payload`, with these signatures over its [`pae`].
    #[must_use]
    pub fn sealed(kind: Kind, payload: Vec<u8>, signatures: Vec<Signature>) -> Self {
        Self { kind, payload, signatures }
    }

    /// Reads an envelope that should hold a `kind`; its payload is not looked into.
    ///
    /// # Errors
    /// `TOO_LARGE` or `SCHEMA`.
    pub fn parse(kind: Kind, bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() > kind.bytes_max() {
            let (has, most) = (bytes.len(), kind.bytes_max());
            let message = format!("envelope has {has} bytes, more than the {most} taken");
            return Err(Fault::new(Code::TooLarge, &message));
        }
        let schema = |message: &str| Fault::new(Code::Schema, message);
        let wire: Wire = serde_json::from_slice(bytes)
            .map_err(|error| schema(&format!("envelope is not DSSE: {error}")))?;
        if wire.payload_type != kind.payload_type() {
            let (shown, wanted) = (crate::plain::plain(&wire.payload_type, 80), kind.payload_type());
            return Err(schema(&format!("envelope has payloadType {shown:?} instead of {wanted:?}")));
        }
        if wire.signatures.len() > SIGNATURES_MAX {
            let count = wire.signatures.len();
            return Err(schema(&format!(
                "envelope has {count} signatures, more than the {SIGNATURES_MAX} taken"
            )));
        }
        let payload = decode(&wire.payload).ok_or_else(|| schema("envelope's payload is not base64"))?;
        let mut signatures = Vec::with_capacity(wire.signatures.len());
        for WireSignature { keyid, sig } in wire.signatures {
            if keyid.as_ref().is_some_and(|keyid| keyid.len() > KEYID_CHARS_MAX) {
                return Err(schema(&format!("envelope's keyid has more than {KEYID_CHARS_MAX} characters")));
            }
            let sig = decode(&sig).ok_or_else(|| schema("envelope's signature is not base64"))?;
            signatures.push(Signature { keyid, sig });
        }
        Ok(Self { kind, payload, signatures })
    }

    /// The envelope as it travels, on one line.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        crate::reported::written(&self.to_wire())
    }

    /// The same as a value, to stand in another document.
    pub(super) fn to_value(&self) -> Value {
        serde_json::to_value(self.to_wire()).unwrap_or_default()
    }

    fn to_wire(&self) -> Wire {
        let signature = |signature: &Signature| WireSignature {
            keyid: signature.keyid.clone(),
            sig: STANDARD.encode(&signature.sig),
        };
        Wire {
            payload_type: self.kind.payload_type().to_owned(),
            payload: STANDARD.encode(&self.payload),
            signatures: self.signatures.iter().map(signature).collect(),
        }
    }

    /// What it holds.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The bytes inside. Nobody has vouched for them yet.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The bytes inside, without the rest.
    pub(super) fn into_payload(self) -> Vec<u8> {
        self.payload
    }

    /// The signatures, in the order written.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// What tells two documents with the same numbers apart. Signatures are not part of it: another key's signature, or
    /// another signature of the same key, does not make another document.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.payload)
    }
}

/// DSSE allows both alphabets, not mixed; padding is written or not. Anything else (a line break, leftover bits) is no
/// base64.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let unpadded = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
    GeneralPurpose::new(alphabet, unpadded).decode(text).ok()
}
