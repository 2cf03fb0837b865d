//! Work that only takes what nobody else wants: processor and disk at the lowest priority.
//!
//! `unsafe` because neither std nor nix has these calls; they take and give numbers only.

#![allow(unsafe_code)]

use nix::libc;

/// ioprio_set(2): the calling thread.
const WHO_PROCESS: libc::c_long = 1;
/// The class of those who are served when nobody else asks, in the upper bits.
const CLASS_IDLE: libc::c_long = 3 << 13;
/// The lowest there is.
const NICE: libc::c_int = 19;

/// Puts the calling thread behind all others, for good. Disks whose scheduler knows no classes do not mind; a kernel
/// that refuses leaves the thread as it is, which costs others a little and nobody anything else.
pub fn lower_thread() {
    // SAFETY: the arguments are numbers; 0 is the calling thread.
    unsafe {
        libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0 as libc::c_long, CLASS_IDLE);
        libc::setpriority(libc::PRIO_PROCESS, 0, NICE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_thread_that_asks_steps_back() {
        std::thread::spawn(|| {
            lower_thread();
            // SAFETY: the arguments are numbers.
            let class = unsafe { libc::syscall(libc::SYS_ioprio_get, WHO_PROCESS, 0 as libc::c_long) };
            // SAFETY: as above.
            let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
            assert_eq!((class >> 13, nice), (3, NICE));
        })
        .join()
        .unwrap();
        // SAFETY: as above.
        assert_ne!(unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }, NICE);
    }
}
