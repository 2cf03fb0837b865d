//! Workloads on this board: one small process of our own, the shim, stands over each of them, so that they outlive the
//! agent. Under systemd each shim is the main process of a unit; without it, nobody stands over the shim.
//!
//! This module holds what the shim and those who ask about it share; the shim itself, which joins this with
//! runtime, mounts and bundle, is the daemon's.
//!
//! Invariant: the lock says who lives. A directory whose lock nobody holds has no shim, whatever else lies there.
//!
//! ```text
//! <run_dir>/runtime/               the runtime's own records
//! <run_dir>/workloads/<id>/        the bundle; a second one, <project>._b.<service>, where a workload is replaced
//!                                  by one that starts beside it
//!     unit.json    what to run              lock         held while the shim lives
//!     status.json  what became of it        attach.sock  its streams
//!     log, log.1   what it wrote, bounded   config.json, rootfs/, links/, etc/, points/
//! ```

mod attach;
mod direct;
mod error;
mod journal;
mod life;
mod log;
mod place;
mod pty;
mod status;
mod supervisor;
mod systemd;
mod unit;

pub use attach::{Attachment, Client, FromClient, Listener, ToClient};
pub use direct::{
    BOARD_ANSWER, Clearing, Direct, DirectConfig, SHIM_ATTACHED, SHIM_CLEAR, SHIM_COMMAND, SHIM_UNIT,
};
pub use error::{Attempt, Cause, SuperviseError};
pub use journal::Journal;
pub use life::Life;
pub use log::{Log, Stream, tail};
pub use place::{Place, Slot};
pub use pty::{Console, resize};
pub use status::{Again, Checked, Phase, STATUS_VERSION, Status};
pub use supervisor::Supervisor;
pub use systemd::{SHIM_WAIT_FILE, Systemd, SystemdConfig, property, start_unit};
pub use unit::{UNIT_VERSION, Unit};
