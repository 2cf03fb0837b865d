//! The clock of 32-bit boards after 19 January 2038: it stands still at the last second that 32 bits have.
//!
//! Rust's standard library asks musl for times of 32 bits there. Later ones are an error to musl and a panic to the
//! library, so a board whose clock lost its battery and woke up in 2099 would have no agent. This function takes the place
//! of musl's old one; musl itself and everything that counts in 64 bits call the other.
#![allow(unsafe_code, reason = "it is called as C")]

use nix::libc::{c_int, clockid_t};

/// What callers of the old function hand in.
#[repr(C)]
struct Narrow {
    seconds: i32,
    nanoseconds: i32,
}

/// musl's own since 1.2: on a little-endian machine the padding comes last.
#[repr(C)]
#[derive(Default)]
struct Wide {
    seconds: i64,
    nanoseconds: i32,
    padding: i32,
}

unsafe extern "C" {
    fn __clock_gettime64(clock: clockid_t, at: *mut Wide) -> c_int;
}

/// The time of `clock`, or the last one before or the first one since 1901 that there are 32 bits for.
///
/// # Safety
/// `at` is where a [`Narrow`] may be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: clockid_t, at: *mut Narrow) -> c_int {
    let mut wide = Wide::default();
    // SAFETY: it writes one `timespec` of musl's, as `Wide` is.
    let status = unsafe { __clock_gettime64(clock, &raw mut wide) };
    if status == 0 {
        let bound = if wide.seconds < 0 { i32::MIN } else { i32::MAX };
        let seconds = i32::try_from(wide.seconds).unwrap_or(bound);
        // SAFETY: the caller's promise.
        unsafe { at.write(Narrow { seconds, nanoseconds: wide.nanoseconds }) };
    }
    status
}
