use super::*;
use crate::compose::{NetworkMode, Service};
use crate::deployment::{Generation, PinnedImage, Workload};
use crate::explain::Live;
use crate::fault::{Code, Fault};
use crate::gate::{Approval, Policy};
use crate::oci::{Digest, Platform};
use crate::rollout::{Again, Leaving, OnFailure, Return, Target, Terms, Trial, Watch};
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp(1_789_000_000);
const WELL: Question = Question::Well { offline: false };

fn generation(number: u64) -> Generation {
    Generation { id: "doc".into(), scope: "d/board".into(), number, rev: 0 }
}

fn target(number: u64) -> Target {
    Target {
        generation: generation(number),
        document: Digest::of(&number.to_le_bytes()),
        gates: Policy::default(),
        terms: Terms { health_s: 120, soak_s: 300, attempts: 3, on_failure: OnFailure::Rollback },
        approval: Approval::Pending,
        projects: BTreeMap::new(),
        retrials: 0,
    }
}

fn id(name: &str) -> WorkloadId {
    WorkloadId::parse(name).unwrap()
}

fn deployment(number: u64, names: &[&str]) -> Deployment {
    let image = PinnedImage {
        reference: "r/a:1".into(),
        index: Digest::of(b"index"),
        manifest: Digest::of(b"manifest"),
        platform: Platform::linux("arm64", ""),
    };
    let workload = Workload { service: Service::new("r/a:1", NetworkMode::Host), image };
    let workloads = names.iter().map(|name| (id(name), workload.clone())).collect();
    Deployment { generation: generation(number), workloads, volumes: BTreeMap::new() }
}

fn live() -> Live {
    Live { link: Link::Up, durable: true, unkept: None, slowed: None }
}

/// Generation 1 with one workload is good; what is lacking in `state` with an agent that says `live`.
#[track_caller]
fn check(
    question: Question,
    state: State,
    agent: Agent<'_>,
    workload: Option<Option<&str>>,
    expected: &[&str],
) {
    let rollout = Rollout { state, active: Some(deployment(1, &["site.web"])), ..Rollout::default() };
    let lacks = workload.map(|lacks| (id("site.web"), lacks.map(str::to_owned)));
    // One that no document asks for is nobody's business here.
    let stranger = (id("local.mine"), Some("failed".to_owned()));
    let workloads = lacks.into_iter().chain([stranger]).collect();
    assert_eq!(lacking(question, &Facts { rollout: &rollout, agent, workloads: &workloads }), expected);
}

#[test]
fn a_board_is_well_when_all_that_it_should_run_is_and_the_broker_hears_it() {
    check(WELL, State::Idle, Agent::Live(&live()), Some(None), &[]);
    check(WELL, State::Succeeded { generation: generation(1) }, Agent::Live(&live()), Some(None), &[]);
    check(WELL, State::Idle, Agent::Live(&live()), None, &["site.web is not there"]);
    check(WELL, State::Idle, Agent::Live(&live()), Some(Some("failed")), &["site.web: failed"]);
    check(WELL, State::Idle, Agent::Absent, Some(None), &["no agent runs"]);
    check(WELL, State::Idle, Agent::Silent, Some(None), &["the agent does not answer"]);
    let no_broker = Live { link: Link::NoBroker, ..live() };
    check(WELL, State::Idle, Agent::Live(&no_broker), Some(None), &[]);
    let fault = Fault::new(Code::Start, "site.web does not start");
    let in_trouble = Live { durable: false, unkept: Some(fault), ..live() };
    let expected = ["the journal cannot be written", "site.web does not start"];
    check(WELL, State::Idle, Agent::Live(&in_trouble), Some(None), &expected);
}

#[test]
fn a_board_that_may_be_offline_is_not_held_against_its_link() {
    for (cause, words) in [(None, "no attempt yet"), (Some("refused".to_owned()), "refused")] {
        let down = Live { link: Link::Down { cause, retry_in_s: 3 }, ..live() };
        let expected = format!("the broker does not hear this board: {words}");
        check(WELL, State::Idle, Agent::Live(&down), Some(None), &[&expected]);
        check(Question::Well { offline: true }, State::Idle, Agent::Live(&down), Some(None), &[]);
    }
}

#[test]
fn only_a_switch_a_trial_and_a_roll_back_hold_a_reboot() {
    let fault = || Fault::new(Code::Exited, "it ended");
    let settled = |state, expected: &[&str]| {
        check(Question::Settled, state, Agent::Absent, None, expected);
    };
    let candidate = || deployment(2, &["site.web"]);
    let applying = State::Applying { target: target(2), candidate: candidate(), starts: 0 };
    settled(applying, &["generation 2 is being switched to"]);
    let trial = Trial::Healthy(NOW);
    let verifying =
        State::Verifying { target: target(2), candidate: candidate(), trial, watch: Watch::default() };
    settled(verifying, &["generation 2 is on trial"]);
    let leaving = || Leaving::Candidate(target(2));
    let (attempt, start_at, way) = (1, NOW, Return::Switching);
    let back = State::RollingBack { leaving: leaving(), fault: fault(), attempt, start_at, way };
    settled(back, &["generation 2 is being rolled back"]);
    let broken = || State::Broken { leaving: leaving(), cause: fault(), fault: fault(), attempt, start_at };
    settled(broken(), &[]);
    let expected = ["the last good deployment does not come back: it ended"];
    check(WELL, broken(), Agent::Live(&live()), Some(None), &expected);
    settled(State::Idle, &[]);
    settled(State::Accepted { target: target(2) }, &[]);
    settled(State::Staged { target: target(2), candidate: candidate() }, &[]);
    settled(State::Downloading { target: target(2), attempt, start_at, fault: None }, &[]);
    settled(State::Failed { target: target(2), fault: fault(), again: Again::At(NOW) }, &[]);
    settled(State::Paused { target: target(2), candidate: candidate(), fault: fault() }, &[]);
    settled(State::Rejected { fault: fault() }, &[]);
}
