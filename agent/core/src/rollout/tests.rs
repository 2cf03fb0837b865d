use std::collections::BTreeMap;

use super::*;
use crate::fault::{Class, Code};
use crate::gate::{Approval, Mode, Policy, Reason};
use crate::time::Timestamp;

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
        retrials: 0,
        projects: BTreeMap::new(),
    }
}

fn deployment(number: u64) -> Deployment {
    Deployment { generation: generation(number), workloads: BTreeMap::new(), volumes: BTreeMap::new() }
}

fn fault(class: Class) -> Fault {
    Fault::new(Code::Unhealthy, "made for a test").classed(class)
}

const HEALTHY: Observation = Observation::Healthy { restarts: 0 };

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
    let healthy = || Event::Observed(document(2), HEALTHY);
    // Five whole seconds: the first and the last look may be anywhere in theirs.
    let soaking = (0..7).map(|_| healthy()).collect();
    let rollout =
        check(then(up_to_verifying(), soaking), &format!("{UP}{}, succeeded", ", verifying".repeat(6)));
    assert_eq!(rollout.active, Some(deployment(2)));
    assert_eq!(rollout.fallback, Some(deployment(1)));
}

#[test]
fn a_bad_document_brings_the_last_good_deployment_back_and_is_remembered() {
    let bad = Event::Observed(document(2), Observation::Unhealthy(fault(Class::Permanent)));
    let rollout = check(
        then(
            up_to_verifying(),
            vec![bad, Event::Restored(document(2)), Event::Observed(document(2), HEALTHY)],
        ),
        &format!("{UP}, rolling back, rolling back, rolled back"),
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
        Event::Retry(None),
        Event::Restored(document(2)),
        Event::Observed(document(2), HEALTHY),
    ];
    let upto = up_to_verifying().into_iter().take(4).collect();
    check(
        then(upto, events),
        "accepted, downloading, staged, applying, rolling back, broken, rolling back, rolling back, rolled back",
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
    assert_eq!(name(&later.state), "accepted", "the gates are asked anew");
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
            Event::Observed(of, HEALTHY),
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
        let more = if length < 4 { vec![] } else { back() };
        for event in then(events, then(vec![Event::Cancel], more)) {
            rollout = next(rollout, event, Timestamp(1));
        }
        assert_eq!(name(&rollout.state), "canceled");
        let active = deployment(1);
        assert_eq!(work(&rollout, Timestamp(2)).keep, Some(&active));
        assert_eq!(rollout.bad, [], "it may be wanted again");
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

fn seen(observation: Observation) -> Event {
    Event::Observed(document(2), observation)
}

fn failed(code: Code) -> Event {
    Event::ApplyFailed(document(2), Fault::new(code, "made for a test"))
}

fn back() -> Vec<Event> {
    vec![Event::Restored(document(2)), seen(HEALTHY)]
}

/// Follows `events` from a board on which 2 is good and 1 was before it; the events are a second apart.
fn from_two(events: Vec<Event>) -> Rollout {
    let mut rollout =
        Rollout { active: Some(deployment(2)), fallback: Some(deployment(1)), ..Rollout::default() };
    for (second, event) in (100..).zip(events) {
        rollout = next(rollout, event, Timestamp(second));
    }
    rollout
}

#[test]
fn a_candidate_that_loses_its_health_three_times_fails_whatever_the_soak() {
    let flap = || vec![seen(HEALTHY), seen(Observation::Starting(None))];
    let three = [flap(), flap(), flap()].concat();
    let rollout =
        check(then(up_to_verifying(), three), &format!("{UP}{}, rolling back", ", verifying".repeat(5)));
    assert_eq!(rollout.state.fault().map(|fault| fault.code), Some(Code::Unhealthy));
    assert!(rollout.known_bad(&generation(2)).is_some());
}

#[test]
fn a_crash_between_two_looks_is_a_loss_of_health_too() {
    let restarts = |restarts| seen(Observation::Healthy { restarts });
    let crashes = vec![restarts(1), restarts(2), restarts(2), restarts(3), restarts(4)];
    let rollout =
        check(then(up_to_verifying(), crashes), &format!("{UP}{}, rolling back", ", verifying".repeat(4)));
    assert_eq!(rollout.state.fault().map(Fault::message), Some("was healthy and then was not, 3 times"));
}

#[test]
fn a_candidate_that_takes_the_board_down_with_it_is_left_and_not_called_bad() {
    let starts = vec![Event::Started; 9];
    let rollout =
        check(then(up_to_verifying(), starts), &format!("{UP}{}, rolling back", ", verifying".repeat(8)));
    assert_eq!(rollout.state.fault().map(|fault| fault.code), Some(Code::Interrupted));
    assert!(rollout.known_bad(&generation(2)).is_none());
    let switching: Vec<Event> = up_to_verifying().into_iter().take(4).collect();
    check(
        then(switching, vec![Event::Started; 9]),
        &format!("accepted, downloading, staged, applying{}, rolling back", ", applying".repeat(8)),
    );
}

#[test]
fn what_failed_for_the_boards_own_trouble_comes_again_by_itself_three_times() {
    let mut rollout = Rollout { active: Some(deployment(1)), ..Rollout::default() };
    let mut now = 1000;
    let mut feed = |rollout: Rollout, event, after| {
        now += after;
        next(rollout, event, Timestamp(now))
    };
    rollout = feed(rollout, Event::Desired(target(2)), 1);
    for wait in [900, 1800, 3600, 0] {
        for event in up_to_verifying().into_iter().skip(1).take(3) {
            rollout = feed(rollout, event, 1);
        }
        for event in then(vec![failed(Code::Runtime)], back()) {
            rollout = feed(rollout, event, 1);
        }
        assert_eq!(name(&rollout.state), "rolled back");
        if wait > 0 {
            rollout = feed(rollout, Event::Tick, wait - 1);
            assert_eq!(name(&rollout.state), "rolled back", "{wait}");
            rollout = feed(rollout, Event::Tick, 1);
            assert_eq!(name(&rollout.state), "accepted", "{wait}");
        }
    }
    assert_eq!(work(&rollout, Timestamp(5000)).wake, None, "it had its chances");
    rollout = next(rollout, Event::Retry(Some(target(2))), Timestamp(9000));
    assert_eq!(rollout.state, State::Accepted { target: target(2) });
}

#[test]
fn a_broken_roll_back_keeps_why_it_began() {
    let events = vec![
        failed(Code::Exited),
        Event::RestoreFailed(document(2), Fault::new(Code::Runtime, "no runtime")),
        Event::Retry(None),
    ];
    let rollout = check(
        then(up_to_verifying(), then(events, back())),
        &format!("{UP}, rolling back, broken, rolling back, rolling back, rolled back"),
    );
    assert_eq!(rollout.state.fault().map(|fault| fault.code), Some(Code::Exited));
    assert_eq!(work(&rollout, Timestamp(500)).wake, None, "a bad generation is not tried again");
}

#[test]
fn a_roll_back_that_does_not_become_healthy_is_broken() {
    let unhealthy = seen(Observation::Unhealthy(fault(Class::Transient)));
    let events = vec![failed(Code::Exited), Event::Restored(document(2)), unhealthy];
    let rollout =
        check(then(up_to_verifying(), events), &format!("{UP}, rolling back, rolling back, broken"));
    assert_eq!(rollout.active, Some(deployment(1)));
}

#[test]
fn a_person_goes_back_without_a_network_and_what_was_left_stays_away() {
    let left = Leaving::Good(generation(2)).document();
    let back = || vec![Event::RollBack, Event::Restored(left), Event::Observed(left, HEALTHY)];
    let rollout = from_two(back());
    assert_eq!(name(&rollout.state), "rolled back");
    assert_eq!((&rollout.active, &rollout.fallback), (&Some(deployment(1)), &Some(deployment(2))));
    let again = Event::Desired(Target { document: document(22), ..target(2) });
    assert_eq!(name(&from_two(then(back(), vec![again])).state), "rolled back");
    assert_eq!(rollout.way_back(), None, "what was left is no way back");
    let retried = from_two(then(back(), vec![Event::Retry(Some(target(2)))]));
    assert_eq!((name(&retried.state), retried.bad.len()), ("accepted", 0));
    let turned = from_two(vec![Event::RollBack, Event::Cancel]);
    assert_eq!((name(&turned.state), &turned.active), ("canceled", &Some(deployment(2))));
    assert_eq!(turned.bad, []);
}

#[test]
fn a_person_who_goes_back_during_a_passage_ends_it() {
    for (length, active) in [(1, 1), (3, 1), (4, 2), (5, 2)] {
        let mut events: Vec<Event> = up_to_verifying().into_iter().take(length).collect();
        events[0] = Event::Desired(Target { document: document(2), ..target(3) });
        let rollout = from_two(then(events, vec![Event::RollBack]));
        assert_eq!(name(&rollout.state), "rolling back");
        assert_eq!(rollout.active, Some(deployment(active)), "{length}");
        let left = if active == 1 { 2 } else { 3 };
        assert!(rollout.known_bad(&generation(left)).is_some());
    }
}

#[test]
fn a_person_may_keep_what_was_paused() {
    let mut events = up_to_verifying();
    let terms = Terms { on_failure: OnFailure::Pause, ..target(2).terms };
    events[0] = Event::Desired(Target { terms, ..target(2) });
    let events = then(events, vec![failed(Code::Exited), Event::Confirm]);
    let rollout = check(events, &format!("{UP}, paused, succeeded"));
    assert_eq!((rollout.active, rollout.bad), (Some(deployment(2)), vec![]));
}

/// Found by the simulation: a candidate was kept for a look although the board could not even start it, and a person
/// who had it tried again got the old document although a newer one was wanted.
#[test]
fn only_what_can_be_looked_at_is_paused_and_a_retry_takes_what_is_wanted() {
    let terms = Terms { on_failure: OnFailure::Pause, ..target(2).terms };
    let mut events = up_to_verifying();
    events[0] = Event::Desired(Target { terms, ..target(2) });
    let rollout = check(then(events.clone(), vec![failed(Code::Store)]), &format!("{UP}, rolling back"));
    assert_eq!(rollout.active, Some(deployment(1)));
    let wanted = Target { document: document(22), ..target(2) };
    let more = vec![failed(Code::Exited), Event::Retry(Some(wanted.clone()))];
    let rollout = check(then(events.clone(), more), &format!("{UP}, paused, accepted"));
    assert_eq!((rollout.state, rollout.bad), (State::Accepted { target: wanted }, vec![]));
    let same = vec![failed(Code::Exited), Event::Retry(Some(target(2)))];
    check(then(events, same), &format!("{UP}, paused, applying"));
}

#[test]
fn a_word_does_not_shorten_a_trial() {
    check(
        then(up_to_verifying(), vec![seen(HEALTHY), Event::Confirm]),
        &format!("{UP}, verifying, verifying"),
    );
}

#[test]
fn without_a_journal_what_it_held_is_kept_unless_that_was_called_off() {
    let at = |length: usize| {
        let good = Rollout { active: Some(deployment(1)), ..Rollout::default() };
        let events = up_to_verifying().into_iter().take(length);
        events.fold(good, |rollout, event| next(rollout, event, Timestamp(1)))
    };
    let then = |rollout: Rollout, event| next(rollout, event, Timestamp(2));
    let newer = Event::Desired(target(3));
    for (held, now, kept) in [
        (at(4), at(5), 2),
        (at(3), at(4), 1),
        (at(4), then(at(4), newer), 1),
        (at(5), then(at(5), failed(Code::Exited)), 1),
        (then(at(5), failed(Code::Exited)), at(5), 1),
    ] {
        assert_eq!(
            held.keeps_running(&now),
            Some(&deployment(kept)),
            "{} {}",
            name(&held.state),
            name(&now.state)
        );
    }
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
