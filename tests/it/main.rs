//! The integration tests: adapters against real things, the real binary against real peers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on says so by panicking"
)]

mod acl;
mod agent;
mod attacks;
mod images_signed;
mod mqtt;
mod registry;
mod resume;
mod run;
mod scrub;
mod smuggled;
mod store;
mod trust;
mod unpack;
