//! When a failed attempt is made again.

use std::time::Duration;

use tokio::time::Instant;

use super::error::{Cause, Retry};
use crate::chance;

/// How often and how soon. Pure but for the `backoff` handed in.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// Attempts without progress, the first included.
    pub attempts: u32,
    /// How long a blob of which something came bears a link on which nothing comes, however many attempts that takes.
    pub patience: Duration,
    /// The delay after so many failures (1 and up).
    pub backoff: fn(u32) -> Duration,
    /// The least delay after 429 and 503 without `Retry-After`.
    pub limited_min: Duration,
    /// The longest `Retry-After` that is obeyed; after it another attempt is made whatever was said.
    pub retry_after_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            // Cells are changed and modems restarted in a minute or two; the whole pull would be tried again later.
            patience: Duration::from_secs(180),
            backoff: full_jitter,
            limited_min: Duration::from_secs(30),
            retry_after_max: Duration::from_secs(600),
        }
    }
}

/// Anything between nothing and a doubling bound, so that a fleet does not come back at once.
fn full_jitter(failed: u32) -> Duration {
    const BASE_MS: u64 = 500;
    const CAP_MS: u64 = 30_000;
    let bound = BASE_MS.saturating_mul(1 << failed.min(16)).min(CAP_MS);
    // Without a random source the whole delay is the careful choice.
    Duration::from_millis(chance::number().map_or(bound, |random| random % (bound + 1)))
}

impl RetryPolicy {
    /// The pause after the `failed`th failure in a row; `None` to give up. `quiet` is for how long nothing came, if
    /// anything ever did.
    #[must_use]
    pub fn pause(&self, failed: u32, retry: Retry, quiet: Option<Duration>) -> Option<Duration> {
        if failed >= self.attempts && quiet.is_none_or(|quiet| quiet >= self.patience) {
            return None;
        }
        match retry {
            Retry::Never => None,
            Retry::Backoff => Some((self.backoff)(failed)),
            Retry::Limited(Some(said)) => Some(said.min(self.retry_after_max)),
            Retry::Limited(None) => Some((self.backoff)(failed).max(self.limited_min)),
        }
    }
}

/// The failures of one object at one endpoint.
pub(super) struct Tries<'a> {
    policy: &'a RetryPolicy,
    elsewhere: bool,
    in_a_row: u32,
    /// When something came last.
    came: Option<Instant>,
    pub(super) total: u32,
}

impl<'a> Tries<'a> {
    /// `elsewhere`: there is another endpoint to ask, which is better than to wait for this one.
    pub(super) fn new(policy: &'a RetryPolicy, elsewhere: bool) -> Self {
        Self { policy, elsewhere, in_a_row: 0, came: None, total: 0 }
    }

    /// Counts a failure and sleeps, or gives the cause back when that was enough.
    /// Where it came after `progress`, it is the first in a row again.
    pub(super) async fn again(&mut self, cause: Cause, progress: bool) -> Result<(), Cause> {
        self.in_a_row = if progress { 1 } else { self.in_a_row + 1 };
        self.total += 1;
        if progress {
            self.came = Some(Instant::now());
        }
        let quiet = self.came.map(|came| came.elapsed());
        match self.policy.pause(self.in_a_row, cause.retry(), quiet) {
            Some(_) if self.elsewhere && !progress => Err(cause),
            Some(pause) => {
                tokio::time::sleep(pause).await;
                Ok(())
            }
            None => Err(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_follows_the_class_and_what_the_registry_said() {
        let seconds = Duration::from_secs;
        let policy =
            RetryPolicy { backoff: |failed| Duration::from_secs(failed.into()), ..Default::default() };
        let nothing = None;
        for (failed, retry, quiet, expected) in [
            (1, Retry::Never, nothing, None),
            (1, Retry::Backoff, nothing, Some(seconds(1))),
            (4, Retry::Backoff, nothing, Some(seconds(4))),
            (5, Retry::Backoff, nothing, None),
            (1, Retry::Limited(None), nothing, Some(seconds(30))),
            (1, Retry::Limited(Some(seconds(7))), nothing, Some(seconds(7))),
            (1, Retry::Limited(Some(seconds(0))), nothing, Some(seconds(0))),
            (1, Retry::Limited(Some(seconds(86_400))), nothing, Some(seconds(600))),
            (5, Retry::Limited(Some(seconds(1))), nothing, None),
            // Something came: a link that is down for a minute or two is waited for.
            (5, Retry::Backoff, Some(seconds(60)), Some(seconds(5))),
            (20, Retry::Backoff, Some(seconds(179)), Some(seconds(20))),
            (20, Retry::Backoff, Some(seconds(180)), None),
            (4, Retry::Backoff, Some(seconds(180)), Some(seconds(4))),
            (20, Retry::Never, Some(seconds(1)), None),
        ] {
            assert_eq!(policy.pause(failed, retry, quiet), expected, "{failed} {retry:?} {quiet:?}");
        }
    }

    #[test]
    fn the_jitter_stays_within_its_bound() {
        for failed in [1, 5, 40] {
            assert!(full_jitter(failed) <= Duration::from_secs(30));
        }
        assert!(full_jitter(1) <= Duration::from_secs(1));
    }
}
