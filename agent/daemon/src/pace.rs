//! Holds up the fetching and unpacking of images while what runs on the board waits because of it.
//!
//! All layers share one pace: they rest together, so that a look at who waits meanwhile means something.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use coracle_core::pace::{self, FULL, Next, Slowed};
use coracle_host::pressure::Pressure;

use crate::config::PaceSettings;
use crate::images::{Step, Watch};

/// Whether an update may be slowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// What runs comes first.
    Normal,
    /// Somebody wants it now, whoever waits for it.
    Urgent,
}

/// The pace of all images that come.
#[derive(Debug)]
pub(crate) struct Pace {
    state: Mutex<State>,
    pressure: Pressure,
    least: u32,
    origin: Instant,
}

#[derive(Debug)]
struct State {
    pace: pace::Pace,
    told: Option<Slowed>,
}

impl Pace {
    /// Full speed, until it turns out that somebody suffers.
    pub(crate) fn new(settings: &PaceSettings) -> Self {
        let least = settings.least_percent.saturating_mul(10);
        Self {
            state: Mutex::new(State { pace: pace::Pace::new(least), told: None }),
            pressure: Pressure::of(settings.groups.iter().map(String::as_str)),
            least,
            origin: Instant::now(),
        }
    }

    /// What comes from now on is so urgent.
    pub(crate) fn begin(&self, urgency: Urgency) {
        let least = match urgency {
            Urgency::Normal => self.least,
            Urgency::Urgent => FULL,
        };
        self.state().pace.at_least(least);
    }

    /// How slow it is, and why; `None` at full speed.
    pub(crate) fn slowed(&self) -> Option<Slowed> {
        self.state().pace.slowed()
    }

    /// Milliseconds for which all was held up.
    pub(crate) fn rested_ms(&self) -> u64 {
        self.state().pace.rested_us() / 1000
    }

    /// Blocks between two pieces of work for as long as is due; `watch` hears when the pace changes.
    pub(crate) fn hold_up(&self, watch: &Watch) {
        loop {
            let (next, news) = self.next();
            if let Some(slowed) = news {
                watch(Step::Slowed(slowed));
            }
            match next {
                Next::Rest(us) => thread::sleep(Duration::from_micros(us)),
                Next::Work | Next::Look => return,
            }
        }
    }

    /// What is to be done now, and the pace where nobody was told of it yet.
    fn next(&self) -> (Next, Option<Option<Slowed>>) {
        let mut state = self.state();
        let next = loop {
            let now_us = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
            match state.pace.next(now_us) {
                Next::Look => state.pace.look(now_us, self.pressure.read()),
                next @ (Next::Work | Next::Rest(_)) => break next,
            }
        };
        let slowed = state.pace.slowed();
        let news = (slowed != state.told).then_some(slowed);
        state.told = slowed;
        (next, news)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
