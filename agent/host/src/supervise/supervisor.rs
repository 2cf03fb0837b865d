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
use super::systemd::Systemd;
use super::unit::Unit;

/// The supervisor of this board. Its calls block; each may be repeated.
#[derive(Debug, Clone)]
pub enum Supervisor {
    /// Shims that nobody stands over.
    Direct(Direct),
    /// Units of systemd.
    Systemd(Systemd),
}

impl Supervisor {
    /// The files of `id`; see [`Direct::place`].
    #[must_use]
    pub fn place(&self, id: &WorkloadId) -> Place {
        match self {
            Self::Direct(direct) => direct.place(id),
            Self::Systemd(systemd) => systemd.files().place(id),
        }
    }

    /// The turn of a unit that takes the place of `id`; one more is that of a unit beside it.
    #[must_use]
    pub fn turn(&self, id: &WorkloadId) -> u32 {
        match self {
            Self::Direct(direct) => direct.turn(id),
            Self::Systemd(systemd) => systemd.files().turn(id),
        }
    }

    /// Where the changes of `id` to its root are kept, in its `turn`; for [`Unit::scratch`].
    #[must_use]
    pub fn scratch(&self, id: &WorkloadId, turn: u32) -> PathBuf {
        match self {
            Self::Direct(direct) => direct.scratch(id, turn),
            Self::Systemd(systemd) => systemd.files().scratch(id, turn),
        }
    }

    /// Where named volumes are kept; for [`Unit::volumes`].
    #[must_use]
    pub fn volumes(&self) -> PathBuf {
        match self {
            Self::Direct(direct) => direct.volumes(),
            Self::Systemd(systemd) => systemd.files().volumes(),
        }
    }

    /// Starts `unit` and waits until its process runs; see [`Direct::start`].
    ///
    /// # Errors
    /// [`SuperviseError`]: another unit of the same name runs, or why it does not start.
    pub fn start(&self, unit: &Unit) -> Result<Status, SuperviseError> {
        match self {
            Self::Direct(direct) => direct.start(unit),
            Self::Systemd(systemd) => systemd.start(unit),
        }
    }

    /// The same, joined to its streams from its first byte on; see [`Direct::start_attached`].
    ///
    /// # Errors
    /// Those of [`Supervisor::start`].
    pub fn start_attached(&self, unit: &Unit) -> Result<Attachment, SuperviseError> {
        match self {
            Self::Direct(direct) => direct.start_attached(unit),
            Self::Systemd(systemd) => systemd.start_attached(unit),
        }
    }

    /// Stops the workload because something else shall run. Until it is started again or removed it counts as lost, and
    /// not as stopped by a person: the agent may be cut off in between.
    ///
    /// # Errors
    /// Those of [`Supervisor::stop`].
    pub fn end(&self, id: &WorkloadId) -> Result<Status, SuperviseError> {
        self.place(id).leave();
        self.stop(id)
    }

    /// Stops the workload: its stop signal, its grace period, `SIGKILL`.
    ///
    /// # Errors
    /// [`SuperviseError`], also when the workload is unknown.
    pub fn stop(&self, id: &WorkloadId) -> Result<Status, SuperviseError> {
        match self {
            Self::Direct(direct) => direct.stop(id),
            Self::Systemd(systemd) => systemd.stop(id),
        }
    }

    /// Stops and forgets a unit that was started beside `id`; none is fine.
    ///
    /// # Errors
    /// Those of [`Supervisor::stop`] and [`Supervisor::remove`].
    pub fn drop_beside(&self, id: &WorkloadId) -> Result<(), SuperviseError> {
        match self {
            Self::Direct(direct) => direct.drop_beside(id),
            Self::Systemd(systemd) => systemd.drop_beside(id),
        }
    }

    /// Stops the workload and starts it again as it was.
    ///
    /// # Errors
    /// Those of [`Supervisor::stop`] and [`Supervisor::start`].
    pub fn restart(&self, id: &WorkloadId) -> Result<Status, SuperviseError> {
        self.stop(id)?;
        let unit = self.unit(id)?;
        self.start(&unit)
    }

