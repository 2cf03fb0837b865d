//! How fast a download may be: a bucket of bytes that fills at a rate, as a pure function of time.
//!
//! Invariant: over any time, no more passes than the rate gives for it, and what half a second gives.

/// Milliseconds whose bytes may pass at once after a pause.
const BURST_MS: u64 = 500;

/// A bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Bytes a second; not 0.
    rate: u64,
    /// When everything that passed so far is paid for, in microseconds.
    paid_us: u64,
}

impl Bucket {
    /// A full bucket; `None` for a rate of 0, which is no bound.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Option<Self> {
        (bytes_per_second > 0).then_some(Self { rate: bytes_per_second, paid_us: 0 })
    }

    /// Bytes a second.
    #[must_use]
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// Lets `bytes` pass at `now_us`; the microseconds to wait before the next ones.
    pub fn pass(&mut self, bytes: u64, now_us: u64) -> u64 {
        let full = now_us.saturating_sub(BURST_MS * 1000);
        let cost = u128::from(bytes) * 1_000_000 / u128::from(self.rate.max(1));
        let cost = u64::try_from(cost).unwrap_or(u64::MAX);
        self.paid_us = self.paid_us.max(full).saturating_add(cost);
        self.paid_us.saturating_sub(now_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rate: u64, steps: &[(u64, u64, u64)]) {
        let mut bucket = Bucket::new(rate).unwrap();
        for (now_us, bytes, wait_us) in steps {
            assert_eq!(bucket.pass(*bytes, *now_us), *wait_us, "{bytes} bytes at {now_us}");
        }
    }

    #[test]
    fn what_passes_is_waited_for_but_half_a_second() {
        const S: u64 = 1_000_000;
        check(1000, &[(10 * S, 500, 0), (10 * S, 500, S / 2), (10 * S + S / 2, 500, S / 2)]);
        // A pause saves half a second's worth, and no more.
        check(1000, &[(10 * S, 100, 0), (100 * S, 1500, S), (101 * S, 0, 0)]);
        check(1, &[(0, u64::MAX, u64::MAX)]);
        check(u64::MAX, &[(S, u64::MAX, S / 2)]);
    }

    #[test]
    fn over_a_long_time_the_rate_holds_whatever_the_pieces() {
        for piece in [1, 1448, 400_000] {
            let mut bucket = Bucket::new(100_000).unwrap();
            let (mut now_us, mut passed) = (1_000_000, 0_u64);
            while now_us < 101_000_000 {
                passed += piece;
                now_us += bucket.pass(piece, now_us).max(1);
            }
            assert!(passed <= 100 * 100_000 + 50_000 + piece, "{piece}: {passed}");
            assert!(passed >= 99 * 100_000, "{piece}: {passed}");
        }
    }

    #[test]
    fn no_rate_is_no_bound() {
        assert_eq!(Bucket::new(0), None);
        assert_eq!(Bucket::new(7).unwrap().rate(), 7);
    }
}
