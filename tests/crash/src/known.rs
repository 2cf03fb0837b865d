//! What the images of a recording are, so that whatever is found of them can be compared.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::PathBuf;

use coracle_core::oci::config::ImageConfig;
use coracle_core::oci::manifest::Document;
use coracle_core::oci::{Digest, Platform};
use coracle_core::time::Timestamp;
use coracle_host::store::{ImageRecord, LayerSpec, Store};
use coracle_host::unpack::Limits;
use coracle_test_support::images::{Form, Image};
use coracle_test_support::scratch::TempDir;
use coracle_test_support::tree::{Look, look};

/// A layer as it must be wherever it is published.
pub struct KnownLayer {
    spec: LayerSpec,
    bytes: Vec<u8>,
    /// Every entry of its tree.
    pub looks: BTreeMap<PathBuf, Look>,
}

/// An image.
pub struct KnownImage {
    /// Its documents: manifest and config.
    pub documents: [Vec<u8>; 2],
    /// Its layers, lowest first.
    pub layers: Vec<Digest>,
    /// The reference that it can be pulled again by.
    pub reference: String,
}

/// Everything that a recording's boards may hold.
#[derive(Default)]
pub struct Known {
    /// By manifest.
    pub images: BTreeMap<Digest, KnownImage>,
    /// By diff ID.
    pub layers: BTreeMap<Digest, KnownLayer>,
}

impl Known {
    /// Learns an image: its layers are unpacked once, aside, to know how they look.
    ///
    /// # Errors
    /// What of the image is not as it should be.
    pub fn learn(&mut self, reference: &str, image: &Image) -> Result<Digest, String> {
        let config = image.config().to_string().into_bytes();
        let manifest = image.manifest(Form::Oci, &config).to_string().into_bytes();
        let parsed = ImageConfig::parse(&config).map_err(|error| error.to_string())?;
        let Document::Manifest(document) = Document::parse(&manifest).map_err(|error| error.to_string())?
        else {
            return Err(format!("{reference} is an index"));
        };
        let dir = TempDir::new("known");
        let store = Store::open(dir.path()).map_err(|error| error.to_string())?;
        for ((layer, descriptor), diff_id) in image.layers.iter().zip(document.layers).zip(&parsed.diff_ids) {
            if self.layers.contains_key(diff_id) {
                continue;
            }
            let spec = LayerSpec { descriptor, diff_id: *diff_id, limits: Limits::default() };
            store
                .ingest_layer(&spec, Cursor::new(&layer.bytes), |_| {})
                .map_err(|error| format!("{reference}: {error}"))?;
            let looks = look(&store.layer_dir(diff_id));
            self.layers.insert(*diff_id, KnownLayer { spec, bytes: layer.bytes.clone(), looks });
        }
        let digest = Digest::of(&manifest);
        let known = KnownImage {
            documents: [manifest, config],
            layers: parsed.diff_ids,
            reference: reference.to_owned(),
        };
        self.images.insert(digest, known);
        Ok(digest)
    }

    /// Pulls an image into `store` as the agent does, from what is known instead of a registry.
    ///
    /// # Errors
    /// What the store says.
    pub fn pull(&self, store: &Store, manifest: &Digest) -> Result<(), String> {
        let image = self.images.get(manifest).ok_or("an image that is not known")?;
        for diff_id in &image.layers {
            if let Some(layer) = self.layers.get(diff_id).filter(|_| !store.has_layer(diff_id)) {
                store
                    .ingest_layer(&layer.spec, Cursor::new(&layer.bytes), |_| {})
                    .map_err(|error| format!("{diff_id} cannot be pulled again: {error}"))?;
            }
        }
        let mut digests = Vec::new();
        for document in &image.documents {
            digests.push(store.put_blob(document).map_err(|error| error.to_string())?);
        }
        let record = ImageRecord {
            version: ImageRecord::VERSION,
            reference: image.reference.clone(),
            index: *manifest,
            manifest: *manifest,
            config: digests.pop().ok_or("no config")?,
            platform: Platform::linux("amd64", ""),
            layers: image.layers.clone(),
            pulled_at: Timestamp(0),
        };
        store.put_image(&record).map_err(|error| error.to_string())
    }
}
