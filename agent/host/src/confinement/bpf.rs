//! Whether the kernel takes eBPF programs that rule over devices (bpf(2)); the runtime needs them on version 2 of
//! the control groups, and there is no file that tells.

#![allow(unsafe_code)] // One raw system call: no crate we use has it.

use std::mem::size_of;
use std::os::fd::{FromRawFd as _, OwnedFd};

use nix::libc;

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
/// `r0 = 1; exit`: allows everything.
const PROGRAM: [u64; 2] =
    [u64::from_ne_bytes([0xB7, 0, 0, 0, 1, 0, 0, 0]), u64::from_ne_bytes([0x95, 0, 0, 0, 0, 0, 0, 0])];

/// The part of `union bpf_attr` that a load reads; the kernel takes what is missing as zero.
#[repr(C)]
struct Load {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
}

/// Loads the smallest such program, and lets go of it.
pub(super) fn rules_over_devices() -> bool {
    let license = c"GPL";
    let address = |pointer: *const libc::c_void| u64::try_from(pointer.expose_provenance()).unwrap_or(0);
    let load = Load {
        program_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        instruction_count: 2,
        instructions: address(PROGRAM.as_ptr().cast()),
        license: address(license.as_ptr().cast()),
        log_level: 0,
        log_size: 0,
        log_buffer: 0,
    };
    // SAFETY: the kernel reads `size_of::<Load>()` bytes of `load`, two instructions and a string with its closing
    // zero, all alive over the call, and writes nothing.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const load, size_of::<Load>()) };
    #[allow(clippy::useless_conversion, reason = "a long is wider than a descriptor on 64-bit boards")]
    let Some(fd) = i32::try_from(answer).ok().filter(|fd| *fd >= 0) else { return false };
    // SAFETY: the kernel has just given us this descriptor, and nobody else has it.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    true
}
