//! From a reference to an image in the store: registry and store joined, nothing decided that `core` can decide.

mod mend;
mod preflight;
mod pull;
mod resolve;
mod vouch;

use std::sync::Arc;

use coracle_core::fault::Fault;
use coracle_core::oci::{Digest, Platform, select};
use coracle_core::pace::Slowed;
use coracle_core::preflight::Preflight;
use coracle_core::trust::image::Rules;
use coracle_host::files::{Lock, LockError};
use coracle_host::registry::{self, Proxy, RegistryClient, RegistryConfig, RegistryError, RegistryFiles};
use coracle_host::store::{Store, StoreError};

use crate::config::RegistrySettings;
use crate::pace::Pace;
use crate::room::Keeper;

pub(crate) use mend::Broken;
pub(crate) use preflight::words;
pub(crate) use resolve::Resolved;
pub(crate) use vouch::{Reach, unruled};

/// How registries are reached, from the agent's own settings and the ecosystem's files.
///
/// # Errors
/// [`RegistryError`] names the file that cannot be used.
pub(crate) fn registry_config(settings: &RegistrySettings) -> Result<RegistryConfig, RegistryError> {
    RegistryConfig::load(&RegistryFiles {
        insecure: settings.insecure.clone(),
        auth_file: settings.auth_file.clone(),
        certs_dir: settings.certs_dir.clone(),
        registries_conf: settings.registries_conf.clone(),
        ca_file: settings.ca_file.clone(),
        proxy: settings.proxy.clone().map(|url| Proxy { url, past: settings.no_proxy.clone() }),
    })
}

/// What is needed to fetch images.
pub(crate) struct Images {
    /// Where they come from.
    pub(crate) registry: RegistryClient,
    /// Where they go.
    pub(crate) store: Arc<Store>,
    /// What this board can execute, best first.
    pub(crate) can_run: Vec<Platform>,
    /// Which images are taken.
    pub(crate) rules: Rules,
    /// Who makes room.
    pub(crate) keeper: Arc<Keeper>,
    /// Layers at a time.
    pub(crate) concurrency: usize,
    /// How fast they come.
    pub(crate) pace: Arc<Pace>,
}

impl Images {
    /// Held while images come in, so that nothing of them is collected. Waited for beside the loop: a collection on
    /// slow flash takes minutes, and the broker would give the board up.
    ///
    /// # Errors
    /// [`StoreError::Lock`] when the lock cannot be taken.
    pub(crate) async fn share(&self) -> Result<Lock, StoreError> {
        let store = Arc::clone(&self.store);
        let taken = tokio::task::spawn_blocking(move || store.share()).await;
        taken.unwrap_or_else(|error| {
            let (path, source) = (self.store.root().to_owned(), std::io::Error::other(error));
            Err(StoreError::Lock(LockError::Io { path, source }))
        })
    }
}

/// What happens while an image is pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// The layer is in the store already.
    Present(Digest),
    /// Some of the layer has come: bytes so far and in all.
    Layer {
        /// The layer's blob.
        digest: Digest,
        /// Compressed bytes so far.
        done: u64,
        /// Compressed bytes in all.
        total: u64,
        /// Compressed bytes that came more than once, earlier attempts included.
        refetched: u64,
    },
    /// The layer is in the store now.
    Unpacked(Layer),
    /// All of it comes slower from now on, for workloads wait; or at full speed again.
    Slowed(Option<Slowed>),
}

/// A layer that was fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layer {
    /// Its blob.
    pub(crate) digest: Digest,
    /// Compressed bytes.
    pub(crate) size: u64,
    /// Bytes of its files.
    pub(crate) unpacked: u64,
    /// Compressed bytes that were there from an attempt before this one.
    pub(crate) resumed_at: u64,
    /// Compressed bytes that came again, attempts before this one included.
    pub(crate) refetched: u64,
}

/// Takes the steps of a pull as they happen; two layers may speak at once.
pub(crate) type Watch = Arc<dyn Fn(Step) + Send + Sync>;

/// Why an image could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    /// The registry or the link.
    #[error("failed to get image {image}")]
    Registry {
        /// The image.
        image: String,
        /// Why.
        source: RegistryError,
    },
    /// The store or the disk; also a layer that is not what its digest says.
    #[error("failed to store {image}")]
    Store {
        /// The image.
        image: String,
        /// Why.
        source: Box<StoreError>,
    },
    /// The image's own documents are wrong.
    #[error("image {image} cannot be used: {reason}")]
    Document {
        /// The image.
        image: String,
        /// What is wrong, and in which document.
        reason: String,
    },
    /// It is not signed as the board's policy demands, or the policy refuses it.
    #[error("{fault}")]
    Untrusted {
        /// Why, and what helps.
        fault: Box<Fault>,
    },
    /// The board's policy for images cannot be used, so none is taken.
    #[error("{fault}")]
    Unruled {
        /// Why, and what helps.
        fault: Box<Fault>,
    },
    /// The disk has no room for it, known before anything was fetched.
    #[error("no room for {image}: {}", words(figures))]
    Room {
        /// The image, or several.
        image: String,
        /// What it takes and what there is.
        figures: Box<Preflight>,
    },
    /// Nothing in it fits this board.
    #[error("failed to choose from image {image}")]
    Platform {
        /// The image.
        image: String,
        /// What there is and what could run.
        source: select::NoMatch,
    },
}

impl ImageError {
    /// Whether the same may work later.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::Registry { source, .. } => source.retry() != registry::Retry::Never,
            Self::Store { source, .. } => source.retry() != coracle_host::store::Retry::Never,
            Self::Room { .. } => true,
            Self::Document { .. } | Self::Platform { .. } | Self::Untrusted { .. } | Self::Unruled { .. } => {
                false
            }
        }
    }
}
