//! The subset of the Compose specification that a workload may use; anything else is refused with its path.

pub mod form;
pub mod parse;
pub mod service;

pub use form::FormError;
pub use parse::{ComposeError, Defaults, parse};
pub use service::{
    Condition, Device, FailureAction, Healthcheck, Mount, NetworkMode, Probe, Probed, Project, Resources,
    Restart, Service, Timing, Ulimit, UpdateConfig, UpdateOrder, Volume,
};
