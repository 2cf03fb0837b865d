//! From a reference to the one manifest that fits: every document is bounded, verified and of one shape.

use std::collections::{BTreeMap, BTreeSet};

use coracle_core::limits;
use coracle_core::oci::config::ImageConfig;
use coracle_core::oci::manifest::{DOCKER_LIST, Document, Manifest, OCI_INDEX};
use coracle_core::oci::reference::Reference;
use coracle_core::oci::select::{self, Selection};
use coracle_core::oci::{Descriptor, Digest, Platform};
use coracle_core::trust::image::{Proof, Rules};
use coracle_host::registry::{RawManifest, RegistryError};

use super::vouch::unruled;
use super::{ImageError, Images, Reach};

/// An image whose documents are known and fit this board; its layers may still be missing.
pub(crate) struct Resolved {
    /// As asked for.
    pub(crate) reference: Reference,
    /// The document that the reference names: an index, or the manifest itself.
    pub(crate) top: RawManifest,
    /// The manifest's own bytes and digest.
    pub(crate) raw: RawManifest,
    /// The manifest.
    pub(crate) manifest: Manifest,
    /// The config's bytes.
    pub(crate) config_bytes: Vec<u8>,
    /// The config.
    pub(crate) config: ImageConfig,
    /// What the image is built for.
    pub(crate) platform: Platform,
    /// The signatures it is taken by.
    pub(crate) proofs: Vec<Proof>,
}

/// What a reference offers.
pub(crate) struct Offers {
    /// The images in it, nested indexes opened; one without platform for a lone manifest.
    pub(crate) entries: Vec<Descriptor>,
    /// Which of them fits, and why the others do not.
    pub(crate) selection: Selection,
}

impl Images {
    /// The image that `reference` means on this board.
    ///
    /// # Errors
    /// [`ImageError`] names the image and the document.
    pub(crate) async fn resolve(&self, reference: &Reference) -> Result<Resolved, ImageError> {
        if let Rules::Unusable(why) = &self.rules {
            return Err(unruled(why, reference));
        }
        let top = self.manifest(reference, None).await?;
        // What is signed is what the reference resolves to; the digests in it vouch for the rest.
        let proofs = self.vouch(reference, &top.digest, Reach::Registry).await?;
        let (raw, manifest, listed) = match parse(reference, &top)? {
            Document::Manifest(manifest) => (top.clone(), manifest, None),
            Document::Index(index) => {
                let entries = self.flatten(reference, top.digest, index.manifests).await?;
                let chosen = self.choose(reference, &entries)?;
                let raw = self.manifest(reference, Some(&chosen)).await?;
                match parse(reference, &raw)? {
                    Document::Manifest(manifest) => (raw, manifest, chosen.platform),
                    Document::Index(_) => {
                        return Err(unusable(reference, format!("{} is an index", raw.digest)));
                    }
                }
            }
        };
        let config_bytes = self.small_blob(reference, &manifest.config).await?;
        let config = ImageConfig::parse(&config_bytes)
            .map_err(|error| unusable(reference, format!("config {}: {error}", manifest.config.digest)))?;
        config.matches(&manifest).map_err(|error| {
            unusable(reference, format!("manifest {} and its config disagree: {error}", raw.digest))
        })?;
        let platform = match listed {
            Some(platform) => platform,
            None => self.check(reference, lone(&raw, &config))?,
        };
        let reference = reference.clone();
        Ok(Resolved { reference, top, raw, manifest, config_bytes, config, platform, proofs })
    }

    /// What `reference` offers and what of it fits, for a person.
    ///
    /// # Errors
    /// [`ImageError`] names the image and the document.
    pub(crate) async fn offers(&self, reference: &Reference) -> Result<Offers, ImageError> {
        let top = self.manifest(reference, None).await?;
        let entries = match parse(reference, &top)? {
            Document::Index(index) => self.flatten(reference, top.digest, index.manifests).await?,
            Document::Manifest(manifest) => {
                let config_bytes = self.small_blob(reference, &manifest.config).await?;
                let config = ImageConfig::parse(&config_bytes).map_err(|error| {
                    unusable(reference, format!("config {}: {error}", manifest.config.digest))
                })?;
                vec![lone(&top, &config)]
            }
        };
        let selection = select::select(&self.can_run, &entries);
        Ok(Offers { entries, selection })
    }

