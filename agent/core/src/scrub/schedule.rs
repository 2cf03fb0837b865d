//! When a board reads its whole store again.

use crate::retry::uniform;
use crate::time::Timestamp;

const DAY_S: u64 = 86_400;

/// How often, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Days from one pass to the next; 0 for never.
    pub days: u64,
    /// This board's own number, so that a fleet does not read, and then fetch, all at once.
    pub seed: u64,
}

/// Whether a pass is due. `last` is when the last one ended, where one did; `now` what the clock shows; `up_s` for how
/// long the agent runs.
///
/// Each pass comes up to a tenth of the time early, by chance. A clock that shows a time before `last` is a board that
/// lost its clock: there, the agent's own running time counts.
#[must_use]
pub fn due(pace: Pace, last: Option<Timestamp>, now: Timestamp, up_s: u64) -> bool {
    let period = pace.days.saturating_mul(DAY_S);
    if period == 0 {
        return false;
    }
    let Some(last) = last else { return true };
    let number = u32::try_from(last.0 / DAY_S).unwrap_or(0);
    let wait = period.saturating_sub(uniform(period / 10, pace.seed, number));
    let passed = if now < last { up_s } else { now.since(last) };
    passed >= wait
}
