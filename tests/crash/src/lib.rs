//! Crash consistency of the state directory: what the real binary does to it is recorded from underneath, and every
//! disk that a power cut may leave of that is recovered and compared.
//!
//! ```text
//! coracle under strace ─▶ line ─▶ record ─▶ op          what was done, by inode
//!                                            │
//!                              durable ◀─────┘          what barriers cover, and what is pending
//!                                 │
//!                               cut ─▶ disk ─▶ lay      what a cut may leave, on a real directory
//!                                                │
//!                                             demand    recovered as at a boot, compared, pulled anew
//! ```

pub mod cut;
pub mod demand;
pub mod disk;
pub mod durable;
pub mod known;
pub mod lay;
pub mod line;
pub mod op;
pub mod record;
pub mod recording;
pub mod replay;
pub mod scene;
