//! What the board keeps of images: content-addressed, one copy of each layer, shared by all.
//!
//! Invariant: what is published (under `blobs/`, `layers/` and `images/`) is complete, proven and durable; a crash at any
//! point leaves the old state or the new one, and leftovers only in `ingest/`, or as temporary files that nobody reads.
//!
//! ```text
//! /var/lib/coracle/            0700
//! ├─ agent.lock                one agent
//! ├─ store.lock                shared by whoever adds, exclusive for whoever removes
//! ├─ blobs/<hex>               manifests and image configs, as fetched
//! ├─ layers/<diff id hex>/
//! │  ├─ layer.json             what it is; its presence says the layer is complete
//! │  ├─ list                   every entry of the tree, with a sum of its content
//! │  └─ tree/                  the layer in overlayfs's form; mode and owner as the archive says
//! ├─ images/<hex>.json         what a reference was when it was pulled; named by the reference's digest
//! ├─ signatures/<hex>          those that images were taken by; named by the digest that was signed
//! ├─ ingest/<name>/            layers on their way in (drafts.rs), and on their way out
//! └─ retired/<name>/           damaged layers that workloads may still run on
//! ```

mod blobs;
mod collect;
mod drafts;
mod error;
mod images;
mod layers;
mod list;
mod retire;
mod signatures;
mod verify;

use std::path::{Path, PathBuf};

use crate::files::{self, Lock, Sharing};
use crate::unpack::Windows;

pub use self::collect::Collected;
pub use self::drafts::{Begun, Tally};
pub use self::error::{Retry, StoreError};
pub use self::images::ImageRecord;
pub use self::layers::{Ingested, LayerRecord, LayerSpec};
pub use self::list::{Damage, Looked};
pub use self::retire::Retired;
pub use self::verify::{Condition, Depth};

use self::error::{Attempt, Result};

/// The store under one directory. Cheap to share by reference between threads.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    windows: Windows,
}

/// A store that nobody adds to while this is held.
#[derive(Debug)]
pub struct Alone<'a> {
    store: &'a Store,
    _lock: Lock,
}

/// Only the agent's user reads the state: images may carry secrets, and setuid programs must not be reachable.
const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Held by the agent for as long as it runs.
const AGENT_LOCK: &str = "agent.lock";

impl Store {
    /// Opens the store, making what is missing of it.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the directories cannot be made.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let store = Self { root: root.into(), windows: Windows::default() };
        for dir in [
            store.root.clone(),
            store.blobs(),
            store.layers(),
            store.images_dir(),
            store.signatures(),
            store.ingest(),
        ] {
            files::make_dir(&dir, DIR_MODE).attempt("make the directory", &dir)?;
        }
        Ok(store)
    }

    /// The directory it is in.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Held by the agent for as long as it runs, so that two of them cannot share a store.
    ///
    /// # Errors
    /// [`StoreError::Lock`] names the process that has it.
    pub fn agent_lock(&self) -> Result<Lock> {
        Ok(Lock::try_take(&self.root.join(AGENT_LOCK), Sharing::Exclusive)?)
    }

    /// Whether an agent runs over the store at `root`; `None` where the kernel does not tell.
    #[must_use]
    pub fn agent_runs(root: &Path) -> Option<bool> {
        files::is_held(&root.join(AGENT_LOCK))
    }

    /// Held while an image is pulled, so that nothing of it is collected before its record is written. Waits for a
    /// collection to end.
    ///
    /// # Errors
    /// [`StoreError::Lock`] when the lock's file cannot be opened.
    pub fn share(&self) -> Result<Lock> {
        Ok(Lock::take(&self.lock_path(), Sharing::Shared)?)
    }

    /// Held while something is removed; refused at once while anybody pulls.
    ///
    /// # Errors
    /// [`StoreError::Lock`] names a process that has it.
    pub fn exclude(&self) -> Result<Alone<'_>> {
        Ok(Alone { store: self, _lock: Lock::try_take(&self.lock_path(), Sharing::Exclusive)? })
    }

    fn lock_path(&self) -> PathBuf {
        self.root.join("store.lock")
    }

    fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }

    fn images_dir(&self) -> PathBuf {
        self.root.join("images")
    }

    fn signatures(&self) -> PathBuf {
        self.root.join("signatures")
    }

    fn ingest(&self) -> PathBuf {
        self.root.join("ingest")
    }
}
