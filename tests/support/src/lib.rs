//! The test bench: real servers, real images and real agents that tests and `cargo xtask` start and stop.
//!
//! Without the feature `protocols` it needs the standard library and little more, so that the front door stays
//! quick to build.

pub mod acceptor;
pub mod agent;
#[cfg(feature = "protocols")]
pub mod archive;
pub mod boards;
#[cfg(feature = "protocols")]
pub mod broker;
pub mod caller;
pub mod certificates;
pub mod cosign;
pub mod debian;
pub mod desired;
pub mod disk_log;
pub mod emulated;
pub mod faults;
pub mod foreign;
pub mod images;
pub mod measure;
pub mod nspawn;
pub mod pages;
pub mod process;
pub mod proxy;
pub mod puppet;
pub mod registry;
pub mod scratch;
pub mod secrets;
pub mod sign;
pub mod tree;
