use super::*;
use crate::deployment::{Deployment, Generation};
use crate::fault::{Code, Fault};
use crate::gate::{Approval, Policy};
use crate::history::{End, Why};
use crate::reported::Status;
use crate::rollout::{Bad, Leaving, OnFailure, Return, State, Terms, Trial, Watch};

fn wanted(scope: &str, priority: i64) -> Wanted {
    let generation = Generation { id: "doc".into(), scope: scope.into(), number: 7, rev: 1 };
    let terms = Terms { health_s: 120, soak_s: 300, attempts: 3, on_failure: OnFailure::Rollback };
    let target = Target {
        generation,
        document: Digest::of(scope.as_bytes()),
        gates: Policy { percent_hundredths: 10_000, ..Policy::default() },
        terms,
        approval: Approval::Pending,
        retrials: 0,
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
fn the_second_saved_form_is_still_read() {
    let saved = include_bytes!("../../../../tests/data/journal/v2.json");
    let mut expected = record(&[("d/board-1", 10)]);
    let target = expected.accepted[&Scope::parse("d/board-1").unwrap()].target.clone();
    expected.current = Some(target.document);
    let of = |number| Generation { number, ..target.generation.clone() };
    let deployment = |number| {
        Some(Deployment { generation: of(number), workloads: BTreeMap::new(), volumes: BTreeMap::new() })
    };
    let fault = Fault::new(Code::Recalled, "a person rolled back from this generation");
    expected.rollout = Rollout {
        state: State::Broken {
            leaving: Leaving::Good(of(6)),
            cause: fault.clone(),
            fault: Fault::new(Code::Runtime, "crun is not there"),
            attempt: 2,
            start_at: Timestamp(1_789_000_050),
        },
        active: deployment(5),
        fallback: deployment(6),
        bad: vec![Bad { generation: of(6), fault }],
    };
    let end = End { status: Status::Succeeded, why: None, at: Timestamp(1_788_000_000) };
    let why = Some(Why { code: Code::Pull, message: "the line is dead".to_owned() });
    let failed = End { status: Status::Failed, why, at: Timestamp(1_788_500_000) };
    let passage =
        |number, tries, end| Passage { generation: of(number), began: Timestamp(1_787_000_000), tries, end };
    expected.history = vec![passage(6, 1, Some(end)), passage(7, 3, Some(failed)), passage(6, 1, None)];
    expected.hold = Some(Hold::new(Timestamp(1_788_999_000), "the board is being moved"));
    let form = String::from_utf8(expected.to_bytes().unwrap()).unwrap();
    assert_eq!(Record::from_bytes(saved), Ok(expected), "\n{form}");
}

#[test]
fn every_state_is_saved_and_read_again() {
    let target = wanted("d/board-1", 0).target;
    let fault = || Fault::new(Code::Runtime, "crun is not there");
    let later = Some((Timestamp(7), target.clone()));
    let (generation, start_at) = (target.generation.clone(), Timestamp(5));
    let candidate =
        Deployment { generation: generation.clone(), workloads: BTreeMap::new(), volumes: BTreeMap::new() };
    let states = [
        State::Applying { target: target.clone(), candidate: candidate.clone(), starts: 3 },
        State::Verifying {
            target: target.clone(),
            candidate,
            trial: Trial::Healthy(Timestamp(9)),
            watch: Watch { starts: 1, losses: 2, restarts: 3 },
        },
        State::RollingBack {
            leaving: Leaving::Candidate(target),
            fault: fault(),
            attempt: 1,
            start_at,
            way: Return::Watching(Timestamp(6)),
        },
        State::RolledBack { generation: generation.clone(), fault: fault(), later },
        State::RolledBack { generation, fault: fault(), later: None },
    ];
    for state in states {
        let mut record = record(&[]);
        record.rollout.state = state;
        assert_eq!(Record::from_bytes(&record.to_bytes().unwrap()), Ok(record));
    }
}

#[test]
fn a_state_of_the_first_form_is_read_with_nothing_counted() {
    let saved = include_str!("../../../../tests/data/journal/v1.json");
    let mut value: serde_json::Value = serde_json::from_str(saved).unwrap();
    let state = value.pointer_mut("/record/rollout/state").unwrap();
    let target = state["target"].clone();
    let fault = serde_json::to_value(Fault::new(Code::Runtime, "x")).unwrap();
    let states = [
        serde_json::json!({"state": "rolling_back", "target": target, "fault": fault, "attempt": 1, "start_at": 2}),
        serde_json::json!({"state": "broken", "target": target, "fault": fault, "attempt": 1, "start_at": 2}),
        serde_json::json!({"state": "rolled_back", "generation": target["generation"], "fault": fault}),
    ];
    for old in states {
        *value.pointer_mut("/record/rollout/state").unwrap() = old.clone();
        let read = Record::from_bytes(value.to_string().as_bytes()).unwrap();
        assert_eq!(read.rollout.state.generation().map(|generation| generation.number), Some(7), "{old}");
    }
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
