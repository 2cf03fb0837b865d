//! Memory for zstd's windows, shared by all layers that are unpacked at once.

use std::sync::{Condvar, Mutex, PoisonError};

/// The largest window of a zstd frame, and of all frames that are decoded at once: what RFC 8878 asks every decoder to
/// support, what levels up to 19 use, and half of what a pull may take of the board's memory. Two layers that want all of
/// it take turns.
pub const WINDOW_BYTES_MAX: u64 = 8 << 20;

/// A budget of window memory.
#[derive(Debug)]
pub struct Windows {
    free: Mutex<u64>,
    returned: Condvar,
}

impl Default for Windows {
    fn default() -> Self {
        Self { free: Mutex::new(WINDOW_BYTES_MAX), returned: Condvar::new() }
    }
}

impl Windows {
    /// Waits until `bytes`, at most [`WINDOW_BYTES_MAX`], are free.
    pub(super) fn reserve(&self, bytes: u64) -> Reservation<'_> {
        let bytes = bytes.min(WINDOW_BYTES_MAX);
        // A number cannot be left half-changed by a panic elsewhere.
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free =
            self.returned.wait_while(free, |free| *free < bytes).unwrap_or_else(PoisonError::into_inner);
        *free -= bytes;
        Reservation { windows: self, bytes }
    }
}

pub(super) struct Reservation<'a> {
    windows: &'a Windows,
    bytes: u64,
}

impl Reservation<'_> {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        *self.windows.free.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.windows.returned.notify_all();
    }
}
