//! Workloads under the `direct` supervisor: the real binary as shim, a real runtime, real limits.
//!
//! The tests want root, crun, a static busybox, and a look at the control groups that crun takes.

mod bench;
mod health;
mod life;
mod limits;
mod streams;
mod units;
mod view;
mod wounds;
