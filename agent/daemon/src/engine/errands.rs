//! Commands that take their time, done beside the loop: restart, logs, diag, gc.
//!
//! Invariant: two at a time at most, one that only looks and one that moves something; what moves never runs beside the
//! machine's own work on the same things, and the two take turns, so that neither starves the other.

use std::collections::{BTreeSet, VecDeque};

use coracle_core::command::{Action, Which, newest_that_fit};
use coracle_core::fault::{Code, Fault};
use coracle_core::ident::WorkloadId;
use coracle_core::oci::Digest;
use coracle_core::rollout::Rollout;
use coracle_host::store::StoreError;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Task;
use super::commands::Ticket;
use super::diagnosis::diagnosis;
use crate::config::Settings;
use crate::exit::chain;
use crate::restarts;
use crate::retain::{self, CollectError};
use crate::units::{UnitError, Units};
use crate::{events, faults};

/// Errands that wait; each holds a ticket and a few words.
const WAITING_MAX: usize = 8;

/// What errands are done with.
#[derive(Clone)]
pub(crate) struct Hands {
    /// The board's settings.
    pub(crate) settings: Settings,
    /// Its workloads.
    pub(crate) units: Units,
    /// What the agent says of itself.
    pub(crate) agent: Value,
}

/// One command to be obeyed beside the loop.
pub(super) struct Errand {
    pub(super) ticket: Ticket,
    pub(super) action: Action,
    /// What the record holds, for a diagnosis.
    pub(super) about: Value,
}

/// An errand that ended.
pub(super) struct Done {
    slot: Slot,
    ticket: Ticket,
    outcome: Result<Value, Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// Only looks.
    Look,
    /// Moves workloads, or removes from the store.
    Move,
}

/// What the machine's own hands do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Now {
    /// Their task.
    pub(super) doing: Option<Task>,
    /// Whether images come in, also where the next attempt is waited for.
    pub(super) downloading: bool,
}

/// What a waiting errand may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum May {
    Start,
    Wait,
    /// What it would wait for takes too long.
    Never,
}

/// The errands.
pub(super) struct Errands {
    hands: Hands,
    done: mpsc::Sender<Done>,
    waiting: VecDeque<Errand>,
    looking: bool,
    moving: bool,
    /// One that moved has ended, and the machine has not had its turn since.
    courteous: bool,
}

impl Errands {
    /// None yet; they end over `done`.
    pub(super) fn new(hands: Hands, done: mpsc::Sender<Done>) -> Self {
        Self { hands, done, waiting: VecDeque::new(), looking: false, moving: false, courteous: false }
    }

    /// Takes one, or hands it back where too many wait.
    pub(super) fn take(&mut self, errand: Errand) -> Result<(), Box<Errand>> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(Box::new(errand));
        }
        self.waiting.push_back(errand);
        Ok(())
    }

    /// Whether one is under way that the machine's own work must not meet.
    pub(super) fn moving(&self) -> bool {
        self.moving
    }

    /// The machine could have begun something by now.
    pub(super) fn others_had_their_turn(&mut self) {
        self.courteous = false;
    }

    /// Starts what may start beside a `rollout` that stands so; hands back what cannot be done now.
    pub(super) fn start(&mut self, now: Now, rollout: &Rollout) -> Vec<(Ticket, Fault)> {
        let mut refused = Vec::new();
        for errand in std::mem::take(&mut self.waiting) {
            let slot = slot(&errand.action);
            let may = match slot {
                Slot::Look if self.looking => May::Wait,
                Slot::Look => May::Start,
                Slot::Move if self.moving || self.courteous => May::Wait,
                Slot::Move => may(&errand.action, now),
            };
            match may {
                May::Start => self.begin(slot, errand, rollout),
                May::Wait => self.waiting.push_back(errand),
                May::Never => {
                    let fault =
                        Fault::new(Code::Busy, "images are being fetched, and nothing is collected then")
                            .hint("try again when the rollout is no longer DOWNLOADING");
                    refused.push((errand.ticket, fault));
                }
            }
        }
        refused
    }

    fn begin(&mut self, slot: Slot, errand: Errand, rollout: &Rollout) {
        match slot {
            Slot::Look => self.looking = true,
            Slot::Move => self.moving = true,
        }
        let (hands, done) = (self.hands.clone(), self.done.clone());
        // Nothing more is pinned while something moves.
        let needed = if errand.action == Action::Gc { retain::of_rollout(rollout) } else { BTreeSet::new() };
        tokio::task::spawn_blocking(move || {
            let outcome = run(&hands, &errand.action, &errand.about, &needed);
            // The loop is gone only when the agent ends.
            let _ = done.blocking_send(Done { slot, ticket: errand.ticket, outcome });
        });
    }

    /// Notes that one ended, and hands back whom to tell what.
    pub(super) fn ended(&mut self, done: Done) -> (Ticket, Result<Value, Fault>) {
        match done.slot {
            Slot::Look => self.looking = false,
            Slot::Move => (self.moving, self.courteous) = (false, true),
        }
        (done.ticket, done.outcome)
    }
}

fn slot(action: &Action) -> Slot {
    match action {
        Action::Restart(_) | Action::Gc => Slot::Move,
        Action::Logs { .. }
        | Action::Diag
        | Action::Refresh
        | Action::Cancel(_)
        | Action::Retry(_)
        | Action::Confirm(_)
        | Action::Hold(_)
        | Action::Release
        | Action::Rollback(_)
        | Action::Why
        | Action::Apply(_)
        | Action::Trust(_) => Slot::Look,
    }
}

