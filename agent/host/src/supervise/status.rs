//! What became of a workload, as its shim writes it down.

use std::io;

use coracle_core::health;
use coracle_core::ident::WorkloadId;
use coracle_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::place::Place;

/// Version of the saved form; the first shims wrote none.
pub const STATUS_VERSION: u32 = 1;
const FILE: &str = "status.json";
/// Bytes of a status; an error message is most of it.
const STATUS_BYTES_MAX: u64 = 64 << 10;

/// Where a workload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Its container is being made.
    Starting,
    /// Its process runs.
    Running,
    /// Its process ended, and will be started again.
    BackingOff,
    /// It was asked to end.
    Stopping,
    /// It ended because it was asked to.
    Stopped,
    /// It ended by itself, and its policy leaves it so.
    Exited,
    /// Its container could not be made or started.
    Failed,
    /// Its shim is gone without a word; its process may still run, unwatched. Never written, only found.
    Lost,
}

impl Phase {
    /// Whether a shim must stand behind it.
    #[must_use]
    pub fn live(self) -> bool {
        match self {
            Self::Starting | Self::Running | Self::BackingOff | Self::Stopping => true,
            Self::Stopped | Self::Exited | Self::Failed | Self::Lost => false,
        }
    }
}

/// What the checks of a workload's present run came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// How it is.
    pub state: health::State,
    /// Since when.
    pub since: Timestamp,
    /// Failures in a row that count.
    pub streak: u32,
    /// What the last check said that failed; nothing once one passes.
    pub why: Option<String>,
}

/// A workload's state; the saved form and the live one are the same, for it never outlives a boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// [`STATUS_VERSION`].
    #[serde(default = "first")]
    pub version: u32,
    /// Which workload.
    pub id: WorkloadId,
    /// Where it is.
    pub phase: Phase,
    /// The container's first process, in the board's numbers, while it lives.
    pub pid: Option<i32>,
    /// When that process was started, in clock ticks since boot: another process may have its pid later.
    pub pid_ticks: Option<u64>,
    /// When the shim over it was started, in the same ticks; whoever cannot look at other processes finds it here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shim_ticks: Option<u64>,
    /// How the last run ended: its exit code, or 128 plus the signal's number.
    pub exit_code: Option<i32>,
    /// The kernel ended the last run because it used more memory than it may.
    #[serde(default)]
    pub oom_killed: bool,
    /// The limit of its own that it met then, in bytes; none where it was one that it shares with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_limit: Option<u64>,
    /// The kernel refused the last run another process, for there were as many as there may be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forks_refused: bool,
    /// Starts after the first, by policy.
    pub restarts: u32,
    /// When the latest run began.
    pub started_at: Option<Timestamp>,
    /// When the last run ended.
    pub finished_at: Option<Timestamp>,
    /// What failed, in words.
    pub error: Option<String>,
    /// Its health, while it runs and where it has checks.
    #[serde(default)]
    pub health: Option<Checked>,
    /// Another one of the same name runs, which this one is to replace. Never written, only found.
    #[serde(skip)]
    pub beside: bool,
    /// Whether the board is at fault for it, and not the workload.
    #[serde(default)]
    pub of_board: bool,
    /// How the service manager's next start of it goes, where that starts it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Again>,
}

fn first() -> u32 {
    1
}

/// What one shim of a workload leaves to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    /// Milliseconds to wait first.
    pub delay_ms: u64,
    /// Restarts without a healthy run between them, that one included.
    pub in_a_row: u32,
}

impl Status {
    /// A workload that nothing has happened to yet.
    #[must_use]
    pub fn starting(id: &WorkloadId) -> Self {
        Self {
            version: STATUS_VERSION,
            id: id.clone(),
            phase: Phase::Starting,
            pid: None,
            pid_ticks: None,
            shim_ticks: None,
            exit_code: None,
            oom_killed: false,
            oom_limit: None,
            forks_refused: false,
            restarts: 0,
            started_at: None,
            finished_at: None,
            error: None,
            health: None,
            beside: false,
            of_board: false,
            again: None,
        }
    }

    /// Replaces what is written down. The directory is in memory: readers never see half of it, and a boot
    /// forgets it.
    ///
    /// # Errors
    /// That of the file system.
    pub fn write(&self, place: &Place) -> io::Result<()> {
        place.save(FILE, self)
    }

    /// What is written down, if anything.
    ///
    /// # Errors
    /// That of the file system, or `InvalidData`.
    pub fn read(place: &Place) -> io::Result<Option<Self>> {
        place.saved(FILE, STATUS_BYTES_MAX, STATUS_VERSION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_shim_wrote_is_still_read() {
        let saved = include_bytes!("../../../../tests/data/saved/status-1.json");
        let status: Status = serde_json::from_slice(saved).unwrap();
        let expected = Status {
            phase: Phase::Running,
            pid: Some(4711),
            pid_ticks: Some(123_456),
            restarts: 2,
            started_at: Some(Timestamp(1_789_001_234)),
            ..Status::starting(&WorkloadId::parse("site.web").unwrap())
        };
        assert_eq!(status, expected);
    }
}
