//! How Coracle acts: one adapter per outside thing. Decides nothing.
//!
//! Invariant: adapters do not name one another; what they share is in `files`.

pub(crate) mod authorities;
pub mod board;
pub mod cgroup;
pub(crate) mod chance;
pub mod channel;
pub mod clock;
pub mod confinement;
pub mod console;
pub mod control;
pub mod devices;
pub mod disk;
pub mod files;
pub mod fleet_lock;
pub mod identity;
pub mod journald;
pub mod kernel;
pub mod mounts;
#[cfg(all(target_env = "musl", target_pointer_width = "32", target_endian = "little"))]
mod narrow_clock;
pub mod notify;
pub mod pressure;
pub mod priority;
pub mod probe;
pub mod process;
pub mod registry;
pub mod reserve;
pub mod runtime;
pub mod sandbox;
pub mod seccomp;
pub mod store;
pub mod supervise;
pub mod telemetry;
pub mod terminal;
pub(crate) mod tls;
pub mod trust;
pub mod unpack;
pub mod users;
pub mod volumes;
pub mod zones;