/// Whether something that moves may begin beside the machine's own work.
fn may(action: &Action, now: Now) -> May {
    let collects = *action == Action::Gc;
    match now.doing {
        _ if collects && now.downloading => May::Never,
        None => May::Start,
        // What is fetched is needed by nothing yet; workloads are not touched by it.
        Some(Task::Stage(_)) if collects => May::Never,
        Some(Task::Stage(_)) => May::Start,
        Some(Task::Keep | Task::Apply(_) | Task::Observe(_) | Task::Restore(_) | Task::Watch(_)) => May::Wait,
    }
}

fn run(hands: &Hands, action: &Action, about: &Value, needed: &BTreeSet<Digest>) -> Result<Value, Fault> {
    match action {
        Action::Restart(which) => restart(hands, which),
        Action::Logs { workload, lines } => logs(hands, workload, *lines),
        Action::Gc => collect(hands, needed),
        Action::Diag => Ok(diagnosis(hands, about)),
        // The loop answers these itself.
        Action::Refresh
        | Action::Cancel(_)
        | Action::Retry(_)
        | Action::Confirm(_)
        | Action::Hold(_)
        | Action::Release
        | Action::Rollback(_)
        | Action::Why
        | Action::Apply(_)
        | Action::Trust(_) => Ok(about.clone()),
    }
}

fn restart(hands: &Hands, which: &Which) -> Result<Value, Fault> {
    let supervisor = &hands.units.supervisor;
    let all = supervisor.list();
    let meant: Vec<_> = all.into_iter().map(|status| status.id).filter(|id| which.holds(id)).collect();
    if meant.is_empty() {
        return Err(unknown(which));
    }
    // Each is tried: one that does not come back must not keep the others away.
    let mut failed = None;
    let run_dir = &hands.settings.run_dir;
    for id in &meant {
        // A start of the agent finds what this one did not bring to its end.
        if let Err(error) = restarts::begin(run_dir, id) {
            events::lacking(&format!("the restart of {id} may end half-way"), &error.to_string());
        }
        if let Err(error) = supervisor.restart(id) {
            failed.get_or_insert(faults::of_unit(&UnitError::Supervise(error)));
        }
        restarts::end(run_dir, id);
    }
    match failed {
        None => Ok(json!({ "restarted": meant })),
        Some(fault) => Err(fault),
    }
}

fn unknown(which: &Which) -> Fault {
    let name = match which {
        Which::Workload(id) => format!("workload {id}"),
        Which::Project(project) => format!("workload of project {project}"),
    };
    Fault::new(Code::NoWorkload, &format!("there is no {name} on this board"))
        .hint("the state document and `coracle ps` name those there are")
}

fn logs(hands: &Hands, workload: &WorkloadId, lines: usize) -> Result<Value, Fault> {
    let supervisor = &hands.units.supervisor;
    if supervisor.status(workload).is_err() {
        return Err(unknown(&Which::Workload(workload.clone())));
    }
    let lines = supervisor.logs(workload, lines);
    let lines = lines.map_err(|error| faults::of_unit(&UnitError::Supervise(error)))?;
    let (lines, whole) = newest_that_fit(lines);
    Ok(json!({ "workload": workload, "lines": lines, "truncated": !whole }))
}

fn collect(hands: &Hands, needed: &BTreeSet<Digest>) -> Result<Value, Fault> {
    let units = &hands.units;
    match retain::collect(&hands.settings, &units.supervisor, &units.store, needed) {
        Ok(collected) => Ok(json!({
            "images": collected.images,
            "layers": collected.layers,
            "blobs": collected.blobs,
            "bytes": collected.bytes,
        })),
        Err(error @ CollectError::Store(StoreError::Lock(_))) => {
            Err(Fault::new(Code::Busy, &chain(&error)).hint("somebody pulls an image: try again later"))
        }
        Err(CollectError::Store(error)) => Err(faults::of_store(&error)),
        Err(error @ (CollectError::Journal(_) | CollectError::Pins(_) | CollectError::Newer(_))) => {
            Err(Fault::new(Code::Store, &chain(&error)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(action: &Action, doing: Option<Task>, downloading: bool, expected: May) {
        assert_eq!(may(action, Now { doing, downloading }), expected, "{action:?} beside {doing:?}");
    }

    #[test]
    fn what_moves_waits_for_the_machines_own_work_and_a_collection_never_meets_a_download() {
        let restart = Action::Restart(Which::Workload(WorkloadId::parse("shop.web").unwrap()));
        let of = Digest::of(b"document");
        check(&restart, None, false, May::Start);
        check(&restart, None, true, May::Start);
        check(&restart, Some(Task::Stage(of)), true, May::Start);
        check(&Action::Gc, None, false, May::Start);
        check(&Action::Gc, None, true, May::Never);
        check(&Action::Gc, Some(Task::Stage(of)), true, May::Never);
        for task in [Task::Keep, Task::Apply(of), Task::Observe(of), Task::Restore(of), Task::Watch(of)] {
            check(&restart, Some(task), false, May::Wait);
            check(&Action::Gc, Some(task), false, May::Wait);
        }
    }
}
