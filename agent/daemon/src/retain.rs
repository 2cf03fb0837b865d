//! Which images must stay: those of every deployment that may run again, of every workload there is, and those that
//! people pinned.

use std::collections::{BTreeMap, BTreeSet};

use coracle_core::deployment::{Deployment, PinnedImage};
use coracle_core::oci::Digest;
use coracle_core::record::Record;
use coracle_core::retention;
use coracle_core::rollout::Rollout;
use coracle_host::store::{Collected, Store, StoreError};
use coracle_host::supervise::Supervisor;

use crate::config::Settings;
use crate::engine::{Journal, JournalError};
use crate::local;
use crate::pins::{self, PinError};
use crate::saved::{self, Form};

/// The manifests that the record or a workload on this board needs.
///
/// # Errors
/// [`JournalError`]: with an unreadable record nothing may be called needless.
pub(crate) fn needed(settings: &Settings, supervisor: &Supervisor) -> Result<BTreeSet<Digest>, JournalError> {
    Ok(pinned(settings, supervisor)?.into_iter().map(|image| image.manifest).collect())
}

/// Why the store was not collected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectError {
    /// Nobody can say what is needed.
    #[error("failed to find out what is needed")]
    Journal(#[from] JournalError),
    /// Nobody can say what people want kept.
    #[error(transparent)]
    Pins(#[from] PinError),
    /// A saved form that a newer agent wrote may say that anything is needed.
    #[error("nothing is removed while this board has what a newer agent wrote: {0}")]
    Newer(Form),
    /// The store's answer; locked while anybody pulls.
    #[error("failed to collect what nothing needs")]
    Store(#[from] StoreError),
}

/// Removes what nothing needs: not the journal, not a workload, and not what stands `besides`, which an agent that runs
/// knows and whose journal may be a moment behind.
///
/// # Errors
/// [`CollectError`]; what is needed is there in any case.
pub(crate) fn collect(
    settings: &Settings,
    supervisor: &Supervisor,
    store: &Store,
    besides: &BTreeSet<Digest>,
) -> Result<Collected, CollectError> {
    let alone = store.exclude()?;
    // Asked for under the lock: a pull that ended before it is seen.
    let mut keep = kept(settings, supervisor, store)?;
    keep.extend(besides);
    let collected = alone.collect(&keep)?;
    // Whoever still wants a layer that was begun fetches it from its start.
    alone.collect_begun()?;
    Ok(collected)
}

/// The manifests that stay in any case: those needed, and those of the references that people pinned.
///
/// # Errors
/// [`CollectError`]: when it cannot be said of one of them, of none.
pub(crate) fn kept(
    settings: &Settings,
    supervisor: &Supervisor,
    store: &Store,
) -> Result<BTreeSet<Digest>, CollectError> {
    if let Some(form) = saved::newer(settings).into_iter().next() {
        return Err(CollectError::Newer(form));
    }
    let mut manifests = needed(settings, supervisor)?;
    for reference in pins::all(&settings.state_dir)? {
        manifests.extend(store.image(&reference)?.map(|image| image.manifest));
    }
    Ok(manifests)
}

/// How much has to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Goal {
    /// Bytes of layers.
    pub(crate) bytes: u64,
    /// Manifests that stay besides what stays in any case.
    pub(crate) spared: BTreeSet<Digest>,
}

impl Goal {
    /// So many bytes.
    pub(crate) fn bytes(bytes: u64) -> Self {
        Self { bytes, spared: BTreeSet::new() }
    }
}

/// Removes the oldest of the images that nothing needs, until the goal is reached or none is left.
///
/// # Errors
/// [`CollectError`]; what is needed is there in any case.
pub(crate) fn make_room(
    settings: &Settings,
    supervisor: &Supervisor,
    store: &Store,
    goal: &Goal,
) -> Result<Collected, CollectError> {
    let alone = store.exclude()?;
    let mut needed = kept(settings, supervisor, store)?;
    needed.extend(&goal.spared);
    let images = store.images()?.into_iter().map(|image| retention::Image {
        manifest: image.manifest,
        layers: image.layers,
        pulled_at: image.pulled_at,
    });
    let bytes = store.layer_records()?.into_iter().map(|layer| (layer.diff_id, layer.unpacked_bytes));
    let keep =
        retention::keep(&images.collect::<Vec<_>>(), &bytes.collect::<BTreeMap<_, _>>(), &needed, goal.bytes);
    Ok(alone.collect(&keep)?)
}

/// The images that the record or a workload on this board needs.
///
/// # Errors
/// [`JournalError`] of a record that cannot be read.
pub(crate) fn pinned(settings: &Settings, supervisor: &Supervisor) -> Result<Vec<PinnedImage>, JournalError> {
    let record = Journal::peek(&settings.state_dir)?;
    let mut images = of_record(&record);
    images.extend(pinned_without_journal(settings, supervisor));
    Ok(images)
}

/// The images of the workloads there are, and of those that people want back after a boot.
pub(crate) fn pinned_without_journal(settings: &Settings, supervisor: &Supervisor) -> Vec<PinnedImage> {
    let units = supervisor.list().into_iter().filter_map(|status| supervisor.unit(&status.id).ok());
    let locals = local::all(&settings.state_dir).into_iter().map(|local| local.workload.image);
    units.map(|unit| unit.workload.image).chain(locals).collect()
}

/// The manifests of every deployment that `rollout` may have to run.
pub(crate) fn of_rollout(rollout: &Rollout) -> BTreeSet<Digest> {
    let images = |deployment: &Deployment| -> Vec<Digest> {
        deployment.workloads.values().map(|workload| workload.image.manifest).collect()
    };
    rollout.needed().flat_map(images).collect()
}

fn of_record(record: &Record) -> Vec<PinnedImage> {
    let images = |deployment: &Deployment| -> Vec<PinnedImage> {
        deployment.workloads.values().map(|workload| workload.image.clone()).collect()
    };
    record.rollout.needed().flat_map(images).collect()
}
