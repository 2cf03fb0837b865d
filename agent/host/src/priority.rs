//! Work that only takes what nobody else wants: processor and disk at the lowest priority.
//!
//! `unsafe` because neither std nor nix has these calls; they take and give numbers only.

#![allow(unsafe_code)]

use std::thread;
use std::time::{Duration, Instant};

use nix::libc;

/// ioprio_set(2): the calling thread.
const WHO_PROCESS: libc::c_long = 1;
/// The class of those who are served when nobody else asks, in the upper bits.
const CLASS_IDLE: libc::c_long = 3 << 13;
/// The lowest there is.
const NICE: libc::c_int = 19;

/// Puts the calling thread behind all others, for good. Disks whose scheduler knows no classes do not mind; a kernel
/// that refuses, or a sandbox, leaves the thread as it is; the answer is whether it steps back for others.
pub fn lower_thread() -> bool {
    // SAFETY: the arguments are numbers; 0 is the calling thread.
    unsafe {
        libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0 as libc::c_long, CLASS_IDLE);
        libc::setpriority(libc::PRIO_PROCESS, 0, NICE) == 0
    }
}

/// Work in small pieces, with three times as long a pause after each: for whoever cannot step back for others.
#[derive(Debug)]
pub struct Pace {
    since: Instant,
}

/// A piece of work, at the least; shorter pauses would cost more than they give.
const PIECE: Duration = Duration::from_millis(10);
/// Pauses for each piece of work.
const PAUSES: u32 = 3;

impl Pace {
    /// Work begins now.
    #[must_use]
    pub fn begin() -> Self {
        Self { since: Instant::now() }
    }

    /// Pauses, if a piece of work is done.
    pub fn rest(&mut self) {
        let worked = self.since.elapsed();
        if worked >= PIECE {
            thread::sleep(worked * PAUSES);
            self.since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_three_times_as_long_as_the_work_before_it() {
        let began = Instant::now();
        let (mut pace, mut pieces) = (Pace::begin(), 0);
        // What is too short to be a piece is no reason to pause.
        pace.rest();
        while pieces < 4 {
            let piece = Instant::now();
            while piece.elapsed() < PIECE {}
            pace.rest();
            pieces += 1;
        }
        assert!(began.elapsed() >= PIECE * 4 * (1 + PAUSES), "{:?}", began.elapsed());
    }

    #[test]
    fn only_the_thread_that_asks_steps_back() {
        thread::spawn(|| {
            assert!(lower_thread());
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
