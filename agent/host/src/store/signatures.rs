//! The signatures that images were taken by, so that they can be held against a policy again without a network.
//!
//! ```text
//! signatures/<digest of what was signed>   whatever images or repositories have that digest in common
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use coracle_core::limits::IMAGE_SIGNATURES_MAX;
use coracle_core::oci::Digest;
use coracle_core::trust::image::{Proof, bytes_of, proofs_of};

use super::collect::Collected;
use super::error::{Attempt as _, Result};
use super::{FILE_MODE, Store};
use crate::files;

/// Bytes of one file: as many signatures as are kept, in base64.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Signatures kept of one digest: those of both forms.
const KEPT_MAX: usize = 2 * IMAGE_SIGNATURES_MAX;

impl Store {
    /// The signatures kept of `digest`. A file that is damaged holds none: they are fetched again.
    ///
    /// # Errors
    /// [`super::StoreError::Io`] when the file is there and cannot be read.
    pub fn proofs(&self, digest: &Digest) -> Result<Vec<Proof>> {
        let path = self.signatures_path(digest);
        let bytes = files::read_bounded(&path, FILE_BYTES_MAX).attempt("read signatures", &path)?;
        Ok(bytes.and_then(|bytes| proofs_of(&bytes)).unwrap_or_default())
    }

    /// Keeps `proofs` beside what is kept of `digest`; durable when it returns. Where there are too many, the oldest go.
    ///
    /// # Errors
    /// [`super::StoreError::Io`].
    pub fn put_proofs(&self, digest: &Digest, proofs: &[Proof]) -> Result<()> {
        let held = self.proofs(digest)?;
        let mut kept: Vec<Proof> = proofs.iter().filter(|proof| !held.contains(proof)).cloned().collect();
        if kept.is_empty() {
            return Ok(());
        }
        kept.extend(held);
        kept.truncate(KEPT_MAX);
        let path = self.signatures_path(digest);
        files::write_durable(&path, &bytes_of(&kept), FILE_MODE).attempt("write signatures", &path)
    }

    /// Removes the signatures of what is not needed.
    pub(super) fn collect_signatures(
        &self,
        needed: &BTreeSet<Digest>,
        collected: &mut Collected,
    ) -> Result<()> {
        for digest in self.names(&self.signatures())? {
            if !needed.contains(&digest) {
                let path = self.signatures_path(&digest);
                collected.bytes += fs::symlink_metadata(&path).attempt("look at signatures", &path)?.len();
                fs::remove_file(&path).attempt("remove signatures", &path)?;
            }
        }
        Ok(())
    }

    fn signatures_path(&self, digest: &Digest) -> PathBuf {
        self.signatures().join(digest.hex())
    }
}
