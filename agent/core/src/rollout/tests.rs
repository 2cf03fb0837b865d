use super::*;
use crate::fault::{Class, Code};
use crate::gate::Mode;

mod simulation;

fn document(number: u64) -> Digest {
    Digest::of(&number.to_le_bytes())
}

fn generation(number: u64) -> Generation {
    Generation { id: format!("doc-{number}"), scope: "d/board".into(), number, rev: 0 }
}

fn target(number: u64) -> Target {
    Target {
        generation: generation(number),
        document: document(number),
        gates: Policy { percent_hundredths: 10_000, ..Policy::default() },
        terms: Terms { health_s: 10, soak_s: 5, attempts: 2, on_failure: OnFailure::Rollback },
        approval: Approval::Pending,
        projects: BTreeMap::new(),
    }
}

fn deployment(number: u64) -> Deployment {
    Deployment { generation: generation(number), workloads: BTreeMap::new(), volumes: BTreeMap::new() }
}

fn fault(class: Class) -> Fault {
    Fault::new(Code::Unhealthy, "made for a test").classed(class)
}

fn name(state: &State) -> &'static str {
    match state {
        State::Idle => "idle",
        State::Accepted { .. } => "accepted",
        State::Waiting { .. } => "waiting",
        State::Downloading { .. } => "downloading",
        State::Staged { .. } => "staged",
        State::Applying { .. } => "applying",
        State::Verifying { .. } => "verifying",
        State::Succeeded { .. } => "succeeded",
        State::RollingBack { .. } => "rolling back",
        State::RolledBack { .. } => "rolled back",
        State::Failed { .. } => "failed",
        State::Broken { .. } => "broken",
        State::Paused { .. } => "paused",
        State::Canceled { .. } => "canceled",
        State::Rejected { .. } => "rejected",
    }
}

/// The states that `events`, one each second, lead through from an idle board whose generation 1 is good.
#[track_caller]
fn check(events: Vec<Event>, states: &str) -> Rollout {
    let mut rollout = Rollout { active: Some(deployment(1)), ..Rollout::default() };
    let mut passed = Vec::new();
    for (second, event) in (100..).zip(events) {
        rollout = next(rollout, event, Timestamp(second));
        passed.push(name(&rollout.state));
    }
    assert_eq!(passed.join(", "), states);
    rollout
}

fn up_to_verifying() -> Vec<Event> {
    vec![
        Event::Desired(target(2)),
        Event::Gates(document(2), vec![]),
        Event::Staged(document(2), deployment(2)),
        Event::Gates(document(2), vec![]),
        Event::Applied(document(2)),
    ]
}

fn then(mut events: Vec<Event>, more: Vec<Event>) -> Vec<Event> {
    events.extend(more);
    events
}

const UP: &str = "accepted, downloading, staged, applying, verifying";

#[test]
fn a_good_document_passes_and_becomes_the_last_good_one() {
    let healthy = || Event::Observed(document(2), Observation::Healthy);
    let soaking = vec![healthy(), healthy(), healthy(), healthy(), healthy(), healthy()];
    let rollout = check(
        then(up_to_verifying(), soaking),
        &format!("{UP}, verifying, verifying, verifying, verifying, verifying, succeeded"),
    );
    assert_eq!(rollout.active, Some(deployment(2)));
    assert_eq!(rollout.fallback, Some(deployment(1)));
}

#[test]
fn a_bad_document_brings_the_last_good_deployment_back_and_is_remembered() {
    let bad = Event::Observed(document(2), Observation::Unhealthy(fault(Class::Permanent)));
    let rollout = check(
        then(up_to_verifying(), vec![bad, Event::Restored(document(2))]),
        &format!("{UP}, rolling back, rolled back"),
    );
    assert_eq!(rollout.active, Some(deployment(1)));
    assert!(rollout.known_bad(&generation(2)).is_some());
}

#[test]
fn a_candidate_that_never_becomes_healthy_runs_out_of_time() {
    let starting = vec![Event::Observed(document(2), Observation::Starting(None)); 10];
    let passed = format!("{UP}{}, rolling back", ", verifying".repeat(9));
    let silent = check(then(up_to_verifying(), starting), &passed);
    assert_eq!(silent.state.fault().map(Fault::message), Some("not healthy within 10 s"));
    let why = Some(fault(Class::Transient));
    let starting = vec![Event::Observed(document(2), Observation::Starting(why)); 10];
    let named = check(then(up_to_verifying(), starting), &passed);
    assert_eq!(named.state.fault().map(Fault::message), Some("not healthy within 10 s: made for a test"));
    assert_eq!(named.state.fault().map(|fault| fault.code), Some(Code::HealthTimeout));
}

