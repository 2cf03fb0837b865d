//! A whole board in a machine of its own: qemu, Debian's kernel, a root in memory, and one disk for the agent's state.
//!
//! Where a process is killed, the kernel keeps what it had not written yet; where this machine is killed, that is lost
//! as it is when a board's power goes. It boots in seconds, for there is nothing on it but busybox, crun and `coracle`.
//!
//! ```text
//! qemu ── kernel ── init.sh: modules, mounts ── coracle agent
//!  │                   /var/lib/coracle on /dev/vda (ext4), every write noted on /dev/vdb where asked
//!  └── user network: 10.0.2.2 in the machine is this machine's loopback
//! ```

mod kernel;
mod machine;
mod qemu;
mod ramdisk;

pub use kernel::{Kernel, add_modules, archive, kernel};
pub use machine::{Boot, Clock, HOST, Machine, Scarce, Writes, disk};
pub use qemu::{console, qemu};
pub use ramdisk::{Syncs, libraries, pack};
