//! The real binary on a board of its own, with a real broker, a real registry and a real runtime.

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
mod group;
mod keep;
mod lack;
mod link;
mod passage;
mod platform;
mod policy;
mod scrubbed;
mod secured;
mod service;
mod signed;
mod start_first;
mod turns;
mod verify;
mod words;
