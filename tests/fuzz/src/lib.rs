//! Whatever reads strangers' bytes, fed with bytes that no stranger would think of.
//!
//! Each target is a function of bytes that panics where something does not hold: not only where the product panics, but
//! where what was read is not what is written again, where something appears that must not, or where an error says
//! more than a line. `fuzz_targets/feed.rs` hands them to libFuzzer, the tests below hand them all of `corpus/`.
//!
//! ```text
//! corpus/<target>/    inputs worth keeping, few and small
//! ```

mod documents;
mod images;
mod layer;
mod names;
mod oci;
mod pieces;
mod replay;
mod saved;
mod scratch;
mod seeds;
mod service;
mod told;
mod tree;
mod wire;

pub use replay::{TARGETS, Target, main};
pub use seeds::seeds;
