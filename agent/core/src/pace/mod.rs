//! How fast an update may be fetched and unpacked while what runs on the board needs processor, disk and memory.
//!
//! Invariant: whatever is read, work goes on at its least share of full speed; where nobody waits, or nothing can be
//! read, it goes on at full speed and is not held up at all.
//!
//! What counts is the time that workloads spend waiting, as the kernel sums it up for their control group (PSI), and not
//! the agent's own, which waits for the disk all the time. A product that waits by its own doing must not hold up its
//! updates: before work is slowed, all of it stops for a moment, and what they wait for then is taken off.
//!
//! ```text
//! full speed ──they wait──▶ a moment of rest ──they wait less then──▶ half the share, down to the least
//!     ▲                          └─they wait as before: it is not us─▶ as it was
//!     └────────── step by step, while they do not wait
//! ```

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

/// Full speed, in thousandths of it.
pub const FULL: u32 = 1000;

/// Between two looks at who waits: shorter ones would be chance, longer ones somebody's patience.
const LOOK_US: u64 = 250_000;
/// A look back over more than this says nothing of the speed of now.
const STALE_US: u64 = 3_000_000;
/// Work between two rests: a request of a client meets at most this much of it.
const PIECE_US: u64 = 10_000;
/// The longest rest at once; a piece of work that took seconds is not paid back in full.
const REST_US_MAX: u64 = 500_000;
/// From the stop of work until what waits does not wait for it any more.
const SETTLE_US: u64 = 200_000;
/// The look at who waits without our work.
const ALONE_US: u64 = 300_000;
/// How long such a look counts; then, half a second in ten is spent on another.
const ALONE_US_MAX: u64 = 10_000_000;
/// Thousandths of the time that are waited because of us, from which on work is slowed. The kernel does not count the
/// wait for a commit of the file system's journal, so a product that syncs waits far longer than it is counted for.
const SUFFERING: u32 = 40;
/// Thousandths below which work may go faster again.
const CALM: u32 = 15;
/// Looks in a row that have to be calm for that.
const CALM_LOOKS: u32 = 2;
/// What speed gains at a time.
const RAISE: u32 = 60;

/// Something that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resource {
    /// Processor time.
    Processor,
    /// Reads and writes.
    Disk,
    /// Memory, while others are made to give some back.
    Memory,
}

impl Resource {
    /// For people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Processor => "the processor",
            Self::Disk => "the disk",
            Self::Memory => "memory",
        }
    }
}

/// The time so far in which at least one process of a control group waited, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waited {
    /// For the processor.
    pub processor_us: u64,
    /// For the disk.
    pub disk_us: u64,
    /// For memory.
    pub memory_us: u64,
}

/// One look at each group that counts, always in the same order; `None` for one that is not there or cannot be read.
pub type Reading = Vec<Option<Waited>>;

/// How slow work is, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slowed {
    /// Percent of full speed.
    pub percent: u32,
    /// What workloads wait for.
    pub resource: Resource,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Work.
    Work,
    /// Read who waits, hand it to [`Pace::look`], and ask again.
    Look,
    /// Do nothing for so many microseconds, and ask again.
    Rest(u64),
}

/// Thousandths of the time, by resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Shares {
    processor: u32,
    disk: u32,
    memory: u32,
}

impl Shares {
    /// What was waited between two looks `elapsed_us` apart, all groups together. A group that came or went in between,
    /// or began anew, counts for nothing.
    fn between(before: &Reading, after: &Reading, elapsed_us: u64) -> Self {
        let share = |of: fn(&Waited) -> u64| {
            let pairs = before
                .iter()
                .zip(after)
                .filter_map(|(before, after)| Some((before.as_ref()?, after.as_ref()?)));
            let waited = pairs.map(|(before, after)| of(after).saturating_sub(of(before)));
            let waited = waited.fold(0_u64, u64::saturating_add).min(elapsed_us);
            u32::try_from(waited.saturating_mul(1000) / elapsed_us.max(1)).unwrap_or(FULL)
        };
        Self {
            processor: share(|waited| waited.processor_us),
            disk: share(|waited| waited.disk_us),
            memory: share(|waited| waited.memory_us),
        }
    }

    /// What is beyond `alone`, and beyond half of that again: whoever waits much by itself does not wait evenly.
    fn beyond(self, alone: Self) -> Self {
        let beyond = |seen: u32, alone: u32| seen.saturating_sub(alone.saturating_add(alone / 2));
        Self {
            processor: beyond(self.processor, alone.processor),
            disk: beyond(self.disk, alone.disk),
            memory: beyond(self.memory, alone.memory),
        }
    }

    /// The largest, and of what.
    fn worst(self) -> (u32, Resource) {
        let mut worst = (self.disk, Resource::Disk);
        for other in [(self.processor, Resource::Processor), (self.memory, Resource::Memory)] {
            if other.0 > worst.0 {
                worst = other;
            }
        }
        worst
    }
}

/// A look that another one is held against.
#[derive(Debug, Clone)]
struct Mark {
    at_us: u64,
    reading: Reading,
}