    /// Has all of `units` started, in this order where nobody else keeps it, and waits for no more than it must.
    ///
    /// # Errors
    /// [`SuperviseError`] of one that was not started; the others are.
    pub fn start_together(&self, units: &[Unit]) -> Result<(), SuperviseError> {
        match self {
            Self::Direct(direct) => {
                let mut failed = None;
                for unit in units {
                    failed = direct.start(unit).err().or(failed);
                }
                failed.map_or(Ok(()), Err)
            }
            Self::Systemd(systemd) => systemd.start_together(units),
        }
    }

    /// Makes ready what can be before `units` are started, while others still run in their place.
    ///
    /// # Errors
    /// [`SuperviseError`] names the first of them.
    pub fn announce(&self, units: &[Unit]) -> Result<(), SuperviseError> {
        match self {
            Self::Direct(_) => Ok(()),
            Self::Systemd(systemd) => systemd.announce(units),
        }
    }

    /// Forgets a workload that does not run, as [`Supervisor::remove`], because it is about to be started anew.
    ///
    /// # Errors
    /// Those of [`Supervisor::remove`].
    pub fn make_way(&self, id: &WorkloadId) -> Result<(), SuperviseError> {
        match self {
            Self::Direct(direct) => direct.remove(id),
            Self::Systemd(systemd) => systemd.make_way(id),
        }
    }

    /// Forgets a workload that does not run, with its log and its changes to the root. Volumes stay.
    ///
    /// # Errors
    /// [`SuperviseError`]: it runs, or the file system's answer.
    pub fn remove(&self, id: &WorkloadId) -> Result<(), SuperviseError> {
        match self {
            Self::Direct(direct) => direct.remove(id),
            Self::Systemd(systemd) => systemd.remove(id),
        }
    }

    /// All workloads known since the board booted, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Status> {
        match self {
            Self::Direct(direct) => direct.list(),
            Self::Systemd(systemd) => systemd.list(),
        }
    }

    /// What became of one workload.
    ///
    /// # Errors
    /// [`SuperviseError`]: it is unknown, or its status damaged.
    pub fn status(&self, id: &WorkloadId) -> Result<Status, SuperviseError> {
        match self {
            Self::Direct(direct) => direct.status(id),
            Self::Systemd(systemd) => systemd.status(id),
        }
    }

    /// The unit that a workload runs, or last ran, as.
    ///
    /// # Errors
    /// [`SuperviseError`]: it is unknown, or its unit damaged or of another version.
    pub fn unit(&self, id: &WorkloadId) -> Result<Unit, SuperviseError> {
        match self {
            Self::Direct(direct) => direct.unit(id),
            Self::Systemd(systemd) => systemd.files().unit(id),
        }
    }

    /// The same of the unit beside it.
    ///
    /// # Errors
    /// Those of [`Supervisor::unit`].
    pub fn unit_beside(&self, id: &WorkloadId) -> Result<Unit, SuperviseError> {
        match self {
            Self::Direct(direct) => direct.unit_beside(id),
            Self::Systemd(systemd) => systemd.files().unit_beside(id),
        }
    }

    /// The last `lines` entries a workload wrote, in the form that the log has.
    ///
    /// # Errors
    /// [`SuperviseError`]: it is unknown, or the file system's answer.
    pub fn logs(&self, id: &WorkloadId, lines: usize) -> Result<Vec<String>, SuperviseError> {
        match self {
            Self::Direct(direct) => direct.logs(id, lines),
            Self::Systemd(systemd) => systemd.files().logs(id, lines),
        }
    }

    /// Takes part in the streams of a running workload.
    ///
    /// # Errors
    /// [`SuperviseError`]: it does not run.
    pub fn attach(&self, id: &WorkloadId) -> Result<Attachment, SuperviseError> {
        match self {
            Self::Direct(direct) => direct.attach(id),
            Self::Systemd(systemd) => systemd.files().attach(id),
        }
    }
}
