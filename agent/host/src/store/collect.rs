//! What nobody needs any more goes: layers and blobs of no kept image, and leftovers of interrupted work.

use std::collections::BTreeSet;
use std::fs;

use coracle_core::oci::{Digest, Document, ImageConfig};

use super::error::{Attempt as _, Result, StoreError};
use super::{Alone, Store, drafts};
use crate::files::{self, TEMPORARY_PREFIX};

/// What a collection removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Image records.
    pub images: u64,
    /// Manifests and configs.
    pub blobs: u64,
    /// Layers.
    pub layers: u64,
    /// Bytes of the blobs' and layers' files.
    pub bytes: u64,
}

/// What is reachable from the manifests to be kept.
#[derive(Default)]
struct Needed {
    blobs: BTreeSet<Digest>,
    layers: BTreeSet<Digest>,
}

impl Alone<'_> {
    /// Removes what no manifest of `keep` needs: image records, blobs, layers. What is kept is to be asked for while
    /// this is held, so that a pull that ended before it is seen.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when something to be kept is damaged, because then nobody can say what it needs; nothing
    /// was removed then.
    pub fn collect(&self, keep: &BTreeSet<Digest>) -> Result<Collected> {
        self.store.collect(keep)
    }

    /// Removes layers that were begun and never finished; the count. Whoever wants one begins it anew.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn collect_begun(&self) -> Result<u64> {
        self.store.collect_drafts(false)
    }
}

impl Store {
    fn collect(&self, keep: &BTreeSet<Digest>) -> Result<Collected> {
        let images = self.image_files()?;
        let mut needed = Needed::default();
        for manifest in keep {
            needed.blobs.insert(*manifest);
            let records = images.iter().filter_map(|(_, image)| image.as_ref());
            let mut known = false;
            for image in records.filter(|image| image.manifest == *manifest || image.index == *manifest) {
                known = true;
                needed.blobs.extend([image.index, image.manifest, image.config]);
                needed.layers.extend(&image.layers);
            }
            if !known {
                self.need(manifest, &mut needed)?;
            }
        }
        let mut collected = Collected::default();
        for (path, image) in images {
            let kept =
                image.is_some_and(|image| keep.contains(&image.manifest) || keep.contains(&image.index));
            if !kept {
                fs::remove_file(&path).attempt("remove image record", &path)?;
                collected.images += 1;
            }
        }
        // The records first, and durably: one must never name a layer that is gone.
        let dir = self.images_dir();
        files::sync_dir(&dir).attempt("sync", &dir)?;
        self.collect_layers(&needed.layers, &mut collected)?;
        self.collect_blobs(&needed.blobs, &mut collected)?;
        self.collect_signatures(&needed.blobs, &mut collected)?;
        Ok(collected)
    }

    /// Removes what crashes left behind, but for the last few layers that can be gone on with; the count of what there
    /// was. Nothing while anybody pulls.
    ///
    /// # Errors
    /// [`StoreError::Lock`] while anybody pulls, [`StoreError::Io`].
    pub fn collect_leftovers(&self) -> Result<u64> {
        let _excluded = self.exclude()?;
        let mut count = self.collect_drafts(true)?;
        for diff_id in self.names(&self.layers())? {
            drafts::strip(&self.layers().join(diff_id.hex()))?;
        }
        for dir in [self.root.clone(), self.blobs(), self.images_dir(), self.signatures()] {
            for entry in fs::read_dir(&dir).attempt("list", &dir)? {
                let path = entry.attempt("list", &dir)?.path();
                let temporary = path.file_name().and_then(|name| name.to_str());
                if temporary.is_some_and(|name| name.starts_with(TEMPORARY_PREFIX)) {
                    fs::remove_file(&path).attempt("remove", &path)?;
                    count += 1;
                }
            }
        }
        Ok(count)
    }

    /// What a manifest without a record needs, from the blobs: an image whose pull did not come to its end.
    fn need(&self, manifest: &Digest, needed: &mut Needed) -> Result<()> {
        let unknown = |problem| StoreError::Unknown { manifest: *manifest, problem };
        let sound = |digest: &Digest, problem| match self.raw_blob(digest)? {
            // Blobs are stored before any layer is, so there is nothing to keep yet.
            None => Ok(None),
            Some(bytes) if Digest::of(&bytes) == *digest => Ok(Some(bytes)),
            Some(_) => Err(unknown(problem)),
        };
        let Some(bytes) = sound(manifest, "its blob is damaged")? else { return Ok(()) };
        let config = match Document::parse(&bytes) {
            Ok(Document::Manifest(document)) => document.config.digest,
            // An index by itself needs nothing on this board.
            Ok(Document::Index(_)) => return Ok(()),
            Err(_) => return Err(unknown("it cannot be read")),
        };
        needed.blobs.insert(config);
        let Some(bytes) = sound(&config, "its image config is damaged")? else { return Ok(()) };
        let config = ImageConfig::parse(&bytes).map_err(|_| unknown("its image config cannot be read"))?;
        needed.layers.extend(config.diff_ids);
        Ok(())
    }

    fn collect_layers(&self, needed: &BTreeSet<Digest>, collected: &mut Collected) -> Result<()> {
        for diff_id in self.names(&self.layers())? {
            if needed.contains(&diff_id) {
                continue;
            }
            let bytes = self.layer(&diff_id).map_or(0, |record| record.unpacked_bytes);
            self.remove_layer(&diff_id)?;
            collected.layers += 1;
            collected.bytes += bytes;
        }
        Ok(())
    }

    fn collect_blobs(&self, needed: &BTreeSet<Digest>, collected: &mut Collected) -> Result<()> {
        for digest in self.names(&self.blobs())? {
            if !needed.contains(&digest) {
                collected.bytes += self.remove_blob(&digest.hex())?;
                collected.blobs += 1;
            }
        }
        Ok(())
    }

    /// The digests that entries of `dir` are named by. What has another name is not ours, and stays.
    pub(super) fn names(&self, dir: &std::path::Path) -> Result<Vec<Digest>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir).attempt("list", dir)? {
            let name = entry.attempt("list", dir)?.file_name();
            names.extend(name.to_str().and_then(Digest::from_hex));
        }
        Ok(names)
    }
}
