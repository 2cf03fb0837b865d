//! Where a registry has the signatures of an image: names of tags, and what of a list is worth fetching.
//!
//! ```text
//! sha256-<hex>.sig   a manifest; each layer a payload, its signature in an annotation         cosign's legacy form
//! referrers of the digest, or the index at sha256-<hex>: manifests; their layer is the bundle  cosign 3
//! ```

use super::bundle::{BUNDLE, SIGN};
use crate::limits::{ATTACHED_BYTES_MAX, IMAGE_SIGNATURE_BYTES_MAX, IMAGE_SIGNATURES_MAX};
use crate::oci::manifest::OCI_MANIFEST;
use crate::oci::{Descriptor, Digest, Manifest};
use crate::trust::envelope::decode;

const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const PREDICATE: &str = "dev.sigstore.bundle.predicateType";
/// The config of a manifest that has none; some tools give it as the artifact type.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// The tag of an image's legacy signatures.
#[must_use]
pub fn legacy_tag(digest: &Digest) -> String {
    format!("sha256-{}.sig", digest.hex())
}

/// The tag of an index of what refers to a digest, in a registry that has no other way to tell.
#[must_use]
pub fn referrers_tag(digest: &Digest) -> String {
    format!("sha256-{}", digest.hex())
}

/// The payloads of a manifest of legacy signatures, each with its signature; the first few.
#[must_use]
pub fn signed_layers(manifest: Manifest) -> Vec<(Descriptor, Vec<u8>)> {
    let layers = manifest.layers.into_iter();
    let simple =
        layers.filter(|layer| layer.media_type == SIMPLE_SIGNING && layer.size <= IMAGE_SIGNATURE_BYTES_MAX);
    let signed = simple.filter_map(|layer| {
        let signature = decode(layer.annotations.get(SIGNATURE)?)?;
        Some((layer, signature))
    });
    signed.take(IMAGE_SIGNATURES_MAX).collect()
}

/// Whether a manifest that refers to an image may hold a signature of it, as far as its descriptor tells; what it does
/// not say costs a fetch, and what it says wrongly only hides the signature.
#[must_use]
pub fn that_may_sign(referrer: &Descriptor) -> bool {
    let artifact = referrer.artifact_type.as_deref();
    let predicate = referrer.annotations.get(PREDICATE);
    referrer.media_type == OCI_MANIFEST
        && artifact.is_none_or(|artifact| ["", BUNDLE, EMPTY].contains(&artifact))
        && predicate.is_none_or(|predicate| predicate == SIGN)
        && referrer.size <= ATTACHED_BYTES_MAX
}

/// The bundles of a manifest.
#[must_use]
pub fn bundles(manifest: Manifest) -> Vec<Descriptor> {
    let layers = manifest.layers.into_iter();
    let bundles =
        layers.filter(|layer| layer.media_type == BUNDLE && layer.size <= IMAGE_SIGNATURE_BYTES_MAX);
    bundles.take(IMAGE_SIGNATURES_MAX).collect()
}
