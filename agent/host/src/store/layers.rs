//! Layers on disk: unpacked aside, synced, and renamed into place only when both digests match.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use coracle_core::oci::layer::Compression;
use coracle_core::oci::{Descriptor, Digest};
use nix::errno::Errno;
use nix::sys::statvfs::statvfs;
use serde::{Deserialize, Serialize};

use super::drafts::{self, Begun, Draft, TREE};
use super::error::{Attempt as _, Result, Retry, StoreError, is_full};
use super::{FILE_MODE, Store, list};
use crate::files;
use crate::unpack::{self, Limits, Resolver, Start, Target, Transfer, TransferFault, UnpackError, Unpacked};

/// A layer that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerSpec {
    /// The manifest's descriptor of the blob.
    pub descriptor: Descriptor,
    /// The image config's digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Bounds.
    pub limits: Limits,
}

/// What an ingest did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ingested {
    /// Compressed bytes read.
    pub wire_bytes: u64,
    /// Content of the layer's files.
    pub unpacked_bytes: u64,
    /// Entries of the archive.
    pub entries: u64,
}

/// What is known of a layer in the store. Saved form, version 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// The saved form's version: [`LayerRecord::VERSION`].
    pub version: u32,
    /// The digest of the uncompressed archive.
    pub diff_id: Digest,
    /// The digest of the blob it came in.
    pub blob: Digest,
    /// The blob's length.
    pub wire_bytes: u64,
    /// Content of the layer's files.
    pub unpacked_bytes: u64,
    /// Entries of the archive.
    pub entries: u64,
    /// Extended attributes that the file system could not hold.
    pub attributes_skipped: u64,
    /// The sum of the list of its entries; absent in layers that an earlier agent unpacked, which have no list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<u32>,
}

/// What becomes of a layer that is here already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Present {
    /// It stays, if it is complete.
    Stays,
    /// The fresh copy takes its place.
    GivesWay,
}

impl LayerRecord {
    /// The version that this code writes.
    pub const VERSION: u32 = 1;
}

pub(super) const RECORD: &str = "layer.json";
pub(super) const LIST: &str = "list";

impl Store {
    /// Whether the layer is here, complete.
    #[must_use]
    pub fn has_layer(&self, diff_id: &Digest) -> bool {
        self.layer(diff_id).is_some() && self.layer_dir(diff_id).is_dir()
    }

    /// What is known of a layer; `None` when it is missing or its record cannot be read.
    #[must_use]
    pub fn layer(&self, diff_id: &Digest) -> Option<LayerRecord> {
        let bytes = fs::read(self.layer_home(diff_id).join(RECORD)).ok()?;
        let record: LayerRecord = serde_json::from_slice(&bytes).ok()?;
        (record.version == LayerRecord::VERSION && record.diff_id == *diff_id).then_some(record)
    }