    async fn manifest(
        &self,
        reference: &Reference,
        entry: Option<&Descriptor>,
    ) -> Result<RawManifest, ImageError> {
        let fetched = self.registry.manifest(reference, entry).await;
        fetched.map_err(|source| unfetched(reference, source))
    }

    async fn small_blob(&self, reference: &Reference, blob: &Descriptor) -> Result<Vec<u8>, ImageError> {
        let fetched = self.registry.small_blob(reference, blob).await;
        fetched.map_err(|source| unfetched(reference, source))
    }

    /// The entries of an index with nested indexes opened in place, each document once.
    async fn flatten(
        &self,
        reference: &Reference,
        top: Digest,
        entries: Vec<Descriptor>,
    ) -> Result<Vec<Descriptor>, ImageError> {
        let mut seen = BTreeSet::from([top]);
        let mut images = Vec::new();
        let mut open: Vec<(Descriptor, usize)> = entries.into_iter().rev().map(|entry| (entry, 1)).collect();
        while let Some((entry, depth)) = open.pop() {
            if !is_index(&entry) {
                images.push(entry);
                continue;
            }
            if !seen.insert(entry.digest) {
                continue;
            }
            if depth >= limits::INDEX_DEPTH_MAX {
                let reason = format!("index {} is nested deeper than {depth} levels", entry.digest);
                return Err(unusable(reference, reason));
            }
            let raw = self.manifest(reference, Some(&entry)).await?;
            let Document::Index(index) = parse(reference, &raw)? else {
                return Err(unusable(
                    reference,
                    format!("{} is listed as an index but is a manifest", raw.digest),
                ));
            };
            if open.len() + images.len() + index.manifests.len() > limits::INDEX_ENTRIES_MAX {
                let reason = format!("its indexes hold more than {} entries", limits::INDEX_ENTRIES_MAX);
                return Err(unusable(reference, reason));
            }
            open.extend(index.manifests.into_iter().rev().map(|entry| (entry, depth + 1)));
        }
        Ok(images)
    }

    fn choose(&self, reference: &Reference, entries: &[Descriptor]) -> Result<Descriptor, ImageError> {
        let selection = select::select(&self.can_run, entries);
        selection.chosen.and_then(|at| entries.get(at)).cloned().ok_or_else(|| ImageError::Platform {
            image: reference.to_string(),
            source: select::NoMatch::new(&self.can_run, entries),
        })
    }

    /// An image of which only its own config says what it is for.
    fn check(&self, reference: &Reference, image: Descriptor) -> Result<Platform, ImageError> {
        let chosen = self.choose(reference, &[image])?;
        chosen.platform.ok_or_else(|| unusable(reference, "its config names no platform".to_owned()))
    }
}

/// A manifest as the only entry of an index would describe it.
fn lone(raw: &RawManifest, config: &ImageConfig) -> Descriptor {
    Descriptor {
        media_type: raw.media_type.clone(),
        digest: raw.digest,
        size: u64::try_from(raw.bytes.len()).unwrap_or(u64::MAX),
        platform: Some(config.platform().clone()),
        artifact_type: None,
        annotations: BTreeMap::new(),
        urls: Vec::new(),
    }
}

fn is_index(entry: &Descriptor) -> bool {
    [OCI_INDEX, DOCKER_LIST].contains(&entry.media_type.as_str())
}

fn parse(reference: &Reference, raw: &RawManifest) -> Result<Document, ImageError> {
    let wrong = |error| unusable(reference, format!("{}: {error}", raw.digest));
    let document = Document::parse(&raw.bytes).map_err(wrong)?;
    document.agrees_with(&raw.media_type).map_err(wrong)?;
    Ok(document)
}

pub(super) fn unusable(reference: &Reference, reason: String) -> ImageError {
    ImageError::Document { image: reference.to_string(), reason }
}

pub(super) fn unfetched(reference: &Reference, source: RegistryError) -> ImageError {
    ImageError::Registry { image: reference.to_string(), source }
}
