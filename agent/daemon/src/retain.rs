//! Which images must stay: those of every deployment that may run again, and of every workload there is.

use std::collections::BTreeSet;

use coracle_core::deployment::{Deployment, PinnedImage};
use coracle_core::oci::Digest;
use coracle_core::record::Record;
use coracle_host::store::{Collected, Store, StoreError};
use coracle_host::supervise::Supervisor;

use crate::config::Settings;
use crate::engine::{Journal, JournalError};
use crate::local;

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
    /// The store's answer; locked while anybody pulls.
    #[error("failed to collect what nothing needs")]
    Store(#[from] StoreError),
}

/// Removes what nothing needs.
///
/// # Errors
/// [`CollectError`]; what is needed is there in any case.
pub(crate) fn collect(
    settings: &Settings,
    supervisor: &Supervisor,
    store: &Store,
) -> Result<Collected, CollectError> {
    let alone = store.exclude()?;
    // Asked for under the lock: a pull that ended before it is seen.
    let collected = alone.collect(&needed(settings, supervisor)?)?;
    // Whoever still wants a layer that was begun fetches it from its start.
    alone.collect_begun()?;
    Ok(collected)
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

fn of_record(record: &Record) -> Vec<PinnedImage> {
    let images = |deployment: &Deployment| -> Vec<PinnedImage> {
        deployment.workloads.values().map(|workload| workload.image.clone()).collect()
    };
    record.rollout.needed().flat_map(images).collect()
}
