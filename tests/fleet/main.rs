//! The operator's tool against real things: openssl, a security token, a broker, a registry, the real agent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod bed;
mod bench;
mod console;
mod deploy;
mod keys;
mod sign;
mod trust;
