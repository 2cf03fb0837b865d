//! What keeps a shim from running its workload.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use coracle_core::bundle::BundleError;
use coracle_core::seccomp::SeccompError;
use coracle_host::devices::DeviceError;
use coracle_host::mounts::{self, MountError};
use coracle_host::runtime::{self, RuntimeError};
use coracle_host::seccomp::ProfileError;
use coracle_host::users::LookupError;
use coracle_host::volumes::VolumeError;

/// A workload cannot run; its words are the agent's error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShimError {
    #[error("another shim stands over it already")]
    Taken,
    #[error("there is no unit to run")]
    NoUnit,
    #[error("bind source {} does not exist", .0.display())]
    MissingSource(PathBuf),
    #[error("bind source {given:?} leads to {real:?}, which this board does not allow (allow.binds)")]
    Elsewhere { given: PathBuf, real: PathBuf },
    #[error("/{0} of its root is no directory: containers have the kernel's own files there")]
    Place(&'static str),
    #[error("the root cannot be mounted")]
    Mount(#[from] MountError),
    #[error(transparent)]
    User(#[from] LookupError),
    #[error(transparent)]
    Profile(#[from] ProfileError),
    #[error("its system call filter cannot be made")]
    Filter(#[from] SeccompError),
    #[error("its bundle cannot be made")]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("{object}: {error}")]
    System { object: String, error: io::Error },
}

impl ShimError {
    /// Whether the board is at fault, a full disk or a missing runtime for instance: the same workload may start once
    /// that is mended, and must not be remembered as bad.
    pub(crate) fn is_of_board(&self) -> bool {
        match self {
            Self::System { .. } | Self::Volume(_) | Self::Profile(_) => true,
            Self::Mount(error) => matches!(error.cause(), mounts::Cause::System(_) | mounts::Cause::Stacked),
            Self::Runtime(error) => {
                let lacking =
                    matches!(error.cause(), runtime::Cause::Missing(_) | runtime::Cause::TooOld { .. });
                lacking || error.retry()
            }
            Self::Taken
            | Self::NoUnit
            | Self::MissingSource(_)
            | Self::Elsewhere { .. }
            | Self::Place(_)
            | Self::User(_)
            | Self::Filter(_)
            | Self::Bundle(_)
            | Self::Device(_) => false,
        }
    }
}

/// Names the object of a system error.
pub(crate) fn system<E: Into<io::Error>>(object: impl fmt::Display) -> impl FnOnce(E) -> ShimError {
    let object = object.to_string();
    move |error| ShimError::System { object, error: error.into() }
}

/// An error with all its causes, on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        source = cause.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: impl Into<ShimError>, of_board: bool) {
        let error = error.into();
        assert_eq!(error.is_of_board(), of_board, "{error}");
    }

    #[test]
    fn what_the_board_lacks_is_told_from_what_a_workload_does_wrong() {
        check(system("scratch")(io::Error::from(io::ErrorKind::StorageFull)), true);
        check(runtime::probe(std::path::Path::new("/nowhere/crun")).unwrap_err(), true);
        check(ShimError::MissingSource("/data".into()), false);
        check(ShimError::Place("dev"), false);
    }
}
