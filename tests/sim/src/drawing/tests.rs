use std::collections::BTreeSet;

use super::happening::{COLUMNS, DRAWN_BY_WORD};
use super::page::page;
use super::walk::{Outcome, STATES, walk};

#[test]
fn the_page_on_the_rollout_machine_is_what_the_machine_does() {
    let (kept, drawn) = (include_str!("../../../../agent/docs/rollout.md"), page());
    let other = kept.lines().zip(drawn.lines()).find(|(kept, drawn)| kept != drawn);
    assert!(
        kept == drawn,
        "agent/docs/rollout.md is not what the machine does: {other:?}; `cargo xtask drawing` writes it anew"
    );
}

#[test]
fn every_state_and_every_kind_of_event_is_met() {
    let walk = walk();
    let met: BTreeSet<_> = walk.steps.keys().map(|(state, _)| *state).collect();
    assert_eq!(met, (0..STATES.len()).collect());
    let fed: BTreeSet<_> = walk.steps.keys().map(|(_, event)| *event).collect();
    let columns = COLUMNS.iter().flat_map(|(_, names)| names.iter().copied());
    assert_eq!(fed, columns.collect());
    assert!(DRAWN_BY_WORD.iter().all(|name| fed.contains(name)));
    assert_eq!(walk.steps.len(), met.len() * fed.len(), "every event is fed in every state");
}

#[test]
fn an_answer_for_another_document_changes_nothing_anywhere() {
    let walk = walk();
    let late = walk.steps.iter().filter(|((_, event), _)| *event == "too late");
    let mut outcomes = late.flat_map(|(_, steps)| steps.iter().map(|step| step.outcome));
    assert!(outcomes.all(|outcome| outcome == Outcome::Nothing));
}