/// What the rest is for.
#[derive(Debug, Clone)]
enum Stage {
    /// Work, with rests between its pieces.
    Working,
    /// Work has stopped, and what it left behind passes; what was seen before.
    Settling(Shares),
    /// Nothing of ours goes on since the mark.
    Alone(Shares, Mark),
}

/// The pace of all work of an update together; time is handed in as microseconds since any fixed moment.
#[derive(Debug, Clone)]
pub struct Pace {
    least: u32,
    share: u32,
    stage: Stage,
    since_us: u64,
    rest_until_us: u64,
    mark: Option<Mark>,
    alone: Option<(u64, Shares)>,
    calm: u32,
    cause: Resource,
    rested_us: u64,
}

impl Pace {
    /// Full speed, and never less than `least` thousandths of it.
    #[must_use]
    pub fn new(least: u32) -> Self {
        Self {
            least: least.clamp(1, FULL),
            share: FULL,
            stage: Stage::Working,
            since_us: 0,
            rest_until_us: 0,
            mark: None,
            alone: None,
            calm: 0,
            cause: Resource::Disk,
            rested_us: 0,
        }
    }

    /// Work may not be slowed below this from now on, in thousandths; [`FULL`] for work that is urgent.
    pub fn at_least(&mut self, least: u32) {
        self.least = least.clamp(1, FULL);
        self.share = self.share.max(self.least);
    }

    /// How slow it is; `None` at full speed.
    #[must_use]
    pub fn slowed(&self) -> Option<Slowed> {
        (self.share < FULL).then(|| Slowed { percent: self.share.div_ceil(10), resource: self.cause })
    }

    /// Microseconds that work was held up for so far.
    #[must_use]
    pub fn rested_us(&self) -> u64 {
        self.rested_us
    }

    /// What is to be done now.
    pub fn next(&mut self, now_us: u64) -> Next {
        if self.least == FULL {
            return Next::Work;
        }
        if now_us < self.rest_until_us {
            return Next::Rest(self.rest_until_us - now_us);
        }
        let due = self.mark.as_ref().is_none_or(|mark| now_us.saturating_sub(mark.at_us) >= LOOK_US);
        if due || !matches!(self.stage, Stage::Working) {
            return Next::Look;
        }
        let rested = self.rest_until_us;
        let worked_us = now_us.saturating_sub(self.since_us.max(rested));
        if self.share == FULL || worked_us < PIECE_US {
            return Next::Work;
        }
        let (share, rest) = (u64::from(self.share), u64::from(FULL - self.share));
        self.rest(now_us, worked_us.saturating_mul(rest) / share.max(1))
    }

    fn rest(&mut self, now_us: u64, us: u64) -> Next {
        let us = us.min(REST_US_MAX);
        self.rest_until_us = now_us + us;
        self.since_us = self.rest_until_us;
        self.rested_us = self.rested_us.saturating_add(us);
        Next::Rest(us)
    }

    /// Takes a look at who waits.
    pub fn look(&mut self, now_us: u64, reading: Reading) {
        match std::mem::replace(&mut self.stage, Stage::Working) {
            Stage::Working => self.look_at_work(now_us, reading),
            Stage::Settling(seen) => {
                self.stage = Stage::Alone(seen, Mark { at_us: now_us, reading });
                self.rest(now_us, ALONE_US);
            }
            Stage::Alone(seen, mark) => {
                let alone = Shares::between(&mark.reading, &reading, now_us.saturating_sub(mark.at_us));
                self.alone = Some((now_us, alone));
                self.decide(seen.beyond(alone));
                self.mark = Some(Mark { at_us: now_us, reading });
                self.since_us = now_us;
            }
        }
    }

    fn look_at_work(&mut self, now_us: u64, reading: Reading) {
        let Some(mark) = self.mark.take() else {
            self.since_us = now_us;
            self.mark = Some(Mark { at_us: now_us, reading });
            return;
        };
        let elapsed_us = now_us.saturating_sub(mark.at_us);
        if elapsed_us == 0 {
            // Two threads looked at once.
            self.mark = Some(mark);
            return;
        }
        let seen = Shares::between(&mark.reading, &reading, elapsed_us);
        self.mark = Some(Mark { at_us: now_us, reading });
        if elapsed_us > STALE_US {
            return;
        }
        let known = self.alone.filter(|(at_us, _)| now_us.saturating_sub(*at_us) < ALONE_US_MAX);
        match known {
            Some((_, alone)) => self.decide(seen.beyond(alone)),
            None if seen.worst().0 <= CALM => self.decide(seen),
            // They wait, and nobody knows yet whether that is our doing.
            None => {
                self.stage = Stage::Settling(seen);
                self.rest(now_us, SETTLE_US);
            }
        }
    }

    /// Slows down, speeds up or leaves it, by what is waited because of us.
    fn decide(&mut self, ours: Shares) {
        let (worst, resource) = ours.worst();
        if worst >= SUFFERING {
            self.calm = 0;
            self.cause = resource;
            self.share = (self.share / 2).max(self.least);
        } else if worst <= CALM {
            self.calm += 1;
            if self.calm >= CALM_LOOKS {
                self.share = self.share.saturating_add(RAISE).min(FULL);
            }
        } else {
            self.calm = 0;
        }
    }
}
