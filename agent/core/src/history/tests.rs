use std::collections::BTreeMap;

use super::*;
use crate::deployment::Deployment;
use crate::gate::{Approval, Policy};
use crate::oci::Digest;
use crate::rollout::{Event, Observation, OnFailure, Target, Terms, next};

fn generation(number: u64) -> Generation {
    Generation { id: format!("doc-{number}"), scope: "d/board".into(), number, rev: 0 }
}

fn document(number: u64) -> Digest {
    Digest::of(&number.to_le_bytes())
}

fn target(number: u64) -> Target {
    Target {
        generation: generation(number),
        document: document(number),
        gates: Policy::default(),
        terms: Terms { health_s: 10, soak_s: 0, attempts: 1, on_failure: OnFailure::Rollback },
        approval: Approval::Pending,
        retrials: 0,
        projects: BTreeMap::new(),
    }
}

fn deployment(number: u64) -> Deployment {
    Deployment { generation: generation(number), workloads: BTreeMap::new(), volumes: BTreeMap::new() }
}

fn switched(number: u64) -> Vec<Event> {
    let of = document(number);
    vec![
        Event::Desired(target(number)),
        Event::Gates(of, vec![]),
        Event::Staged(of, deployment(number)),
        Event::Gates(of, vec![]),
        Event::Applied(of),
    ]
}

fn good(number: u64) -> Vec<Event> {
    let healthy = Event::Observed(document(number), Observation::Healthy { restarts: 0 });
    [switched(number), vec![healthy]].concat()
}

fn bad(number: u64, code: Code) -> Vec<Event> {
    let of = document(number);
    let more = vec![
        Event::ApplyFailed(of, Fault::new(code, "made for a test")),
        Event::Restored(of),
        Event::Observed(of, Observation::Healthy { restarts: 0 }),
    ];
    [switched(number), more].concat()
}

/// The history after `events`, 1000 seconds apart, each passage as `generation tries status code`.
#[track_caller]
fn check(events: Vec<Event>, passages: &[&str]) -> Vec<Passage> {
    let (mut rollout, mut history) = (Rollout::default(), Vec::new());
    for (step, event) in (1..).zip(events) {
        let now = Timestamp(step * 1000);
        let after = next(rollout.clone(), event, now);
        passed(&mut history, &rollout, &after, now);
        rollout = after;
    }
    let told = |passage: &Passage| {
        let end = passage.end.as_ref().map(|end| {
            let why = end.why.as_ref().map(|why| format!(" {}", why.code.wire()));
            format!("{}{}", end.status.wire(), why.unwrap_or_default())
        });
        format!("{} {} {}", passage.generation.number, passage.tries, end.unwrap_or_else(|| "-".into()))
    };
    assert_eq!(history.iter().map(told).collect::<Vec<_>>(), passages);
    history
}

#[test]
fn a_passage_is_noted_from_its_beginning_to_its_end() {
    let history = check([good(1), switched(2)].concat(), &["1 1 SUCCEEDED", "2 1 -"]);
    assert_eq!(history[0].began, Timestamp(1000));
    assert_eq!(history[0].end.as_ref().map(|end| end.at), Some(Timestamp(6000)));
}

#[test]
fn a_failure_is_noted_with_its_reason() {
    check([good(1), bad(2, Code::Exited)].concat(), &["1 1 SUCCEEDED", "2 1 ROLLED_BACK EXITED"]);
    let refused = Event::Refused(Fault::new(Code::Schema, "x"));
    check(vec![refused], &[]);
}

#[test]
fn a_newer_document_supersedes_and_a_person_cancels() {
    check([switched(1), good(2)].concat(), &["1 1 SUPERSEDED", "2 1 SUCCEEDED"]);
    check(vec![Event::Desired(target(1)), Event::Cancel], &["1 1 CANCELED"]);
    let back = vec![Event::Cancel, Event::Restored(document(1))];
    check([switched(1), back].concat(), &["1 1 CANCELED"]);
    let rolled = [good(1), good(2), vec![Event::Desired(target(3)), Event::RollBack]].concat();
    check(rolled, &["1 1 SUCCEEDED", "2 1 SUCCEEDED", "3 1 CANCELED", "2 1 -"]);
}

#[test]
fn what_is_tried_again_by_itself_stays_one_passage() {
    let again = [good(1), bad(2, Code::Runtime), vec![Event::Tick], good(2)].concat();
    // The document comes once; the rest are its answers.
    let events: Vec<Event> = again
        .into_iter()
        .enumerate()
        .filter(|(at, event)| *at < 12 || !matches!(event, Event::Desired(_)))
        .map(|(_, event)| event)
        .collect();
    check(events, &["1 1 SUCCEEDED", "2 2 SUCCEEDED"]);
    let asked = [good(1), bad(2, Code::Exited), vec![Event::Retry(Some(target(2)))]].concat();
    check(asked, &["1 1 SUCCEEDED", "2 1 ROLLED_BACK EXITED", "2 1 -"]);
}

#[test]
fn the_oldest_passages_go_first() {
    let history =
        (1..=40).flat_map(|number| [Event::Desired(target(number)), Event::Cancel]).collect::<Vec<_>>();
    let expected: Vec<String> = (9..=40).map(|number| format!("{number} 1 CANCELED")).collect();
    check(history, &expected.iter().map(String::as_str).collect::<Vec<_>>());
}
