//! The rollout machine against a board in memory, on nights on which everything goes wrong.
//!
//! A schedule is one night, made from its seed alone: the operator sends documents, the broker loses, repeats and
//! reorders them, power fails after any effect, the disk is full, the runtime refuses, the clock jumps, workloads
//! crash, people give orders. Then the day breaks, nothing fails anymore, and the new deployment or the last good one
//! must run, whole. All that decides is the real core: documents are judged, gates asked, steps planned, the record
//! written and read by the code of the agent; only the hands and the world around it are made here. Beside the nights,
//! [`drawing`] goes everywhere in the machine and draws it.
//!
//! ```text
//! operator ─▶ post ─▶ ┌ engine ───────────────┐ ─▶ job ─▶ store, runtime
//! people  ──────────▶ │ record, rollout, gate │    one effect at a time, and the power may fail after each
//!                     └───────────────────────┘ ◀─ answers
//! ```

pub mod board;
pub mod chance;
pub mod dawn;
pub mod drawing;
pub mod engine;
pub mod job;
pub mod kind;
pub mod night;
pub mod operator;
pub mod plant;
pub mod post;
pub mod runtime;
pub mod schedules;
pub mod store;
pub mod verdict;
pub mod weather;
