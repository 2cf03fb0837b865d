//! Layers on their way in: a directory for each, which another process can take up where the last one was ended.
//!
//! ```text
//! ingest/layer-<blob hex>/   one layer that was begun; locked by whoever works on it
//!        ├─ tree/            what came so far
//!        ├─ checkpoint, ledger    where to go on (unpack/keep.rs)
//!        └─ received         how many bytes came for it in all attempts: 8 bytes, little end first
//! ingest/<process>-<n>/      without a second try: a layer begun twice at once, or something on its way out
//! ```

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use coracle_core::oci::Digest;
use nix::fcntl::{Flock, FlockArg};

use super::error::{Attempt as _, Result};
use super::layers::LayerSpec;
use super::{DIR_MODE, FILE_MODE, Store};
use crate::files::{self, Lock};
use crate::unpack::{self, Interval, Keeper, Start, Whole};

pub(super) const TREE: &str = "tree";
const RECEIVED: &str = "received";
const PREFIX: &str = "layer-";
/// Any user of a container enters the layer through overlayfs, which checks the mode of the layer's root.
const TREE_MODE: u32 = 0o755;
/// Layers half fetched that are kept over a start of the agent: an image's worth that came two at a time, and the next.
const KEPT_MAX: usize = 4;
/// How long they are kept; what nobody asked for in that time, nobody waits for.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// A layer that was begun, here or by a process before this one.
#[derive(Debug)]
pub struct Begun {
    pub(super) spec: LayerSpec,
    pub(super) draft: Draft,
    pub(super) start: Start,
    at: u64,
    tally: Tally,
    /// Nothing of the store is collected meanwhile.
    pub(super) shared: Lock,
}

impl Begun {
    /// Where the blob has to go on: how many of its bytes need not come again.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at
    }

    /// What counts the bytes that come.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally.clone()
    }
}

/// Counts the bytes that come for a layer, over all attempts and processes.
///
/// The count lies in the page cache: it survives the end of a process, however that comes, and a power cut up to what
/// the kernel has written back.
#[derive(Debug, Clone)]
pub struct Tally {
    before: u64,
    file: Option<Arc<File>>,
}

impl Tally {
    /// This attempt has received `bytes` by now.
    pub fn received(&self, bytes: u64) {
        if let Some(file) = &self.file {
            // A figure that is missing is no reason to stop.
            let _ = file.write_all_at(&(self.before + bytes).to_le_bytes(), 0);
        }
    }

    /// Bytes that came in attempts before this one.
    #[must_use]
    pub fn before(&self) -> u64 {
        self.before
    }
}

/// A directory in `ingest/`, removed again unless it was renamed away or left for another try.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) path: PathBuf,
    /// Held while somebody works on it; a draft without has nothing that is worth another try.
    lock: Option<Flock<File>>,
    left: bool,
}

impl Store {
    /// Takes up `spec` where an earlier attempt was ended, or begins it.
    ///
    /// # Errors
    /// [`super::StoreError::Io`].
    pub fn begin_layer(&self, spec: LayerSpec) -> Result<Begun> {
        self.begin_layer_with(spec, Interval::default())
    }

    /// The same with checkpoints at another distance.
    ///
    /// # Errors
    /// [`super::StoreError::Io`].
    pub fn begin_layer_with(&self, spec: LayerSpec, interval: Interval) -> Result<Begun> {
        let shared = self.share()?;
        let Some(draft) = Draft::named(self, &spec)? else { return self.begin_once(spec) };
        let whole = Whole { blob: spec.descriptor.digest, size: spec.descriptor.size, diff_id: spec.diff_id };
        let tally = draft.tally()?;
        let (start, at) = match unpack::resume(&draft.path, whole, interval) {
            Some(resumed) => {
                let at = resumed.wire_bytes();
                (Start::Resumed(Box::new(resumed)), at)
            }
            None => {
                draft.clear()?;
                draft.make_tree()?;
                let keeper = Keeper::new(&draft.path, whole, interval).attempt("begin", &draft.path)?;
                (Start::New(keeper), 0)
            }
        };
        Ok(Begun { spec, draft, start, at, tally, shared })
    }

    /// Begins `spec` where no other attempt sees it.
    pub(super) fn begin_once(&self, spec: LayerSpec) -> Result<Begun> {
        let shared = self.share()?;
        let draft = Draft::new(self)?;
        draft.make_tree()?;
        let tally = Tally { before: 0, file: None };
        Ok(Begun { spec, draft, start: Start::New(Keeper::none()), at: 0, tally, shared })
    }

    /// Bytes that these layers, by blob, hold on the disk already from attempts before.
    ///
    /// # Errors
    /// [`super::StoreError::Io`].
    pub fn begun_bytes(&self, blobs: &[Digest]) -> Result<u64> {
        let mut bytes = 0_u64;
        for blob in blobs {
            let path = self.ingest().join(format!("{PREFIX}{}", blob.hex()));
            bytes = bytes.saturating_add(allocated(&path).attempt("measure", &path)?);
        }
        Ok(bytes)
    }

