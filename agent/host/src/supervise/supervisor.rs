//! Who runs the workloads of this board: one of the supervisors, chosen once at the start.
//!
//! Invariant: whoever it is, the files of a workload's place say the same, so one supervisor finds what another one
//! started.

use std::path::PathBuf;

use coracle_core::ident::WorkloadId;

use super::attach::Attachment;
use super::direct::Direct;
use super::error::SuperviseError;
use super::place::Place;
use super::status::Status;
use super::unit::Unit;

/// The supervisor of this board. Its calls block; each may be repeated.
#[derive(Debug, Clone)]
pub enum Supervisor {
    /// Shims that nobody stands over.
    Direct(Direct),
}

impl Supervisor {
    /// The files of `id`; see [`Direct::place`].
    #[must_use]
    pub fn place(&self, id: &WorkloadId) -> Place {
        match self {
            Self::Direct(direct) => direct.place(id),
        }
    }

    /// The turn of a unit that takes the place of `id`; one more is that of a unit beside it.
    #[must_use]
    pub fn turn(&self, id: &WorkloadId) -> u32 {
        match self {
            Self::Direct(direct) => direct.turn(id),
        }
    }

    /// Where the changes of `id` to its root are kept, in its `turn`; for [`Unit::scratch`].
    #[must_use]
    pub fn scratch(&self, id: &WorkloadId, turn: u32) -> PathBuf {
        match self {
            Self::Direct(direct) => direct.scratch(id, turn),
        }
    }

    /// Where named volumes are kept; for [`Unit::volumes`].
    #[must_use]
    pub fn volumes(&self) -> PathBuf {
        match self {
            Self::Direct(direct) => direct.volumes(),
        }
    }

    /// Starts `unit` and waits until its process runs; see [`Direct::start`].
    ///
    /// # Errors
    /// [`SuperviseError`]: another unit of the same name runs, or why it does not start.
    pub fn start(&self, unit: &Unit) -> Result<Status, SuperviseError> {
        match self {
            Self::Direct(direct) => direct.start(unit),
        }
    }

    /// The same, joined to its streams from its first byte on; see [`Direct::start_attached`].
    ///
    /// # Errors
    /// Those of [`Supervisor::start`].
    pub fn start_attached(&self, unit: &Unit) -> Result<Attachment, SuperviseError> {
        match self {
            Self::Direct(direct) => direct.start_attached(unit),
        }
    }

    /// Stops the workload: its stop signal, its grace period, `SIGKILL`.
    ///
    /// # Errors
    /// [`SuperviseError`], also when the workload is unknown.
    pub fn stop(&self, id: &WorkloadId) -> Result<Status, SuperviseError> {
        match self {
            Self::Direct(direct) => direct.stop(id),
        }
    }

    /// Stops and forgets a unit that was started beside `id`; none is fine.
    ///
    /// # Errors
    /// Those of [`Supervisor::stop`] and [`Supervisor::remove`].
    pub fn drop_beside(&self, id: &WorkloadId) -> Result<(), SuperviseError> {
        match self {
            Self::Direct(direct) => direct.drop_beside(id),
        }
    }

    /// Stops the workload and starts it again as it was.
    ///
    /// # Errors
    /// Those of [`Supervisor::stop`] and [`Supervisor::start`].
    pub fn restart(&self, id: &WorkloadId) -> Result<Status, SuperviseError> {
        match self {
            Self::Direct(direct) => direct.restart(id),
        }
    }

    /// Forgets a workload that does not run, with its log and its changes to the root. Volumes stay.
    ///
    /// # Errors
    /// [`SuperviseError`]: it runs, or the file system's answer.
    pub fn remove(&self, id: &WorkloadId) -> Result<(), SuperviseError> {
        match self {
            Self::Direct(direct) => direct.remove(id),
        }
    }

    /// All workloads known since the board booted, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Status> {
        match self {
            Self::Direct(direct) => direct.list(),
        }
    }

    /// What became of one workload.
    ///
    /// # Errors
    /// [`SuperviseError`]: it is unknown, or its status damaged.
    pub fn status(&self, id: &WorkloadId) -> Result<Status, SuperviseError> {
        match self {
            Self::Direct(direct) => direct.status(id),
        }
    }

    /// The unit that a workload runs, or last ran, as.
    ///
    /// # Errors
    /// [`SuperviseError`]: it is unknown, or its unit damaged or of another version.
    pub fn unit(&self, id: &WorkloadId) -> Result<Unit, SuperviseError> {
        match self {
            Self::Direct(direct) => direct.unit(id),
        }
    }

    /// The same of the unit beside it.
    ///
    /// # Errors
    /// Those of [`Supervisor::unit`].
    pub fn unit_beside(&self, id: &WorkloadId) -> Result<Unit, SuperviseError> {
        match self {
            Self::Direct(direct) => direct.unit_beside(id),
        }
    }

    /// The last `lines` entries a workload wrote, in the form that the log has.
    ///
    /// # Errors
    /// [`SuperviseError`]: it is unknown, or the file system's answer.
    pub fn logs(&self, id: &WorkloadId, lines: usize) -> Result<Vec<String>, SuperviseError> {
        match self {
            Self::Direct(direct) => direct.logs(id, lines),
        }
    }

    /// Takes part in the streams of a running workload.
    ///
    /// # Errors
    /// [`SuperviseError`]: it does not run.
    pub fn attach(&self, id: &WorkloadId) -> Result<Attachment, SuperviseError> {
        match self {
            Self::Direct(direct) => direct.attach(id),
        }
    }
}
