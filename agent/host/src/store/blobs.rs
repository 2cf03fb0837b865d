//! Manifests and configs on disk: written whole, verified each time they are read.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::PathBuf;

use coracle_core::limits::{CONFIG_BYTES_MAX, MANIFEST_BYTES_MAX};
use coracle_core::oci::Digest;

use super::error::{Attempt as _, Result};
use super::{FILE_MODE, Store};
use crate::files;

/// Only manifests and configs are kept as blobs.
const BLOB_BYTES_MAX: u64 =
    if CONFIG_BYTES_MAX > MANIFEST_BYTES_MAX { CONFIG_BYTES_MAX } else { MANIFEST_BYTES_MAX };

impl Store {
    /// Keeps `bytes` under their digest; durable when it returns. What is there already is left alone if it is sound.
    ///
    /// # Errors
    /// [`super::StoreError::Io`].
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        if self.blob(&digest)?.is_none() {
            let path = self.blob_path(&digest);
            files::write_durable(&path, bytes, FILE_MODE).attempt("write blob", &path)?;
        }
        Ok(digest)
    }

    /// The blob's bytes. One that is damaged counts as missing: fetching it again repairs it.
    ///
    /// # Errors
    /// [`super::StoreError::Io`] when the file is there and cannot be read.
    pub fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        let bytes = self.raw_blob(digest)?;
        Ok(bytes.filter(|bytes| Digest::of(bytes) == *digest))
    }

    /// The file's bytes, whatever they are.
    pub(super) fn raw_blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        let path = self.blob_path(digest);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.attempt("open blob", &path)?,
        };
        let mut bytes = Vec::new();
        file.take(BLOB_BYTES_MAX + 1).read_to_end(&mut bytes).attempt("read blob", &path)?;
        Ok(Some(bytes))
    }

    pub(super) fn remove_blob(&self, name: &str) -> Result<u64> {
        let path = self.blobs().join(name);
        let bytes = fs::symlink_metadata(&path).attempt("look at blob", &path)?.len();
        fs::remove_file(&path).attempt("remove blob", &path)?;
        Ok(bytes)
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }
}
