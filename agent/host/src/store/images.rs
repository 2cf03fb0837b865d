//! Records of complete images, each published last, after all of its parts.

use std::fs;
use std::io;
use std::path::PathBuf;

use coracle_core::oci::{Digest, Platform};
use coracle_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::{Attempt as _, Result};
use super::{FILE_MODE, Store};
use crate::files;

/// What a reference was when it was pulled. Saved form, version 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// The saved form's version: [`ImageRecord::VERSION`].
    pub version: u32,
    /// The reference in its full form; an image is found again by it.
    pub reference: String,
    /// What it resolved to: an index, or the manifest itself.
    pub index: Digest,
    /// The manifest for this board.
    pub manifest: Digest,
    /// Its image config.
    pub config: Digest,
    /// The image's platform.
    pub platform: Platform,
    /// Its layers' diff IDs, lowest first.
    pub layers: Vec<Digest>,
    /// When it was pulled.
    pub pulled_at: Timestamp,
}

impl ImageRecord {
    /// The version that this code writes.
    pub const VERSION: u32 = 1;
}

impl Store {
    /// Keeps the record, in place of an earlier one for the same reference; durable when it returns. Written last, when
    /// all the image's blobs and layers are there.
    ///
    /// # Errors
    /// [`super::StoreError::Io`].
    pub fn put_image(&self, image: &ImageRecord) -> Result<()> {
        let path = self.image_path(&image.reference);
        let bytes =
            serde_json::to_vec(image).map_err(io::Error::from).attempt("encode image record", &path)?;
        files::write_durable(&path, &bytes, FILE_MODE).attempt("write image record", &path)
    }

    /// All images, by reference. A record that cannot be read is passed over: it costs a fetch, and no layer is removed
    /// for it while a deployment needs it.
    ///
    /// # Errors
    /// [`super::StoreError::Io`] when the directory cannot be read.
    pub fn images(&self) -> Result<Vec<ImageRecord>> {
        let mut images: Vec<_> = self.image_files()?.into_iter().filter_map(|(_, image)| image).collect();
        images.sort_by(|a, b| a.reference.cmp(&b.reference));
        Ok(images)
    }

    /// The image of one reference, in its full form.
    ///
    /// # Errors
    /// [`super::StoreError::Io`] when the record is there and cannot be read.
    pub fn image(&self, reference: &str) -> Result<Option<ImageRecord>> {
        let path = self.image_path(reference);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => Ok(parse(&other.attempt("read image record", &path)?)),
        }
    }

    /// Forgets a reference; its blobs and layers stay until they are collected.
    ///
    /// # Errors
    /// [`super::StoreError::Io`].
    pub fn remove_image(&self, reference: &str) -> Result<()> {
        let path = self.image_path(reference);
        files::remove_durable(&path).attempt("remove image record", &path)
    }

    /// Every record's file, with what is in it where it can be read.
    pub(super) fn image_files(&self) -> Result<Vec<(PathBuf, Option<ImageRecord>)>> {
        let dir = self.images_dir();
        let mut found = Vec::new();
        for entry in fs::read_dir(&dir).attempt("list", &dir)? {
            let path = entry.attempt("list", &dir)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let bytes = fs::read(&path).attempt("read image record", &path)?;
                found.push((path, parse(&bytes)));
            }
        }
        Ok(found)
    }

    fn image_path(&self, reference: &str) -> PathBuf {
        self.images_dir().join(format!("{}.json", Digest::of(reference.as_bytes()).hex()))
    }
}

fn parse(bytes: &[u8]) -> Option<ImageRecord> {
    serde_json::from_slice::<ImageRecord>(bytes).ok().filter(|image| image.version == ImageRecord::VERSION)
}
