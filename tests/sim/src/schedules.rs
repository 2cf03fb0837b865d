//! Many schedules, on all cores, and one again with its log.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::board::{Board, status};
use crate::chance::Chance;
use crate::plant::Plant;
use crate::verdict::{Bad, Stop};

/// How one schedule ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// What must never happen and did.
    pub bad: Option<Bad>,
    /// Where the rollout stood at the end.
    pub stands: String,
    /// The log, where it was asked for.
    pub log: Vec<String>,
    /// Events put through the machine.
    pub events: u64,
    /// Cuts of the power or the agent.
    pub cuts: u64,
}

/// One schedule. The same seed gives the same one.
#[must_use]
pub fn one(seed: u64, plant: Option<Plant>, log: bool) -> Ended {
    let mut chance = Chance::of(seed);
    // Some boards are new, most have a good deployment already.
    let new = chance.once_in(4);
    let mut board = Board::new(chance, plant, log);
    let mut flow = board.start(crate::verdict::Cut::Power);
    if !new {
        flow = flow.and_then(|()| board.settle_in());
    }
    let flow = flow.and_then(|()| board.night()).and_then(|()| board.dawn());
    let bad = match flow {
        Ok(()) => None,
        Err(Stop::Bad(bad)) => Some(bad),
        Err(Stop::Cut(cut)) => Some(Bad::Restless(format!("{cut:?} cut on a calm day"))),
    };
    let stands = status(&board.memory.record.rollout);
    Ended { bad, stands, log: board.log.unwrap_or_default(), events: board.events, cuts: board.cuts }
}

/// What many schedules came to.
#[derive(Debug, Default)]
pub struct Total {
    /// Schedules run.
    pub schedules: u64,
    /// Events put through the machine.
    pub events: u64,
    /// Cuts of the power or the agent.
    pub cuts: u64,
    /// The bad ones, by their seeds.
    pub bad: Vec<(u64, Bad)>,
    /// How often each end was reached.
    pub ends: std::collections::BTreeMap<String, u64>,
}

/// Bad schedules after which there is no use in going on.
const BAD_MAX: usize = 10;

/// Runs `schedules` of them, from `first` on; stops early after a few bad ones.
#[must_use]
pub fn many(first: u64, schedules: u64, plant: Option<Plant>, bad_max: usize) -> Total {
    let next = AtomicU64::new(0);
    let total = Mutex::new(Total::default());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                let mut own = Total::default();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= schedules {
                        break;
                    }
                    let ended = one(first + at, plant, false);
                    own.schedules += 1;
                    own.events += ended.events;
                    own.cuts += ended.cuts;
                    let end = ended.stands.split(' ').next().unwrap_or_default().to_owned();
                    *own.ends.entry(end).or_default() += 1;
                    if let Some(bad) = ended.bad {
                        own.bad.push((first + at, bad));
                        if own.bad.len() >= bad_max.min(BAD_MAX) {
                            next.store(schedules, Ordering::Relaxed);
                        }
                    }
                }
                let mut total = total.lock().unwrap();
                total.schedules += own.schedules;
                total.events += own.events;
                total.cuts += own.cuts;
                total.bad.extend(own.bad);
                for (end, count) in own.ends {
                    *total.ends.entry(end).or_default() += count;
                }
            });
        }
    });
    let mut total = total.into_inner().unwrap();
    total.bad.sort_by_key(|(seed, _)| *seed);
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_night_ends_without_a_good_deployment_running() {
        let total = many(1, 400, None, 1);
        assert!(total.bad.is_empty(), "{:?}; `cargo xtask sim --seed S` shows it", total.bad);
        assert_eq!(total.schedules, 400);
        // A night that leads nowhere would prove nothing.
        for end in ["SUCCEEDED", "ROLLED_BACK", "WAITING"] {
            assert!(total.ends.get(end).is_some_and(|count| *count > 20), "{:?}", total.ends);
        }
    }

    #[test]
    fn each_planted_fault_is_caught() {
        for plant in Plant::ALL {
            assert!(!many(1, 2000, Some(*plant), 1).bad.is_empty(), "{plant}: not caught");
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_night() {
        for seed in [3, 77, 1234] {
            assert_eq!(one(seed, None, true).log, one(seed, None, true).log);
        }
    }
}
