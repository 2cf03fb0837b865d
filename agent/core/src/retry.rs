//! How long to wait before trying again: pure delays from an attempt's number and a seed.
//!
//! Invariant: the same inputs give the same delay; chance comes in as a seed from the caller.
//! Jitter is full: anything from nothing to the bound, so that a fleet that failed together does not return together.

use sha2::{Digest as _, Sha256};

/// Bounds of an exponential backoff.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Milliseconds that the first delay stays under.
    pub base_ms: u64,
    /// Milliseconds that no delay exceeds.
    pub cap_ms: u64,
}

impl Backoff {
    /// The broker's: 2 s to 300 s.
    pub const BROKER: Self = Self { base_ms: 2_000, cap_ms: 300_000 };
}

/// Milliseconds before attempt `attempt` (the first retry is 1): uniform in `0..=min(cap, base × 2^(attempt-1))`.
#[must_use]
pub fn backoff_ms(policy: Backoff, attempt: u32, seed: u64) -> u64 {
    let doublings = attempt.saturating_sub(1).min(63);
    let bound = policy.base_ms.saturating_mul(1_u64 << doublings).min(policy.cap_ms);
    uniform(bound, seed, attempt)
}

/// Uniform in `0..=bound` by hashing; the same for the same seed and number.
#[must_use]
pub fn uniform(bound: u64, seed: u64, number: u32) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(seed.to_be_bytes());
    hasher.update(number.to_be_bytes());
    let sum = hasher.finalize().iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    bound.checked_add(1).map_or(sum, |range| sum.checked_rem(range).unwrap_or(0))
}

/// Why there is no connection to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loss {
    /// The network or the broker went away; also an attempt that never reached it.
    Network,
    /// The broker is there and wants to be left alone: busy, unavailable, over quota.
    Busy,
    /// The broker refused the name, the password or the certificate.
    Credentials,
    /// Another client has this device's id.
    TakenOver,
    /// The broker or the packet it sent broke the protocol.
    Protocol,
}

impl Loss {
    /// Whether an operator must hear of it at once.
    #[must_use]
    pub fn is_alarm(self) -> bool {
        match self {
            Self::TakenOver | Self::Credentials => true,
            Self::Network | Self::Busy | Self::Protocol => false,
        }
    }
}

/// Milliseconds of splay after losing an established connection.
const LOST_SPLAY_MS: u64 = 60_000;
/// Milliseconds a connection must last before its loss counts as the first one again.
pub const STABLE_MS: u64 = 60_000;
/// Least milliseconds of rest for a busy broker.
const BUSY_MS: u64 = 60_000;
/// Least milliseconds between attempts with credentials that were refused.
const CREDENTIALS_MS: u64 = 15 * 60_000;
/// Milliseconds to leave the broker to whoever took the session over.
const TAKEN_OVER_MS: u64 = 5 * 60_000;

/// How often the broker was lost in a row, and so how long to wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reconnect {
    losses: u32,
}

impl Reconnect {
    /// Milliseconds before the first connection after a start.
    #[must_use]
    pub fn first_ms(splay_ms: u64, seed: u64) -> u64 {
        uniform(splay_ms, seed, 0)
    }

    /// Answers a loss: what to remember, and milliseconds to wait. `lasted_ms` is how long the connection stood;
    /// `None` where none was made.
    #[must_use]
    pub fn lost(self, loss: Loss, lasted_ms: Option<u64>, seed: u64) -> (Self, u64) {
        let before = if lasted_ms.is_some_and(|ms| ms >= STABLE_MS) { 0 } else { self.losses };
        let losses = before.saturating_add(1);
        let jitter = |spread| uniform(spread, seed, losses);
        let delay = match loss {
            Loss::Network | Loss::Protocol if lasted_ms.is_some() && losses == 1 => jitter(LOST_SPLAY_MS),
            Loss::Network | Loss::Protocol => backoff_ms(Backoff::BROKER, losses, seed),
            Loss::Busy => BUSY_MS.saturating_add(backoff_ms(Backoff::BROKER, losses, seed)),
            Loss::Credentials => CREDENTIALS_MS.saturating_add(jitter(CREDENTIALS_MS / 4)),
            Loss::TakenOver => TAKEN_OVER_MS.saturating_add(jitter(TAKEN_OVER_MS / 10)),
        };
        (Self { losses }, delay)
    }
}

/// Seconds between pings: `seconds` ± 10 %, so that a fleet does not ping in step.
#[must_use]
pub fn keepalive_s(seconds: u16, seed: u64) -> u16 {
    let tenth = seconds / 10;
    let offset = u16::try_from(uniform(u64::from(tenth) * 2, seed, 1)).unwrap_or(0);
    seconds.saturating_sub(tenth).saturating_add(offset).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_doubles_its_bound_and_stays_under_the_cap() {
        for (attempt, bound) in
            [(0, 2_000), (1, 2_000), (2, 4_000), (5, 32_000), (9, 300_000), (u32::MAX, 300_000)]
        {
            let delays: Vec<u64> = (0..200).map(|seed| backoff_ms(Backoff::BROKER, attempt, seed)).collect();
            assert!(delays.iter().all(|ms| *ms <= bound), "{attempt}");
            assert!(delays.iter().any(|ms| *ms > bound / 2), "{attempt}: the jitter is full");
            assert!(delays.iter().any(|ms| *ms < bound / 2), "{attempt}: the jitter is full");
        }
    }

    #[track_caller]
    fn check(before: u32, loss: Loss, lasted_ms: Option<u64>, after: u32, least: u64, most: u64) {
        for seed in 0..100 {
            let (next, delay) = Reconnect { losses: before }.lost(loss, lasted_ms, seed);
            assert_eq!(next.losses, after);
            assert!((least..=most).contains(&delay), "{delay}");
        }
    }

    #[test]
    fn each_loss_has_its_rest() {
        check(0, Loss::Network, Some(5_000), 1, 0, 60_000);
        check(0, Loss::Network, None, 1, 0, 2_000);
        check(1, Loss::Network, None, 2, 0, 4_000);
        check(1, Loss::Network, Some(59_999), 2, 0, 4_000);
        check(30, Loss::Network, Some(60_000), 1, 0, 60_000);
        check(30, Loss::Network, None, 31, 0, 300_000);
        check(0, Loss::Busy, None, 1, 60_000, 62_000);
        check(20, Loss::Busy, Some(1), 21, 60_000, 360_000);
        check(0, Loss::Credentials, None, 1, 900_000, 1_125_000);
        check(0, Loss::TakenOver, Some(100_000), 1, 300_000, 330_000);
        check(3, Loss::Protocol, Some(10), 4, 0, 16_000);
    }

    #[test]
    fn a_keepalive_stays_within_a_tenth() {
        let values: Vec<u16> = (0..300).map(|seed| keepalive_s(120, seed)).collect();
        assert!(values.iter().all(|s| (108..=132).contains(s)));
        assert!(values.iter().any(|s| *s < 120) && values.iter().any(|s| *s > 120));
        assert_eq!(keepalive_s(1, 7), 1);
    }

    #[test]
    fn the_first_connect_waits_within_its_splay() {
        assert_eq!(Reconnect::first_ms(0, 9), 0);
        assert!((0..100).all(|seed| Reconnect::first_ms(10_000, seed) <= 10_000));
    }
}
