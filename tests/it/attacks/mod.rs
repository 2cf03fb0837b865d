//! The corpus of hostile input: every attack has a name, one place, and a line in the table that `cargo xtask attacks`
//! prints.
//!
//! Most are tried on the real binary, a process of its own whose peak memory is read; those that need shorter waits
//! than a board has are tried on the part that refuses them.

mod archives;
mod manifests;
mod mqtt;
mod pulls;
mod registries;
pub(crate) mod table;

pub(crate) use archives::{Hostile, refused as archives_refused};
