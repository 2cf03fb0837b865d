use super::*;
use crate::deployment::{Deployment, Generation};
use crate::fault::{Code, Fault};
use crate::gate::{Approval, Policy};
use crate::rollout::{OnFailure, State, Terms};

fn wanted(scope: &str, priority: i64) -> Wanted {
    let generation = Generation { id: "doc".into(), scope: scope.into(), number: 7, rev: 1 };
    let terms = Terms { health_s: 120, soak_s: 300, attempts: 3, on_failure: OnFailure::Rollback };
    let target = Target {
        generation,
        document: Digest::of(scope.as_bytes()),
        gates: Policy { percent_hundredths: 10_000, ..Policy::default() },
        terms,
        approval: Approval::Pending,
        projects: BTreeMap::new(),
    };
    Wanted { priority, target }
}

fn record(scopes: &[(&str, i64)]) -> Record {
    let accepted = scopes
        .iter()
        .map(|(scope, priority)| (Scope::parse(scope).unwrap(), wanted(scope, *priority)))
        .collect();
    Record { epoch: 3, newest_iat: Timestamp(1_789_000_000), accepted, ..Record::default() }
}

#[test]
fn the_first_saved_form_is_still_read() {
    let saved = include_bytes!("../../../../tests/data/journal/v1.json");
    let mut expected = record(&[("d/board-1", 10)]);
    let target = expected.accepted[&Scope::parse("d/board-1").unwrap()].target.clone();
    let generation = Generation { number: 6, ..target.generation.clone() };
    expected.current = Some(target.document);
    expected.rollout.active =
        Some(Deployment { generation, workloads: BTreeMap::new(), volumes: BTreeMap::new() });
    expected.rollout.state = State::Accepted { target };
    assert_eq!(Record::from_bytes(saved), Ok(expected.clone()));
    assert_eq!(Record::from_bytes(&expected.to_bytes().unwrap()), Ok(expected));
}

#[test]
fn a_newer_or_damaged_record_is_refused_with_a_word_on_why() {
    let newer = Record::from_bytes(br#"{"version":9,"anything":true}"#).unwrap_err();
    assert_eq!(newer, RecordError::Newer(9));
    for damaged in [&b""[..], b"{", b"{}", br#"{"version":1}"#, br#"{"version":0}"#] {
        assert!(matches!(Record::from_bytes(damaged), Err(RecordError::Damaged(_))));
    }
}

#[test]
fn another_reason_for_a_refusal_calls_for_nothing_new() {
    let refused = |message: &str| {
        let mut record = record(&[("d/board-1", 10)]);
        record.rollout.state = State::Rejected { fault: Fault::new(Code::Schema, message) };
        record
    };
    assert!(refused("one").calls_for_the_same(&refused("another")));
    assert!(!refused("one").calls_for_the_same(&Record { epoch: 4, ..refused("one") }));
    assert!(!refused("one").calls_for_the_same(&record(&[("d/board-1", 10)])));
    assert!(!record(&[("d/board-1", 10)]).calls_for_the_same(&refused("one")));
}

#[track_caller]
fn check(scopes: &[(&str, i64)], winner: Option<&str>) {
    let record = record(scopes);
    let groups = ["a", "b"].map(|name| GroupName::parse(name).unwrap());
    let found = record
        .winner(&DeviceId::parse("board-1").unwrap(), &groups)
        .map(|(wanted, _)| wanted.target.generation.scope.clone());
    assert_eq!(found.as_deref(), winner);
}

#[test]
fn the_boards_own_document_counts_before_its_groups() {
    check(&[], None);
    check(&[("g/a", 0)], Some("g/a"));
    check(&[("g/a", 0), ("g/b", 5)], Some("g/b"));
    check(&[("g/b", 5), ("g/a", 5)], Some("g/a"));
    check(&[("g/a", 99), ("d/board-1", 0)], Some("d/board-1"));
    // The board has left these.
    check(&[("g/left", 99), ("g/a", 0)], Some("g/a"));
    check(&[("d/other", 0)], None);
}
