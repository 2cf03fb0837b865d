//! Goes through the machine, breadth first, until nothing new is reached.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::LazyLock;

use coracle_core::deployment::Deployment;
use coracle_core::fault::Code;
use coracle_core::reported::Status;
use coracle_core::rollout::{Again, Held, Leaving, Return, Rollout, State, Trial, Work, next, work};
use coracle_core::time::Timestamp;

use super::facts::{Facts, facts};
use super::happening::{events, in_a_row, name};

/// The states in the order of the page: the main way, its ends, the way back and its ends.
pub(super) const STATES: &[Status] = &[
    Status::Idle,
    Status::Accepted,
    Status::Waiting,
    Status::Downloading,
    Status::Staged,
    Status::Applying,
    Status::Verifying,
    Status::Paused,
    Status::RollingBack,
    Status::Broken,
    Status::Succeeded,
    Status::RolledBack,
    Status::Failed,
    Status::Canceled,
    Status::Rejected,
];

/// Longer than every wait of the machine.
const LATER_S: u64 = 3 * 3600;

/// What becomes of a state; states are named by their place in [`STATES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// Another state.
    To(usize),
    /// The same state, which knows more.
    Stays,
    /// Nothing.
    Nothing,
}

/// One thing that was seen to happen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Step {
    pub(super) outcome: Outcome,
    pub(super) facts: Facts,
}

/// What a state calls for.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub(super) work: BTreeSet<&'static str>,
    pub(super) keep: BTreeSet<&'static str>,
    pub(super) wakes: BTreeSet<&'static str>,
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// By state and event.
    pub(super) steps: BTreeMap<(usize, &'static str), BTreeSet<Step>>,
    /// By state.
    pub(super) needs: BTreeMap<usize, Needs>,
    /// A state by the part of the way that it belongs to, as the machine itself has it.
    pub(super) places: BTreeMap<usize, coracle_core::rollout::Place>,
}

/// Everywhere, from a board that has never had a document; gone once in a process.
pub(super) fn walk() -> &'static Walk {
    static WALK: LazyLock<Walk> = LazyLock::new(go);
    &WALK
}

fn go() -> Walk {
    let mut walk = Walk::default();
    let mut known = BTreeSet::from([situation(&Rollout::default())]);
    let mut ahead = VecDeque::from([(Rollout::default(), Timestamp(1_000_000))]);
    while let Some((rollout, at)) = ahead.pop_front() {
        walk.stand(&rollout, at);
        for event in events(&rollout) {
            for late in [false, true] {
                let now = if late { at.after(LATER_S) } else { at };
                let mut before = rollout.clone();
                // Once leads to all that is new; in a row shows what is counted.
                for times in 0..in_a_row(&event) {
                    let after = next(before.clone(), event.clone(), now);
                    walk.step(&before, &after, facts(&before, &event, late), name(&event));
                    if times == 0 && known.insert(situation(&after)) {
                        ahead.push_back((after.clone(), now));
                    }
                    if after == before || !same(&before, &after) {
                        break;
                    }
                    before = after;
                }
            }
        }
    }
    walk
}

fn index(rollout: &Rollout) -> usize {
    let status = Status::of(&rollout.state);
    STATES.iter().position(|state| *state == status).unwrap_or(STATES.len())
}

fn same(before: &Rollout, after: &Rollout) -> bool {
    index(before) == index(after)
}

impl Walk {
    fn step(&mut self, before: &Rollout, after: &Rollout, facts: Facts, event: &'static str) {
        let outcome = match after {
            after if after == before => Outcome::Nothing,
            after if same(before, after) => Outcome::Stays,
            after => Outcome::To(index(after)),
        };
        self.steps.entry((index(before), event)).or_default().insert(Step { outcome, facts });
    }

    fn stand(&mut self, rollout: &Rollout, at: Timestamp) {
        let state = index(rollout);
        self.places.insert(state, rollout.state.place());
        let needs = self.needs.entry(state).or_default();
        for now in [at, at.after(LATER_S)] {
            let calls = work(rollout, now);
            needs.work.insert(called(&calls.work));
            needs.keep.insert(kept(rollout, calls.keep));
            needs.wakes.insert(if calls.wake.is_some() { "yes" } else { "no" });
        }
    }
}

fn called(work: &Work<'_>) -> &'static str {
    match work {
        Work::Rest => "·",
        Work::AskToDownload(_) => "ask the gates before the download",
        Work::Stage(_) => "stage the candidate",
        Work::AskToApply(_) => "ask the gates before the switch",
        Work::Apply(..) => "switch to the candidate",
        Work::Observe(..) => "keep the candidate running and look",
        Work::Restore(_, Some(_)) => "switch back to the good one",
        Work::Restore(_, None) => "remove the candidate",
        Work::Watch(..) => "keep the good one running and look",
    }
}

fn kept(rollout: &Rollout, keep: Option<&Deployment>) -> &'static str {
    match keep {
        None => "·",
        Some(_) if keep == rollout.on_trial() => "the candidate",
        Some(_) => "the good one",
    }
}

/// What decides about the future of a rollout, but for the time and for what is counted by events in a row.
fn situation(rollout: &Rollout) -> String {
    let number = |of: &Option<Deployment>| of.as_ref().map(|of| of.generation.number);
    let mut bad: Vec<_> = rollout.bad.iter().map(|bad| bad.generation.number).collect();
    bad.sort_unstable();
    let target = rollout.state.target().map(|target| (target.document, target.retrials));
    let generation = rollout.state.generation().map(|generation| generation.number);
    let (active, fallback) = (number(&rollout.active), number(&rollout.fallback));
    let (state, detail) = (index(rollout), detail(&rollout.state));
    format!("{state} {detail} {target:?} {generation:?} {active:?} {fallback:?} {bad:?}")
}

fn detail(state: &State) -> String {
    let leaves = |leaving: &Leaving, code: Code| {
        format!("{} {}", matches!(leaving, Leaving::Good(_)), code == Code::Canceled)
    };
    match state {
        State::Waiting { held, .. } => format!("{}", matches!(held, Held::BeforeApply(_))),
        State::Downloading { target, attempt, .. } => format!("{}", *attempt >= target.terms.attempts),
        State::Verifying { trial, watch, .. } => {
            format!("{} {}", matches!(trial, Trial::Healthy(_)), watch.losses)
        }
        State::RollingBack { leaving, fault, way, .. } => {
            format!("{} {}", leaves(leaving, fault.code), matches!(way, Return::Watching(_)))
        }
        State::Broken { leaving, cause, .. } => leaves(leaving, cause.code),
        State::Failed { again, .. } => format!("{}", matches!(again, Again::At(_))),
        State::RolledBack { later, .. } => format!("{}", later.is_some()),
        State::Idle
        | State::Accepted { .. }
        | State::Staged { .. }
        | State::Applying { .. }
        | State::Succeeded { .. }
        | State::Paused { .. }
        | State::Canceled { .. }
        | State::Rejected { .. } => String::new(),
    }
}
