//! How often the refusal of a document is told: whoever may publish could fill log and journal with them otherwise.
//!
//! Every document is judged, whatever came before it; only what is said of bad ones is bounded.

use std::time::Duration;

use tokio::time::Instant;

/// Refusals that are told one after the other: all that an operator tries in an afternoon.
const BURST: u32 = 64;
/// After those, one in this time. Each costs a line of the log, an event and a write of the journal.
const EVERY: Duration = Duration::from_secs(60);

/// What is left to tell.
#[derive(Debug)]
pub(super) struct Refusals {
    left: u32,
    since: Instant,
    untold: u64,
}

impl Refusals {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BURST, since: now, untold: 0 }
    }

    /// Whether one more is told now; if so, how many before it were not.
    pub(super) fn tell(&mut self, now: Instant) -> Option<u64> {
        let passed = now.saturating_duration_since(self.since).as_secs() / EVERY.as_secs();
        if passed > 0 {
            let grown = u32::try_from(passed).unwrap_or(BURST);
            self.left = self.left.saturating_add(grown).min(BURST);
            self.since = now;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Some(std::mem::take(&mut self.untold))
            }
            None => {
                self.untold = self.untold.saturating_add(1);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_by_its_first_and_then_once_a_minute_with_its_count() {
        let start = Instant::now();
        let mut refusals = Refusals::new(start);
        let told = (0..1000).filter(|_| refusals.tell(start).is_some()).count();
        assert_eq!(told, 64);
        assert_eq!(refusals.tell(start + Duration::from_secs(59)), None);
        assert_eq!(refusals.tell(start + EVERY), Some(937));
        assert_eq!(refusals.tell(start + EVERY), None);
        let later = start + Duration::from_secs(86_400);
        assert_eq!((0..100).filter(|_| refusals.tell(later).is_some()).count(), 64);
    }
}
