//! What can go wrong between the agent and its shims.

use std::fmt;
use std::io;
use std::time::Duration;

use coracle_core::ident::WorkloadId;
use coracle_core::saved::Newer;

/// What was tried with a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Remove it with its changes.
    Remove,
    /// Read what is known of it.
    Read,
    /// Take part in its streams.
    Attach,
    /// Write down what becomes of it.
    Record,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Remove => "remove",
            Self::Read => "read",
            Self::Attach => "attach to",
            Self::Record => "record",
        })
    }
}

/// A workload was not brought where it was asked to be.
#[derive(Debug, thiserror::Error)]
#[error("failed to {attempt} workload {workload}")]
pub struct SuperviseError {
    attempt: Attempt,
    workload: WorkloadId,
    #[source]
    cause: Cause,
}

/// Why.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// Nothing is known of it.
    #[error("there is no such workload")]
    Unknown,
    /// It runs with other settings or bytes.
    #[error("it runs with another image or other settings: stop it first")]
    Different,
    /// It runs.
    #[error("it is running: stop it first")]
    Running,
    /// It does not run.
    #[error("it is not running")]
    NotRunning,
    /// The shim said why.
    #[error("{0}")]
    Shim(String),
    /// The shim said what the board lacks: no other workload would start either.
    #[error("{0}")]
    Board(String),
    /// The shim said nothing in time.
    #[error("its shim did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The service manager's own words.
    #[error("systemd: {0}")]
    Manager(String),
    /// A file in its directory was written by a newer agent.
    #[error("{file} is a newer agent's: {newer}")]
    Newer {
        /// Its name in the directory.
        file: &'static str,
        /// Its version, and the one that can be read.
        newer: Newer,
    },
    /// A file in its directory does not parse.
    #[error("{file} is damaged: {why}")]
    Damaged {
        /// Its name in the directory.
        file: &'static str,
        /// What the parser says.
        why: String,
    },
    /// The system's answer.
    #[error("{object}: {error}")]
    System {
        /// The file or program.
        object: String,
        /// What it said.
        error: io::Error,
    },
}

impl Cause {
    pub(super) fn system(object: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        let object = object.to_string();
        move |error| Self::System { object, error }
    }
}

impl SuperviseError {
    pub(super) fn new(attempt: Attempt, workload: &WorkloadId, cause: Cause) -> Self {
        Self { attempt, workload: workload.clone(), cause }
    }

    /// What was tried.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// On which workload.
    #[must_use]
    pub fn workload(&self) -> &WorkloadId {
        &self.workload
    }

    /// Why it failed.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// Whether the same attempt may succeed later with nothing changed.
    #[must_use]
    pub fn retry(&self) -> bool {
        matches!(self.cause, Cause::TimedOut(_) | Cause::Board(_) | Cause::Manager(_) | Cause::System { .. })
    }
}
