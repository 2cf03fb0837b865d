//! What can go wrong with a runtime, by attempt and container.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::probe::Version;

/// What the runtime was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// To tell its name and version.
    Probe,
    /// To make a container.
    Create,
    /// To start its process.
    Start,
    /// To signal it.
    Kill,
    /// To remove it.
    Delete,
    /// To tell its state.
    State,
    /// To run another program in it.
    Execute,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Probe => "probe runtime",
            Self::Create => "create container",
            Self::Start => "start container",
            Self::Kill => "signal container",
            Self::Delete => "delete container",
            Self::State => "read the state of container",
            Self::Execute => "run a program in container",
        })
    }
}

/// A runtime did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[error("failed to {attempt} {object:?}")]
pub struct RuntimeError {
    attempt: Attempt,
    object: String,
    #[source]
    cause: Cause,
}

/// Why.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// There is no such program.
    #[error("runtime {0:?} is not installed")]
    Missing(PathBuf),
    /// The program does not start.
    #[error("runtime {0:?} does not start: {1}")]
    Spawn(PathBuf, io::Error),
    /// Its end could not be waited for.
    #[error("the runtime could not be waited for: {0}")]
    Wait(io::Error),
    /// It took too long and was killed.
    #[error("the runtime did not end within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// It said no, in its own words.
    #[error("the runtime refused: {0}")]
    Refused(String),
    /// The container's bundle cannot be used.
    #[error("{}: {error}", file.display())]
    Bundle {
        /// Which file of it.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Its answer makes no sense.
    #[error("the runtime's answer is not understood: {0}")]
    Answer(String),
    /// Containers can break out of this version (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881).
    #[error("runc {found} has known escapes; {oldest} is the oldest that is taken")]
    TooOld {
        /// What is installed.
        found: Version,
        /// What is needed.
        oldest: Version,
    },
}

impl Cause {
    pub(super) fn spawn(program: &Path, error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            Self::Missing(program.to_owned())
        } else {
            Self::Spawn(program.to_owned(), error)
        }
    }
}

impl RuntimeError {
    pub(super) fn new(attempt: Attempt, object: &str, cause: Cause) -> Self {
        Self { attempt, object: object.to_owned(), cause }
    }

    /// What was tried.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// Why it failed.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// Whether the same attempt may succeed later with nothing changed.
    #[must_use]
    pub fn retry(&self) -> bool {
        match self.cause {
            Cause::Spawn(..) | Cause::Wait(_) | Cause::TimedOut(_) => true,
            Cause::Missing(_)
            | Cause::Refused(_)
            | Cause::Bundle { .. }
            | Cause::Answer(_)
            | Cause::TooOld { .. } => false,
        }
    }
}
