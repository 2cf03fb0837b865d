//! A signature as it was fetched, and what it claims once a key has verified it.

use serde::{Deserialize, Serialize};

use super::bundle;
use super::judge::Objection;
use crate::limits::IMAGE_SIGNATURE_BYTES_MAX;
use crate::oci::Digest;

/// What the payload of a legacy signature is.
const SIMPLE_TYPE: &str = "cosign container image signature";

/// One signature; nothing in it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// cosign's legacy form: a simple-signing payload, and the signature from its annotation.
    Simple {
        /// What was signed.
        payload: Vec<u8>,
        /// Its bytes.
        signature: Vec<u8>,
    },
    /// A sigstore bundle.
    Bundle(Vec<u8>),
}

/// The form of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// cosign's legacy form.
    Simple,
    /// A sigstore bundle.
    Bundle,
}

/// What is to be verified.
pub(super) struct Opened {
    form: Form,
    payload: Vec<u8>,
    pub(super) message: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// What a verified signature says.
pub(super) struct Claim {
    pub(super) digest: Digest,
    pub(super) name: Option<String>,
}

impl Proof {
    /// Its form.
    #[must_use]
    pub fn form(&self) -> Form {
        match self {
            Self::Simple { .. } => Form::Simple,
            Self::Bundle(_) => Form::Bundle,
        }
    }

    pub(super) fn open(&self) -> Result<Opened, Objection> {
        let form = self.form();
        let long = |bytes: &[u8]| u64::try_from(bytes.len()).is_ok_and(|n| n > IMAGE_SIGNATURE_BYTES_MAX);
        match self {
            Self::Simple { payload, .. } if long(payload) => Err(Objection::Form("its payload is too long")),
            Self::Bundle(bytes) if long(bytes) => Err(Objection::Form("its bundle is too long")),
            Self::Simple { payload, signature } => {
                let (payload, signature) = (payload.clone(), signature.clone());
                Ok(Opened { form, message: payload.clone(), payload, signature })
            }
            Self::Bundle(bytes) => {
                let bundle::Parts { payload, message, signature } = bundle::open(bytes)?;
                Ok(Opened { form, payload, message, signature })
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Simple {
    critical: Critical,
    /// The signer's own words: who, when, and whatever else.
    #[serde(rename = "optional", default)]
    _optional: serde::de::IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    r#type: String,
    image: Image,
    identity: Identity,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    #[serde(rename = "docker-reference")]
    reference: String,
}

impl Opened {
    /// What it says; to be asked only after a key has verified it.
    pub(super) fn claim(&self, asked: &Digest) -> Result<Claim, Objection> {
        match self.form {
            Form::Bundle => bundle::claim(&self.payload, asked),
            Form::Simple => {
                let simple: Simple = serde_json::from_slice(&self.payload)
                    .map_err(|_| Objection::Form("its payload is not a simple signing of cosign's"))?;
                if simple.critical.r#type != SIMPLE_TYPE {
                    return Err(Objection::Form("its payload is not of the type cosign signs images with"));
                }
                let digest = Digest::parse(&simple.critical.image.digest)
                    .map_err(|_| Objection::Form("its payload names no digest"))?;
                if digest != *asked {
                    return Err(Objection::Digest(digest));
                }
                Ok(Claim { digest, name: Some(simple.critical.identity.reference) })
            }
        }
    }
}
