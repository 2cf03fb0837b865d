//! host
pub mod cgroup;
pub mod disk;
pub mod kernel;
pub mod mounts;
pub mod process;
pub mod runtime;
pub mod supervise;
pub mod telemetry;
