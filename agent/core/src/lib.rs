//! What Coracle decides: documents, platforms, plans and the rollout machine.
//!
//! Invariant: nothing in this crate opens a file or socket, starts a process or thread, reads a clock,
//! the environment or a random source. Facts come in as values; decisions go out as values.

pub mod address;
pub mod allowance;
pub mod board;
pub mod bucket;
pub mod bundle;
pub mod certificate;
pub mod command;
pub mod compose;
pub mod deployment;
pub mod desired;
pub mod explain;
pub mod fault;
mod fields;
pub mod gate;
pub mod health;
pub mod history;
pub mod ident;
mod json;
pub mod limits;
pub mod oci;
pub mod pace;
pub mod passage;
pub mod plain;
pub mod plan;
pub mod preflight;
pub mod readiness;
pub mod record;
pub mod reported;
pub mod restart;
pub mod retention;
pub mod retry;
pub mod rollout;
pub mod saved;
pub mod scrub;
pub mod seccomp;
pub mod service_unit;
pub mod standing;
pub mod time;
pub mod trust;
