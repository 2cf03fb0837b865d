//! Sigstore bundles, version 0.3, as cosign 3 signs images: an in-toto statement in an envelope (DSSE), and the key as
//! what it is verified with.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::judge::Objection;
use super::proof::Claim;
use crate::oci::Digest;
use crate::trust::envelope::{decode, pae_of};

/// What a bundle is, as media type of itself and as artifact type of its manifest.
pub(super) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What a statement says of an image that is signed. Other predicates say something about an image: what it was built
/// from, or that somebody found it wanting.
pub(super) const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
const IN_TOTO: &str = "application/vnd.in-toto+json";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Option<Envelope>,
}

/// One of these; entries of a log beside a key prove nothing that is asked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    public_key: Option<IgnoredAny>,
    certificate: Option<IgnoredAny>,
    x509_certificate_chain: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    sig: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    predicate_type: String,
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    name: String,
    digest: Digests,
}

#[derive(Deserialize)]
struct Digests {
    sha256: Option<String>,
}

/// A bundle, before its signature was verified.
pub(super) struct Parts {
    /// The statement.
    pub(super) payload: Vec<u8>,
    /// What is signed of it.
    pub(super) message: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// Takes a bundle apart.
pub(super) fn open(bytes: &[u8]) -> Result<Parts, Objection> {
    let wire: Wire =
        serde_json::from_slice(bytes).map_err(|_| Objection::Form("it is no sigstore bundle"))?;
    if wire.media_type != BUNDLE {
        return Err(Objection::Form("it is not a sigstore bundle of version 0.3"));
    }
    let material = wire.verification_material;
    if material.certificate.is_some() || material.x509_certificate_chain.is_some() {
        return Err(Objection::Keyless);
    }
    if material.public_key.is_none() {
        return Err(Objection::Form("its bundle does not say that a key made it"));
    }
    let envelope =
        wire.dsse_envelope.ok_or(Objection::Form("its bundle holds no statement about an image"))?;
    if envelope.payload_type != IN_TOTO {
        return Err(Objection::Form("its bundle holds no in-toto statement"));
    }
    let [signature] = envelope.signatures.as_slice() else {
        return Err(Objection::Form("its bundle does not hold exactly one signature"));
    };
    let payload = decode(&envelope.payload).ok_or(Objection::Form("its payload is not base64"))?;
    let signature = decode(&signature.sig).ok_or(Objection::Form("its signature is not base64"))?;
    let message = pae_of(IN_TOTO, &payload);
    Ok(Parts { payload, message, signature })
}

/// What the statement says about `asked`.
pub(super) fn claim(payload: &[u8], asked: &Digest) -> Result<Claim, Objection> {
    let statement: Statement =
        serde_json::from_slice(payload).map_err(|_| Objection::Form("it holds no in-toto statement"))?;
    if statement.kind != STATEMENT {
        return Err(Objection::Form("its statement is not of version 1"));
    }
    if statement.predicate_type != SIGN {
        return Err(Objection::Form("it says something about the image, and does not sign it"));
    }
    let digest = |subject: &Subject| subject.digest.sha256.as_deref().and_then(Digest::from_hex);
    let found = statement.subject.iter().find(|subject| digest(subject) == Some(*asked));
    match (found, statement.subject.first().and_then(digest)) {
        (Some(subject), _) => {
            let name = Some(subject.name.clone()).filter(|name| !name.is_empty());
            Ok(Claim { digest: *asked, name })
        }
        (None, Some(other)) => Err(Objection::Digest(other)),
        (None, None) => Err(Objection::Form("its statement names no digest")),
    }
}
