//! What of an image is damaged, fetched again: the documents that are, and the layers that are.

use std::collections::BTreeSet;

use coracle_core::oci::Digest;
use coracle_core::oci::config::ImageConfig;
use coracle_core::oci::manifest::{Document, Manifest};
use coracle_core::oci::reference::Reference;
use coracle_host::clock;
use coracle_host::store::{ImageRecord, StoreError};

use super::pull::Arrival;
use super::resolve::{unfetched, unusable};
use super::{ImageError, Images, Watch};
use crate::scrub::Known;

/// What is damaged or missing, and not yet mended.
#[derive(Debug, Default)]
pub(crate) struct Broken {
    /// Layers, by diff ID.
    pub(crate) layers: BTreeSet<Digest>,
    /// Indexes, manifests and configs.
    pub(crate) blobs: BTreeSet<Digest>,
}

impl Images {
    /// Fetches what of `known` is `broken`, and takes it out of there. Adds the bytes that came to `bytes`.
    ///
    /// # Errors
    /// [`ImageError`] of the first thing that could not be had; what is damaged stays as it is.
    pub(crate) async fn mend(
        &self,
        known: &Known,
        broken: &mut Broken,
        bytes: &mut u64,
        watch: &Watch,
    ) -> Result<(), ImageError> {
        let image = known.reference.clone();
        let reference = Reference::parse(&image)
            .map_err(|error| ImageError::Document { image: image.clone(), reason: error.to_string() })?;
        let stored =
            |source: StoreError| ImageError::Store { image: image.clone(), source: Box::new(source) };
        let _shared = self.share().await.map_err(stored)?;
        if known.recorded && known.index != known.manifest && broken.blobs.contains(&known.index) {
            self.document(&reference, known.index, broken, bytes).await?;
        }
        let raw = self.document(&reference, known.manifest, broken, bytes).await?;
        let Ok(Document::Manifest(manifest)) = Document::parse(&raw) else {
            return Err(unusable(&reference, format!("{} is not a manifest", known.manifest)));
        };
        let config = self.config(&reference, &manifest, broken, bytes).await?;
        for (layer, diff_id) in manifest.layers.iter().zip(&config.diff_ids) {
            let arrival = match (broken.layers.contains(diff_id), self.store.has_layer(diff_id)) {
                (false, true) => continue,
                (true, true) => Arrival::Again,
                (_, false) => Arrival::First,
            };
            *bytes += self.layer(&reference, layer.clone(), *diff_id, arrival, watch).await?;
            broken.layers.remove(diff_id);
        }
        if self.store.image(&image).map_err(stored)?.is_none() {
            let record = ImageRecord {
                version: ImageRecord::VERSION,
                reference: image.clone(),
                index: known.index,
                manifest: known.manifest,
                config: manifest.config.digest,
                platform: known.platform.clone(),
                layers: config.diff_ids,
                pulled_at: clock::wall(),
            };
            // Only a whole image has a record, and its index is a part of it.
            if known.index != known.manifest && self.store.verify_blob(&known.index).is_some() {
                self.document(&reference, known.index, broken, bytes).await?;
            }
            self.store.put_image(&record).map_err(stored)?;
        }
        Ok(())
    }

    /// A manifest or index, from the store where it is sound there.
    async fn document(
        &self,
        reference: &Reference,
        digest: Digest,
        broken: &mut Broken,
        bytes: &mut u64,
    ) -> Result<Vec<u8>, ImageError> {
        if let Ok(Some(held)) = self.store.blob(&digest) {
            return Ok(held);
        }
        let fetched = self.registry.manifest(&reference.pinned(digest), None).await;
        let fetched = fetched.map_err(|source| unfetched(reference, source))?;
        self.put(reference, &fetched.bytes, broken, bytes)?;
        Ok(fetched.bytes)
    }

    async fn config(
        &self,
        reference: &Reference,
        manifest: &Manifest,
        broken: &mut Broken,
        bytes: &mut u64,
    ) -> Result<ImageConfig, ImageError> {
        let digest = manifest.config.digest;
        let held = self.store.blob(&digest).ok().flatten();
        let raw = match held {
            Some(held) => held,
            None => {
                let fetched = self.registry.small_blob(reference, &manifest.config).await;
                let fetched = fetched.map_err(|source| unfetched(reference, source))?;
                self.put(reference, &fetched, broken, bytes)?;
                fetched
            }
        };
        ImageConfig::parse(&raw).map_err(|error| unusable(reference, format!("config {digest}: {error}")))
    }

    fn put(
        &self,
        reference: &Reference,
        fetched: &[u8],
        broken: &mut Broken,
        bytes: &mut u64,
    ) -> Result<(), ImageError> {
        let put = self.store.put_blob(fetched);
        let digest = put
            .map_err(|source| ImageError::Store { image: reference.to_string(), source: Box::new(source) })?;
        *bytes += fetched.len() as u64;
        broken.blobs.remove(&digest);
        Ok(())
    }
}
