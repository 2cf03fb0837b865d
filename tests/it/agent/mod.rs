//! The real binary on a board of its own, with a real broker, a real registry and a real runtime.

mod allowance;
/// What attacks on an agent stand on.
pub(crate) mod attacked {
    pub(crate) use super::bench::{PATIENCE, broker, idle, process};
    pub(crate) use super::document::{Desired, site};
}
mod bad_document;
mod bad_input;
mod bad_update;
mod bench;
mod commands;
mod console;
mod control;
mod crash;
mod depends;
mod document;
mod downtime;
mod full;
mod group;
mod images_policy;
mod keep;
mod lack;
mod link;
mod manners;
mod named;
mod newer;
mod passage;
mod platform;
mod policy;
mod scrubbed;
mod secured;
mod service;
mod signed;
mod start_first;
mod transport;
mod turns;
mod verify;
mod words;
