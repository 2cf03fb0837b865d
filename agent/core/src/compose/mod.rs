//! The subset of the Compose specification that a workload may use; anything else is refused with its path.

pub mod service;

pub use service::{
    Condition, Device, FailureAction, Healthcheck, Mount, NetworkMode, Project, Resources, Restart, Service,
    Ulimit, UpdateConfig, UpdateOrder, Volume,
};
