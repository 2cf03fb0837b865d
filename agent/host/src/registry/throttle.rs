//! Holds all transfers of a client to one speed together.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use coracle_core::bucket::Bucket;
use tokio::time::Instant;

/// A bucket that every piece of every blob passes through.
pub(super) struct Throttle {
    bucket: Mutex<Option<Bucket>>,
    origin: Instant,
}

impl Throttle {
    pub(super) fn new() -> Self {
        Self { bucket: Mutex::default(), origin: Instant::now() }
    }

    /// Bytes a second from now on; 0 for no bound.
    pub(super) fn set(&self, bytes_per_second: u64) {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        if bucket.map_or(0, |bucket| bucket.rate()) != bytes_per_second {
            *bucket = Bucket::new(bytes_per_second);
        }
    }

    /// Lets `bytes` pass, and waits as long as they are worth.
    pub(super) async fn pass(&self, bytes: usize) {
        let wait_us = {
            let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(bucket) = bucket.as_mut() else { return };
            let now_us = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
            bucket.pass(u64::try_from(bytes).unwrap_or(u64::MAX), now_us)
        };
        if wait_us > 0 {
            tokio::time::sleep(Duration::from_micros(wait_us)).await;
        }
    }
}
