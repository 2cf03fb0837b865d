//! The board's clock.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use coracle_core::time::Timestamp;

/// What the clock shows now.
#[must_use]
pub fn wall() -> Timestamp {
    seconds(SystemTime::now())
}

/// Whether the kernel was told that the clock follows a time server.
#[must_use]
#[allow(unsafe_code)] // adjtimex has no safe wrapper in our libraries
pub fn synced() -> bool {
    // SAFETY: a `timex` of zeros is valid and asks for nothing to be changed; the call only writes into it.
    let state = unsafe {
        let mut timex: nix::libc::timex = std::mem::zeroed();
        nix::libc::adjtimex(&raw mut timex)
    };
    state >= 0 && state != nix::libc::TIME_ERROR
}

/// Seconds since 1970 that are known to have passed.
static PROVEN: AtomicU64 = AtomicU64::new(0);

/// Notes that `time` has passed: what this program was made at, what somebody who is believed has signed.
pub fn at_least(time: Timestamp) {
    PROVEN.fetch_max(time.0, Ordering::Relaxed);
}

/// The clock's time, or the latest that is known to have passed where the clock is behind that.
#[must_use]
pub fn proven() -> Timestamp {
    wall().max(Timestamp(PROVEN.load(Ordering::Relaxed)))
}

/// Whether the clock shows less than what is known to have passed.
#[must_use]
pub fn behind() -> bool {
    wall() < proven()
}

/// When `file` was written: time has at least come that far. `None` where the file system does not say.
#[must_use]
pub fn modified(file: &Path) -> Option<Timestamp> {
    std::fs::metadata(file).and_then(|meta| meta.modified()).ok().map(seconds)
}

fn seconds(time: SystemTime) -> Timestamp {
    Timestamp(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
