//! A board with systemd: a Debian tree booted by `systemd-nspawn`, with the real binary and its real units in it.
//!
//! It boots in a second or two. The root is gone with the power, as on a board whose image is read-only; what stays is
//! the disk of the agent's state, a file system of its own. A cut kills every process at once, but this machine's
//! kernel keeps what it had not written yet: lost writes are what [`crate::emulated`] is for.
//!
//! ```text
//! systemd-nspawn ── systemd ─┬─ coracle-boot.service, coracle.service
//!                            └─ coracle-workload@….service
//!   /                 files of the board over the tree over nothing (overlay, in memory)
//!   /var/lib/coracle  state.img (ext4)
//!   network           this machine's loopback, or none at all
//! ```

mod board;

pub use board::{Board, Machine, Network, Root};
