//! The board's clock.

use std::path::Path;
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

/// When `file` was written: time has at least come that far. `None` where the file system does not say.
#[must_use]
pub fn modified(file: &Path) -> Option<Timestamp> {
    std::fs::metadata(file).and_then(|meta| meta.modified()).ok().map(seconds)
}

fn seconds(time: SystemTime) -> Timestamp {
    Timestamp(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