#[test]
fn a_failed_roll_back_is_tried_for_ever() {
    let events = vec![
        Event::ApplyFailed(document(2), fault(Class::Permanent)),
        Event::RestoreFailed(document(2), fault(Class::Transient)),
        Event::Retry,
        Event::Restored(document(2)),
    ];
    let upto = up_to_verifying().into_iter().take(4).collect();
    check(
        then(upto, events),
        "accepted, downloading, staged, applying, rolling back, broken, rolling back, rolled back",
    );
}

#[test]
fn a_passing_fault_is_tried_again_and_a_lasting_one_is_not() {
    let start = || vec![Event::Desired(target(2)), Event::Gates(document(2), vec![])];
    let fails = |class| Event::StageFailed(document(2), fault(class));
    check(then(start(), vec![fails(Class::Permanent)]), "accepted, downloading, failed");
    let once = check(then(start(), vec![fails(Class::Transient)]), "accepted, downloading, downloading");
    assert_eq!((once.state.attempt(), once.state.fault()), (2, Some(&fault(Class::Transient))));
    let twice = vec![fails(Class::Transient), fails(Class::Transient)];
    let rollout = check(then(start(), twice), "accepted, downloading, downloading, failed");
    let later = next(rollout, Event::Tick, Timestamp(100 + 3 + 3600));
    assert_eq!(name(&later.state), "downloading");
}

#[test]
fn a_closed_gate_holds_and_a_newer_document_passes_it() {
    let events = vec![
        Event::Desired(target(2)),
        Event::Gates(document(2), vec![Reason::Hold]),
        Event::Desired(target(3)),
        Event::Gates(document(2), vec![]),
        Event::Gates(document(3), vec![]),
    ];
    check(events, "accepted, waiting, accepted, accepted, downloading");
}

#[test]
fn an_answer_for_another_document_changes_nothing() {
    let (of, other) = (document(9), deployment(9));
    let late = |rollout: &Rollout| {
        [
            Event::Gates(of, vec![]),
            Event::Staged(of, other.clone()),
            Event::StageFailed(of, fault(Class::Permanent)),
            Event::Applied(of),
            Event::ApplyFailed(of, fault(Class::Permanent)),
            Event::Observed(of, Observation::Healthy),
            Event::Restored(of),
            Event::RestoreFailed(of, fault(Class::Permanent)),
        ]
        .into_iter()
        .all(|event| next(rollout.clone(), event, Timestamp(500)) == *rollout)
    };
    let mut rollout = Rollout::default();
    for event in up_to_verifying() {
        rollout = next(rollout, event, Timestamp(1));
        assert!(late(&rollout), "{}", name(&rollout.state));
    }
}

#[test]
fn a_refused_document_disturbs_nothing_under_way() {
    let refused = Event::Refused(fault(Class::Permanent));
    check(vec![refused.clone()], "rejected");
    check(then(up_to_verifying(), vec![refused]), &format!("{UP}, verifying"));
}

#[test]
fn canceling_before_or_after_the_switch_leaves_the_last_good_deployment_to_run() {
    for length in 1..=5 {
        let events: Vec<Event> = up_to_verifying().into_iter().take(length).collect();
        let mut rollout = Rollout { active: Some(deployment(1)), ..Rollout::default() };
        for event in then(events, vec![Event::Cancel]) {
            rollout = next(rollout, event, Timestamp(1));
        }
        assert_eq!(name(&rollout.state), "canceled");
        let active = deployment(1);
        assert_eq!(work(&rollout, Timestamp(2)).keep, Some(&active));
    }
}

#[test]
fn a_policy_that_wants_a_person_to_look_changes_nothing_after_a_failed_trial() {
    let mut events = up_to_verifying();
    let terms = Terms { on_failure: OnFailure::Pause, ..target(2).terms };
    let gates = Policy { mode: Mode::Soft, ..target(2).gates };
    events[0] = Event::Desired(Target { terms, gates, ..target(2) });
    let bad = Event::Observed(document(2), Observation::Unhealthy(fault(Class::Permanent)));
    let rollout = check(then(events, vec![bad]), &format!("{UP}, paused"));
    assert_eq!(work(&rollout, Timestamp(1)).keep, Some(&deployment(2)));
}

#[test]
fn a_pause_ends_although_the_clock_went_back() {
    let mut rollout = Rollout::default();
    let fails = Event::StageFailed(document(2), fault(Class::Transient));
    for event in [Event::Desired(target(2)), Event::Gates(document(2), vec![]), fails] {
        rollout = next(rollout, event, Timestamp(1_800_000_000));
    }
    assert_eq!(work(&rollout, Timestamp(1_800_000_000)).work, Work::Rest);
    assert!(matches!(work(&rollout, Timestamp(30)).work, Work::Stage(_)));
}
