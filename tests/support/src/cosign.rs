//! Signatures of images in the formats of cosign, made by openssl.
//!
//! ```text
//! sha256-<hex>.sig   cosign sign --key, and skopeo: a manifest whose layers are simple-signing payloads
//! sha256-<hex>       cosign 3 where a registry cannot list referrers: an index of manifests that hold a bundle
//! ```

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::images::layer::sha256;
use crate::images::push::{push_blob, push_manifest};
use crate::sign::{Signer, with_signatures};

/// Media type of an OCI manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an OCI index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// What a bundle is.
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The predicate of a statement that signs.
pub const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
const IN_TOTO: &str = "application/vnd.in-toto+json";

/// A manifest, and the blobs it names.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// Everything it names.
    pub blobs: Vec<Vec<u8>>,
}

/// What cosign signs in its legacy form: this digest, under that name.
pub fn payload(digest: &str, name: &str) -> Vec<u8> {
    let payload = json!({
        "critical": {
            "identity": {"docker-reference": name},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        },
        "optional": null,
    });
    payload.to_string().into_bytes()
}

/// A manifest of legacy signatures: payloads, each with its signature.
pub fn simple(entries: &[(Vec<u8>, Vec<u8>)]) -> Attachment {
    let layer = |(payload, signature): &(Vec<u8>, Vec<u8>)| {
        json!({
            "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
            "digest": sha256(payload),
            "size": payload.len(),
            "annotations": {"dev.cosignproject.cosign/signature": STANDARD.encode(signature)},
        })
    };
    let payloads: Vec<Vec<u8>> = entries.iter().map(|(payload, _)| payload.clone()).collect();
    let config = json!({
        "architecture": "", "os": "", "config": {}, "created": "0001-01-01T00:00:00Z", "history": [],
        "rootfs": {"type": "layers", "diff_ids": payloads.iter().map(|bytes| sha256(bytes)).collect::<Vec<_>>()},
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(&config), "size": config.len()
        },
        "layers": entries.iter().map(layer).collect::<Vec<_>>(),
    });
    let blobs = payloads.into_iter().chain([config]).collect();
    Attachment { manifest: manifest.to_string().into_bytes(), blobs }
}

/// What cosign 3 signs: that this digest is signed.
pub fn statement(digest: &str) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": hex(digest)}, "annotations": {}}],
        "predicateType": SIGN,
        "predicate": {},
    })
}

/// A bundle around a statement.
pub fn bundle(statement: &Value, signer: &Signer) -> io::Result<Value> {
    let payload = statement.to_string().into_bytes();
    let signature = json!({"sig": STANDARD.encode(signer.signature(IN_TOTO, &payload)?)});
    let envelope: Value = serde_json::from_slice(&with_signatures(IN_TOTO, &payload, &[signature]))?;
    let id = signer.id().as_bytes().chunks(2);
    let id = id.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    let hint = STANDARD.encode(id.collect::<Vec<_>>());
    Ok(json!({
        "mediaType": BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
        "dsseEnvelope": envelope,
    }))
}

/// The manifest that holds a bundle about an image of `media_type`.
pub fn referrer(media_type: &str, digest: &str, bundle: &Value) -> Attachment {
    let (bundle, empty) = (bundle.to_string().into_bytes(), b"{}".to_vec());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": BUNDLE,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": sha256(&empty), "size": 2},
        "layers": [{"mediaType": BUNDLE, "digest": sha256(&bundle), "size": bundle.len()}],
        "subject": {"mediaType": media_type, "digest": digest, "size": 0},
        "annotations": {
            "dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": SIGN
        },
    });
    Attachment { manifest: manifest.to_string().into_bytes(), blobs: vec![bundle, empty] }
}

impl Attachment {
    /// How an index names it, as a registry that knows artifact types does.
    pub fn descriptor(&self) -> Value {
        let manifest: Value = serde_json::from_slice(&self.manifest).unwrap_or_default();
        json!({
            "mediaType": MANIFEST,
            "digest": sha256(&self.manifest),
            "size": self.manifest.len(),
            "artifactType": manifest["artifactType"],
            "annotations": manifest["annotations"],
        })
    }

    /// Pushes it, under `tag` if there is one.
    pub fn push(&self, host: &str, repository: &str, tag: Option<&str>) -> io::Result<()> {
        for blob in &self.blobs {
            push_blob(host, repository, blob)?;
        }
        push_manifest(host, repository, tag, MANIFEST, &self.manifest).map(drop)
    }
}

/// An index of what refers to an image.
pub fn referrers(attachments: &[Attachment]) -> Vec<u8> {
    let entries: Vec<Value> = attachments.iter().map(Attachment::descriptor).collect();
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).to_string().into_bytes()
}

/// Pushes legacy signatures of `digest`.
pub fn push_simple(
    host: &str,
    repository: &str,
    digest: &str,
    entries: &[(Vec<u8>, Vec<u8>)],
) -> io::Result<()> {
    simple(entries).push(host, repository, Some(&simple_tag(digest)))
}

/// Pushes what refers to `digest`, and the index for registries that cannot list it.
pub fn push_referrers(
    host: &str,
    repository: &str,
    digest: &str,
    attachments: &[Attachment],
) -> io::Result<()> {
    for attachment in attachments {
        attachment.push(host, repository, None)?;
    }
    let index = referrers(attachments);
    push_manifest(host, repository, Some(&format!("sha256-{}", hex(digest))), INDEX, &index).map(drop)
}

/// The tag of legacy signatures.
pub fn simple_tag(digest: &str) -> String {
    format!("sha256-{}.sig", hex(digest))
}

fn hex(digest: &str) -> &str {
    digest.trim_start_matches("sha256:")
}
