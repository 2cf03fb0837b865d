//! What is tried on a board in a machine of its own, where a power cut really loses what was not written.

mod cuts;
mod remains;
mod scene;
mod writes;

pub use cuts::{Outcome, cuts};
pub use writes::{Disks, writes};
