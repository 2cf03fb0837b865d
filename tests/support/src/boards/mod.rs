//! Whole boards of each architecture: Debian with systemd, the agent from its own package, a machine under qemu.
//!
//! A boot takes half a minute and more, for nothing but an emulator runs it; what a board has lost with its power, its
//! services' order and its control groups are those of a real one.
//!
//! ```text
//! qemu ── kernel ── ramdisk: modules ── systemd ─┬─ coracle-boot.service, coracle.service
//!  │                                             └─ coracle-workload@….service
//!  ├── /                 root.img (ext4): the tree, the kernel's modules, the package, the board's files
//!  ├── /var/lib/coracle  state.img (ext4)
//!  ├── network           10.0.2.2 on the board is this machine's loopback
//!  └── serial line       console.log keeps what was said, console.sock is where to speak
//! ```

mod board;
mod disk;
mod shell;
mod tree;

pub use board::{Board, Boot, Forward, Machine, Slow, Told};
pub use shell::Shell;
pub use tree::tree;
