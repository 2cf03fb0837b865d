//! What is tried on whole boards whose power can be cut: under qemu, where that really loses what was not written, and
//! under systemd-nspawn, where systemd has the workloads.

mod cuts;
mod hardware;
mod remains;
mod scene;
mod writes;

pub use cuts::{Outcome, cuts};
pub use hardware::Kind;
pub use scene::{Chance, call};
pub use writes::{Disks, writes};