    /// What is known of every layer; one whose record cannot be read is passed over.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn layer_records(&self) -> Result<Vec<LayerRecord>> {
        let layers = self.names(&self.layers())?;
        Ok(layers.iter().filter_map(|diff_id| self.layer(diff_id)).collect())
    }

    /// Bytes in the files of all layers.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn unpacked_bytes(&self) -> Result<u64> {
        Ok(self.layer_records()?.iter().map(|layer| layer.unpacked_bytes).sum())
    }

    /// The directory that overlayfs takes as a lower one.
    #[must_use]
    pub fn layer_dir(&self, diff_id: &Digest) -> PathBuf {
        self.layer_home(diff_id).join(TREE)
    }

    /// Takes a layer out, so that it is fetched anew: the answer to one that is found damaged.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn remove_layer(&self, diff_id: &Digest) -> Result<()> {
        self.discard(&self.layer_home(diff_id)).map(drop)
    }

    /// Reads the blob to its end, unpacks it, and publishes it when its size and both digests are as claimed and all of
    /// it is on the disk. Blocking: a thread of its own. `progress` hears the compressed bytes read so far,
    /// all of them while what was unpacked is read once more, and may hold the work up.
    ///
    /// Begins anew and leaves nothing behind: [`Store::begin_layer`] is for what comes over a link.
    /// Two of the same layer at once are fine: the second to finish finds it published and throws its own away.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is published then, and [`StoreError::retry`] says whether to come again.
    pub fn ingest_layer(
        &self,
        spec: &LayerSpec,
        input: impl Read,
        progress: impl FnMut(u64),
    ) -> Result<Ingested> {
        self.take_in(self.begin_once(spec.clone())?, input, progress, Present::Stays)
    }

    /// The same for a layer that is here and damaged: the fresh copy takes its place in one step, and the old one is kept
    /// for the workloads that run on it, see [`Store::sweep_retired`].
    ///
    /// # Errors
    /// Those of [`Store::ingest_layer`]; the old one is untouched then.
    pub fn replace_layer(
        &self,
        spec: &LayerSpec,
        input: impl Read,
        progress: impl FnMut(u64),
    ) -> Result<Ingested> {
        self.take_in(self.begin_once(spec.clone())?, input, progress, Present::GivesWay)
    }

    /// The same as [`Store::ingest_layer`] for a layer that was begun; `input` goes on at [`Begun::at`].
    ///
    /// # Errors
    /// Those of [`Store::ingest_layer`]. When the link was at fault, the next attempt goes on at the last checkpoint;
    /// else it begins anew.
    pub fn finish_layer(
        &self,
        begun: Begun,
        input: impl Read,
        progress: impl FnMut(u64),
    ) -> Result<Ingested> {
        self.take_in(begun, input, progress, Present::Stays)
    }

    /// The same as [`Store::replace_layer`] for a layer that was begun; `input` goes on at [`Begun::at`].
    ///
    /// # Errors
    /// Those of [`Store::finish_layer`].
    pub fn finish_replacing(
        &self,
        begun: Begun,
        input: impl Read,
        progress: impl FnMut(u64),
    ) -> Result<Ingested> {
        self.take_in(begun, input, progress, Present::GivesWay)
    }

    fn take_in(
        &self,
        begun: Begun,
        input: impl Read,
        mut progress: impl FnMut(u64),
        present: Present,
    ) -> Result<Ingested> {
        let Begun { spec, draft, start, shared: _shared, .. } = begun;
        let resumed = matches!(start, Start::Resumed(_));
        let error = match self.finish(&spec, &draft, start, input, &mut progress, present) {
            Ok(ingested) => return Ok(ingested),
            Err(error) => error,
        };
        let short = matches!(error, StoreError::Size { bytes, size, .. } if bytes < size);
        if short || matches!(error, StoreError::Input { .. }) {
            // The bytes did not come: those that did are fine as far as anybody can tell.
            draft.leave();
        } else if resumed && error.retry() != Retry::Space {
            draft.give_up();
            return Err(StoreError::Resumed { digest: spec.descriptor.digest, source: Box::new(error) });
        } else if error.retry() == Retry::Again {
            draft.give_up();
        } else {
            draft.abandon();
        }
        Err(error)
    }

    fn finish(
        &self,
        spec: &LayerSpec,
        draft: &Draft,
        start: Start,
        input: impl Read,
        progress: &mut dyn FnMut(u64),
        present: Present,
    ) -> Result<Ingested> {
        let digest = spec.descriptor.digest;
        // Which compression it is, its bytes tell; here only whether it is a layer at all.
        Compression::of(&spec.descriptor.media_type)
            .map_err(|source| StoreError::Layer { digest, source })?;
        self.check_room(&spec.descriptor)?;
        let unpacked = self.unpack(spec, input, draft, start, progress)?;
        let (tree, list) = (draft.path.join(TREE), draft.path.join(LIST));
        let sum = list::make(&tree, &list, &mut |_| progress(spec.descriptor.size))?;
        let record = LayerRecord {
            version: LayerRecord::VERSION,
            diff_id: spec.diff_id,
            blob: digest,
            wire_bytes: spec.descriptor.size,
            unpacked_bytes: unpacked.content_bytes,
            entries: unpacked.entries,
            attributes_skipped: unpacked.attributes_skipped,
            list: Some(sum),
        };
        self.publish(draft, &record, present)?;
        Ok(Ingested {
            wire_bytes: record.wire_bytes,
            unpacked_bytes: record.unpacked_bytes,
            entries: record.entries,
        })
    }

    /// Refuses what cannot fit. How large the layer becomes is not known; never smaller than a fraction of its blob.
    fn check_room(&self, descriptor: &Descriptor) -> Result<()> {
        let stat = statvfs(&self.root).attempt("look at the free space of", &self.root)?;
        // The types differ between architectures.
        #[allow(clippy::useless_conversion)]
        let (blocks, block_bytes) = (u64::from(stat.blocks_available()), u64::from(stat.fragment_size()));
        let available = blocks.saturating_mul(block_bytes);
        if descriptor.size > available {
            return Err(StoreError::Room { digest: descriptor.digest, needed: descriptor.size, available });
        }
        Ok(())
    }

    fn unpack(
        &self,
        spec: &LayerSpec,
        input: impl Read,
        draft: &Draft,
        start: Start,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Unpacked> {
        let digest = spec.descriptor.digest;
        let tree = draft.path.join(TREE);
        let root = File::open(&tree).attempt("open", &tree)?;
        let target = Target {
            root: root.as_fd(),
            limits: &spec.limits,
            windows: &self.windows,
            resolver: Resolver::default(),
        };
        let (transfer, outcome) = unpack::unpack(input, spec.descriptor.size, &target, start, progress);
        let outcome = match outcome {
            Err(source @ UnpackError::Write { .. }) => return Err(unwritten(digest, source)),
            other => other,
        };
        // In this order: what is wrong with the transfer explains whatever was found in its bytes.
        check_transfer(&spec.descriptor, transfer)?;
        let unpacked = outcome.map_err(|source| StoreError::Unpack { digest, source })?;
        if unpacked.diff_id != spec.diff_id {
            return Err(StoreError::DiffId { digest, expected: spec.diff_id, actual: unpacked.diff_id });
        }
        Ok(unpacked)
    }

    /// Durable first, then visible.
    fn publish(&self, draft: &Draft, record: &LayerRecord, present: Present) -> Result<()> {
        let path = draft.path.join(RECORD);
        let bytes =
            serde_json::to_vec(record).map_err(io::Error::from).attempt("encode layer record", &path)?;
        files::write_durable(&path, &bytes, FILE_MODE).attempt("write layer record", &path)?;
        // One call for all files of the layer; an fsync for each would take a board minutes.
        let dir = File::open(&draft.path).attempt("open", &draft.path)?;
        nix::unistd::syncfs(&dir).attempt("sync", &draft.path)?;
        let home = self.layer_home(&record.diff_id);
        match fs::rename(&draft.path, &home) {
            Ok(()) => {}
            Err(error) if is_taken(&error) => {
                if present == Present::Stays && self.has_layer(&record.diff_id) {
                    return fs::remove_dir_all(&draft.path).attempt("remove", &draft.path);
                }
                // What is there is damaged, and a workload may run on it all the same.
                self.supplant(&draft.path, &home)?;
                return drafts::strip(&home);
            }
            Err(error) => return Err(error).attempt("publish layer as", &home),
        }
        let layers = self.layers();
        files::sync_dir(&layers).attempt("sync", &layers)?;
        let ingest = self.ingest();
        files::sync_dir(&ingest).attempt("sync", &ingest)?;
        // Last: were the power cut before the name is durable, the layer could still be gone on with.
        drafts::strip(&home)
    }

    /// Moves a directory out of sight, durably, then removes it: a crash in between leaves it among the leftovers.
    pub(super) fn discard(&self, dir: &Path) -> Result<bool> {
        let draft = Draft::reserve(self);
        match fs::rename(dir, &draft.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other.attempt("take out", dir)?,
        }
        if let Some(parent) = dir.parent() {
            files::sync_dir(parent).attempt("sync", parent)?;
        }
        fs::remove_dir_all(&draft.path).attempt("remove", &draft.path)?;
        Ok(true)
    }

    fn layer_home(&self, diff_id: &Digest) -> PathBuf {
        self.layers().join(diff_id.hex())
    }
}

fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::EEXIST | Errno::ENOTEMPTY | Errno::ENOTDIR)
    )
}

fn unwritten(digest: Digest, source: UnpackError) -> StoreError {
    if let UnpackError::Write { source: cause, .. } = &source
        && is_full(cause)
    {
        return StoreError::Full { digest, source };
    }
    StoreError::Unpack { digest, source }
}

fn check_transfer(descriptor: &Descriptor, transfer: Transfer) -> Result<()> {
    let (digest, size, bytes) = (descriptor.digest, descriptor.size, transfer.bytes);
    match transfer.fault {
        Some(TransferFault::Input(source)) => Err(StoreError::Input { digest, source }),
        Some(TransferFault::Short | TransferFault::Long) => Err(StoreError::Size { digest, size, bytes }),
        None if transfer.digest != digest => {
            Err(StoreError::BlobDigest { expected: digest, actual: transfer.digest })
        }
        None => Ok(()),
    }
}
