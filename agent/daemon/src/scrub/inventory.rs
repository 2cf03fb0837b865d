//! What should be in the store: the images of every record and of every deployment and workload, and who runs on what.

use std::path::Path;

use coracle_core::deployment::PinnedImage;
use coracle_core::oci::config::ImageConfig;
use coracle_core::oci::manifest::Document;
use coracle_core::oci::reference::Reference;
use coracle_core::oci::{Digest, Platform};
use coracle_core::scrub::Problem;
use coracle_host::store::{Damage, ImageRecord, Store, StoreError};
use coracle_host::supervise::Supervisor;

use super::users::{User, users};
use super::{Finding, Thing};
use crate::config::Settings;
use crate::saved::Form;
use crate::{local, retain, saved};

/// An image that the board knows of.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// In its full form.
    pub(crate) reference: String,
    /// What it resolved to.
    pub(crate) index: Digest,
    /// The manifest for this board.
    pub(crate) manifest: Digest,
    /// Its platform.
    pub(crate) platform: Platform,
    /// Its config, where that is known.
    pub(crate) config: Option<Digest>,
    /// Its layers, lowest first, where they are known.
    pub(crate) layers: Option<Vec<Digest>>,
    /// Whether a record of it can be read.
    pub(crate) recorded: bool,
}

/// What should be there.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    /// Every image.
    pub(crate) images: Vec<Known>,
    /// Every workload that has a process.
    pub(crate) users: Vec<User>,
    /// Records that cannot be read.
    pub(crate) damaged: Vec<Finding>,
    /// The first saved form of a newer agent.
    pub(crate) newer: Option<Form>,
}

/// What a person asks about; with no words, everything.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// References in their full form.
    pub(crate) images: Vec<String>,
    /// Layers.
    pub(crate) layers: Vec<Digest>,
}

impl Wanted {
    /// Whether everything is asked about.
    pub(crate) fn everything(&self) -> bool {
        self.images.is_empty() && self.layers.is_empty()
    }

    /// Whether an image is asked about as a whole.
    pub(crate) fn image(&self, reference: &str) -> bool {
        self.everything() || self.images.iter().any(|wanted| wanted == reference)
    }
}

impl Inventory {
    /// Takes it.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read at all.
    pub(crate) fn take(
        settings: &Settings,
        store: &Store,
        supervisor: &Supervisor,
    ) -> Result<Self, StoreError> {
        let mut inventory = Self { users: users(supervisor), ..Self::default() };
        for record in store.images()? {
            inventory.images.push(Known::recorded(record));
        }
        let mut pins = match retain::pinned(settings, supervisor) {
            Ok(pins) => pins,
            Err(error) => {
                inventory.wrong(
                    Thing::File("journal".to_owned()),
                    Problem::Unreadable(crate::exit::chain(&error)),
                );
                retain::pinned_without_journal(settings, supervisor)
            }
        };
        pins.sort_by(|a, b| (&a.reference, a.manifest).cmp(&(&b.reference, b.manifest)));
        for pin in pins {
            let known = |image: &Known| image.manifest == pin.manifest && image.recorded;
            // A record says all that a pin does; the same pin may be of several workloads.
            if !inventory.images.iter().any(known) && !inventory.pinned(&pin) {
                inventory.images.push(Known::pinned(store, pin));
            }
        }
        inventory.newer = saved::newer(settings).into_iter().next();
        let problem = |path: &Path, known| {
            let newer = saved::of(path.to_owned(), known);
            newer.map_or(Problem::Record, |form| Problem::Unreadable(form.newer.to_string()))
        };
        for (path, name) in store.damaged_images()? {
            if let Some(name) = name {
                inventory.wrong(Thing::Image(name), problem(&path, ImageRecord::VERSION));
            }
        }
        for path in local::damaged(&settings.state_dir) {
            let shown = path.strip_prefix(&settings.state_dir).unwrap_or(&path);
            let problem = problem(&path, local::VERSION);
            inventory.wrong(Thing::File(shown.display().to_string()), problem);
        }
        Ok(inventory)
    }

    fn pinned(&self, pin: &PinnedImage) -> bool {
        let full = full(&pin.reference);
        self.images.iter().any(|image| image.manifest == pin.manifest && image.reference == full)
    }

    fn wrong(&mut self, thing: Thing, problem: Problem) {
        let damage = vec![Damage { path: None, problem }];
        let finding =
            Finding { thing, images: Vec::new(), workloads: Default::default(), damage, damaged: 1 };
        self.damaged.push(finding);
    }
}

impl Known {
    fn recorded(record: ImageRecord) -> Self {
        Self {
            reference: record.reference,
            index: record.index,
            manifest: record.manifest,
            platform: record.platform,
            config: Some(record.config),
            layers: Some(record.layers),
            recorded: true,
        }
    }

    /// An image that a workload needs and no record tells of; what it consists of, its documents say.
    fn pinned(store: &Store, pin: PinnedImage) -> Self {
        let parts = parts(store, &pin.manifest);
        Self {
            reference: full(&pin.reference),
            index: pin.index,
            manifest: pin.manifest,
            platform: pin.platform,
            config: parts.as_ref().map(|(config, _)| *config),
            layers: parts.and_then(|(_, layers)| layers),
            recorded: false,
        }
    }

    /// Whether the record that has this name is of this image.
    pub(crate) fn is_named(&self, name: &Digest) -> bool {
        Digest::of(self.reference.as_bytes()) == *name
    }
}

/// The config and layers of a manifest, as far as its documents can be read.
fn parts(store: &Store, manifest: &Digest) -> Option<(Digest, Option<Vec<Digest>>)> {
    let Ok(Document::Manifest(manifest)) = Document::parse(&store.blob(manifest).ok()??) else { return None };
    let config = manifest.config.digest;
    let bytes = store.blob(&config).ok().flatten();
    let layers = bytes.and_then(|bytes| Some(ImageConfig::parse(&bytes).ok()?.diff_ids));
    Some((config, layers))
}

/// The full form, by which records are named.
fn full(reference: &str) -> String {
    Reference::parse(reference).map_or_else(|_| reference.to_owned(), |parsed| parsed.to_string())
}
