//! Which images must stay: those of every deployment that may run again, and of every workload there is.

use std::collections::BTreeSet;

use coracle_core::deployment::Deployment;
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
    let record = Journal::peek(&settings.state_dir)?;
    let mut manifests = of_record(&record);
    let units = supervisor.list().into_iter().filter_map(|status| supervisor.unit(&status.id).ok());
    manifests.extend(units.map(|unit| unit.workload.image.manifest));
    manifests.extend(local::all(&settings.state_dir).into_iter().map(|local| local.workload.image.manifest));
    Ok(manifests)
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
    Ok(alone.collect(&needed(settings, supervisor)?)?)
}

fn of_record(record: &Record) -> BTreeSet<Digest> {
    let images = |deployment: &Deployment| -> Vec<Digest> {
        deployment.workloads.values().map(|workload| workload.image.manifest).collect()
    };
    record.rollout.needed().flat_map(images).collect()
}
