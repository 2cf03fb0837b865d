//! All that is fed to the machine, and what it is called on the page.

use std::collections::BTreeMap;

use coracle_core::deployment::{Deployment, Generation};
use coracle_core::fault::{Class, Code, Fault};
use coracle_core::gate::{Approval, Policy, Reason};
use coracle_core::oci::Digest;
use coracle_core::rollout::{Event, Observation, OnFailure, Rollout, State, Target, Terms};

/// The columns of the tables, each table with its heading.
pub(super) const COLUMNS: &[(&str, &[&str])] = &[
    ("Documents, the clock and the agent's start", &["desired", "refused", "tick", "started"]),
    ("Answers before the switch", &["gates open", "gates closed", "staged", "stage failed", "too late"]),
    (
        "Answers from the switch on",
        &["applied", "apply failed", "healthy", "starting", "unhealthy", "restored", "restore failed"],
    ),
    ("A person's word", &["cancel", "retry", "confirm", "rollback"]),
];

/// What comes from outside, in a drawing of its own.
pub(super) const DRAWN_BY_WORD: &[&str] = &["desired", "refused", "cancel", "retry", "confirm", "rollback"];

/// Starts of the agent in a row: more than a switch survives.
const STARTS: u32 = 10;
/// Downloads that may fail before one is called failed.
const ATTEMPTS: u32 = 2;

/// What an event is called on the page.
pub(super) fn name(event: &Event) -> &'static str {
    if event.answers() == Some(over()) {
        return "too late";
    }
    match event {
        Event::Started => "started",
        Event::Desired(_) => "desired",
        Event::Refused(_) => "refused",
        Event::Gates(_, reasons) if reasons.is_empty() => "gates open",
        Event::Gates(..) => "gates closed",
        Event::Staged(..) => "staged",
        Event::StageFailed(..) => "stage failed",
        Event::Applied(_) => "applied",
        Event::ApplyFailed(..) => "apply failed",
        Event::Observed(_, Observation::Healthy { .. }) => "healthy",
        Event::Observed(_, Observation::Starting(_)) => "starting",
        Event::Observed(_, Observation::Unhealthy(_)) => "unhealthy",
        Event::Restored(_) => "restored",
        Event::RestoreFailed(..) => "restore failed",
        Event::Tick => "tick",
        Event::Cancel => "cancel",
        Event::Retry(_) => "retry",
        Event::Confirm => "confirm",
        Event::RollBack => "rollback",
    }
}

/// Everything that can happen to `rollout`, in all variations that may matter.
pub(super) fn events(rollout: &Rollout) -> Vec<Event> {
    let under_way = rollout.under_way();
    let of = under_way.map_or(document(9, false), |(document, _)| document);
    let number = under_way.map_or(1, |(_, generation)| generation.number);
    let targets = || [target(1, false), target(1, true), target(2, false), target(2, true)];
    let mut events = vec![
        Event::Started,
        Event::Refused(fault(Code::Schema)),
        Event::Refused(fault(Code::Signature)),
        Event::Tick,
        Event::Cancel,
        Event::Retry(None),
        Event::Confirm,
        Event::RollBack,
    ];
    // A document that comes a second time is not admitted.
    let here = rollout.state.target().map(|target| target.document);
    events.extend(targets().into_iter().filter(|new| Some(new.document) != here).map(Event::Desired));
    events.extend(targets().map(|target| Event::Retry(Some(target))));
    events.extend(answers(of, number, restarts(rollout)));
    events.extend(answers(over(), 0, 0));
    events
}

/// How often `event` is fed at once, where that is counted.
pub(super) fn in_a_row(event: &Event) -> u32 {
    if *event == Event::Started { STARTS } else { 1 }
}

fn answers(of: Digest, number: u64, restarts: u32) -> Vec<Event> {
    let deployment =
        Deployment { generation: generation(number), workloads: BTreeMap::new(), volumes: BTreeMap::new() };
    vec![
        Event::Gates(of, vec![]),
        Event::Gates(of, vec![Reason::Hold]),
        Event::Gates(of, vec![Reason::HeldHere("a fair".into())]),
        Event::Staged(of, deployment),
        Event::StageFailed(of, fault(Code::Pull).classed(Class::Transient)),
        Event::StageFailed(of, fault(Code::NotFound).classed(Class::Permanent)),
        Event::Applied(of),
        Event::ApplyFailed(of, fault(Code::Exited)),
        Event::ApplyFailed(of, fault(Code::Runtime)),
        Event::Observed(of, Observation::Healthy { restarts }),
        Event::Observed(of, Observation::Healthy { restarts: restarts + 1 }),
        Event::Observed(of, Observation::Starting(None)),
        Event::Observed(of, Observation::Unhealthy(fault(Code::Unhealthy))),
        Event::Restored(of),
        Event::RestoreFailed(of, fault(Code::Runtime)),
    ]
}

/// Restarts of the candidate as of the last look.
pub(super) fn restarts(rollout: &Rollout) -> u32 {
    if let State::Verifying { watch, .. } = &rollout.state { watch.restarts } else { 0 }
}

fn fault(code: Code) -> Fault {
    Fault::new(code, "made for a drawing")
}

/// The document of a passage that is over.
fn over() -> Digest {
    document(0, false)
}

fn document(number: u64, pauses: bool) -> Digest {
    Digest::of(format!("{number} {pauses}").as_bytes())
}

fn generation(number: u64) -> Generation {
    Generation { id: format!("doc-{number}"), scope: "d/board".into(), number, rev: 0 }
}

fn target(number: u64, pauses: bool) -> Target {
    let on_failure = if pauses { OnFailure::Pause } else { OnFailure::Rollback };
    Target {
        generation: generation(number),
        document: document(number, pauses),
        gates: Policy { percent_hundredths: 10_000, ..Policy::default() },
        terms: Terms { health_s: 10, soak_s: 5, attempts: ATTEMPTS, on_failure },
        approval: Approval::Pending,
        retrials: 0,
        projects: BTreeMap::new(),
    }
}