    /// Removes what is left in `ingest/`, but for layers that may be gone on with if `keep` says so; the count.
    pub(super) fn collect_drafts(&self, keep: bool) -> Result<u64> {
        let ingest = self.ingest();
        let (mut begun, mut count) = (Vec::new(), 0);
        for entry in fs::read_dir(&ingest).attempt("list", &ingest)? {
            let path = entry.attempt("list", &ingest)?.path();
            match changed(&path) {
                Some(time) if keep => begun.push((time, path)),
                Some(_) | None => {
                    remove(&path)?;
                    count += 1;
                }
            }
        }
        begun.sort();
        begun.reverse();
        let now = SystemTime::now();
        for (rank, (time, path)) in begun.into_iter().enumerate() {
            let old = now.duration_since(time).is_ok_and(|age| age > KEPT);
            if rank >= KEPT_MAX || old {
                remove(&path)?;
                count += 1;
            } else if !unpack::has_checkpoint(&path) {
                Draft { path, lock: None, left: true }.clear()?;
            }
        }
        Ok(count)
    }
}

/// Bytes of the blocks below `path`; none where nothing is, or is no longer.
fn allocated(path: &Path) -> io::Result<u64> {
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if gone(&error) => return Ok(0),
        other => other?,
    };
    let mut bytes = metadata.blocks().saturating_mul(512);
    if metadata.is_dir() {
        let entries = match fs::read_dir(path) {
            Err(error) if gone(&error) => return Ok(bytes),
            other => other?,
        };
        for entry in entries {
            bytes = bytes.saturating_add(allocated(&entry?.path())?);
        }
    }
    Ok(bytes)
}

/// When a layer that was begun last received something; `None` for anything else.
fn changed(path: &Path) -> Option<SystemTime> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix(PREFIX)?;
    fs::metadata(path.join(RECEIVED)).and_then(|metadata| metadata.modified()).ok()
}

fn remove(path: &Path) -> Result<()> {
    let is_dir = fs::symlink_metadata(path).attempt("look at", path)?.is_dir();
    let removed = if is_dir { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.attempt("remove", path)
}

impl Draft {
    pub(super) fn new(store: &Store) -> Result<Self> {
        loop {
            let draft = Self::reserve(store);
            match fs::DirBuilder::create(&builder(DIR_MODE), &draft.path) {
                Ok(()) => return Ok(draft),
                // Of an earlier process with the same id; collected at the next start.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => std::mem::forget(draft),
                Err(error) => return Err(error).attempt("make", &draft.path),
            }
        }
    }

    /// A free name, nothing made yet.
    pub(super) fn reserve(store: &Store) -> Self {
        loop {
            let path = store.ingest().join(files::unique_name());
            if !path.exists() {
                return Self { path, lock: None, left: false };
            }
        }
    }

    /// The one for `spec`, locked; `None` while somebody else works on it.
    fn named(store: &Store, spec: &LayerSpec) -> Result<Option<Self>> {
        let path = store.ingest().join(format!("{PREFIX}{}", spec.descriptor.digest.hex()));
        loop {
            match fs::DirBuilder::create(&builder(DIR_MODE), &path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(error).attempt("make", &path);
                }
                Ok(()) | Err(_) => {}
            }
            let dir = match File::open(&path) {
                // Published a moment ago by somebody else.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.attempt("open", &path)?,
            };
            let inode = dir.metadata().attempt("look at", &path)?.ino();
            let Ok(lock) = Flock::lock(dir, FlockArg::LockExclusiveNonblock) else { return Ok(None) };
            // Whoever had it may have published or removed it meanwhile.
            if fs::metadata(&path).is_ok_and(|now| now.ino() == inode) {
                return Ok(Some(Self { path, lock: Some(lock), left: true }));
            }
        }
    }

    fn tally(&self) -> Result<Tally> {
        let path = self.path.join(RECEIVED);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
        let file = options.open(&path).attempt("open", &path)?;
        let mut bytes = [0; 8];
        let before = file.read_exact_at(&mut bytes, 0).map_or(0, |()| u64::from_le_bytes(bytes));
        Ok(Tally { before, file: Some(Arc::new(file)) })
    }

    fn make_tree(&self) -> Result<()> {
        let tree = self.path.join(TREE);
        fs::DirBuilder::create(&builder(TREE_MODE), &tree).attempt("make", &tree)
    }

    /// Removes what was unpacked; what was counted stays.
    fn clear(&self) -> Result<()> {
        unpack::forget(&self.path).attempt("clear", &self.path)?;
        for entry in fs::read_dir(&self.path).attempt("list", &self.path)? {
            let path = entry.attempt("list", &self.path)?.path();
            if path.file_name().is_some_and(|name| name != RECEIVED) {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// The attempt failed, and the link was at fault: another may go on from the last checkpoint.
    pub(super) fn leave(&self) {
        if self.lock.is_some() && !unpack::has_checkpoint(&self.path) {
            // What cannot be removed now is at the next start.
            let _ = self.clear();
        }
    }

    /// The attempt failed, and what it made is worth nothing; what it cost is remembered for the next one.
    pub(super) fn give_up(&self) {
        if self.lock.is_some() {
            let _ = self.clear();
        }
    }

    /// There will be no other attempt.
    pub(super) fn abandon(mut self) {
        self.left = false;
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.left {
            // A leftover is collected at the next start.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Removes from a published layer what only the way to it needed.
pub(super) fn strip(layer: &Path) -> Result<()> {
    unpack::forget(layer).attempt("clear", layer)?;
    let received = layer.join(RECEIVED);
    match fs::remove_file(&received) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.attempt("remove", &received),
    }
}

fn builder(mode: u32) -> fs::DirBuilder {
    let mut builder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, mode);
    builder
}
