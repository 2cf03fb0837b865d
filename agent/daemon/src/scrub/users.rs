//! Who runs on which layers, and which of them still run on one that was fetched again since.

use std::collections::BTreeSet;
use std::path::Path;

use coracle_core::ident::WorkloadId;
use coracle_core::oci::Digest;
use coracle_host::process;
use coracle_host::store::{Retired, Store, StoreError};
use coracle_host::supervise::{Life, Phase, Status, SuperviseError, Supervisor};

/// A workload that has a process.
#[derive(Debug, Clone)]
pub(crate) struct User {
    /// Which.
    pub(crate) id: WorkloadId,
    /// What it runs on.
    pub(crate) layers: BTreeSet<Digest>,
    /// When its root was mounted at the earliest, in 1/100 s since the board booted; unknown where its shim was killed.
    since: Option<u64>,
}

impl User {
    /// Whether its root holds on to that directory.
    fn holds(&self, retired: &Retired) -> bool {
        // The shim mounts right after it was started. Both times are cut to 1/100 s.
        self.layers.contains(&retired.layer) && self.since.is_none_or(|since| since <= retired.at + 1)
    }
}

/// Every workload that has a process, or may have one.
pub(super) fn users(supervisor: &Supervisor) -> Vec<User> {
    let user = |status: Status| {
        let holds = status.phase.live() || status.phase == Phase::Lost;
        let unit = supervisor.unit(&status.id).ok().filter(|_| holds)?;
        let layers = unit.layers.iter().filter_map(|dir| layer_of(dir)).collect();
        let shim = Life::holder(&supervisor.place(&status.id)).ok().flatten();
        let since = shim.and_then(|shim| status.shim_ticks.or_else(|| process::start_ticks(shim)));
        Some(User { id: status.id, layers, since })
    };
    supervisor.list().into_iter().filter_map(user).collect()
}

/// `layers/<diff id>/tree`.
fn layer_of(dir: &Path) -> Option<Digest> {
    Digest::from_hex(dir.parent()?.file_name()?.to_str()?)
}

/// Removes retired layers that nobody runs on, and names the workloads that run on the others.
///
/// # Errors
/// [`StoreError`] of the file system.
pub(crate) fn sweep(store: &Store, supervisor: &Supervisor) -> Result<BTreeSet<WorkloadId>, StoreError> {
    let users = users(supervisor);
    let stale = std::cell::RefCell::new(BTreeSet::new());
    store.sweep_retired(&|retired| {
        let holders: Vec<_> = users.iter().filter(|user| user.holds(retired)).collect();
        stale.borrow_mut().extend(holders.iter().map(|user| user.id.clone()));
        !holders.is_empty()
    })?;
    Ok(stale.into_inner())
}

/// Starts workloads again, so that they run on the fresh copies.
///
/// # Errors
/// [`SuperviseError`] of the first that does not start.
pub(crate) fn restart(supervisor: &Supervisor, ids: &BTreeSet<WorkloadId>) -> Result<(), SuperviseError> {
    ids.iter().try_for_each(|id| supervisor.restart(id).map(drop))
}
