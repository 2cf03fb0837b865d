use std::collections::BTreeMap;

use super::*;
use crate::deployment::{Deployment, Generation};
use crate::desired::Scope;
use crate::fault::Code;
use crate::gate::{Approval, Policy, Reason};
use crate::oci::Digest;
use crate::pace::{Resource, Slowed};
use crate::record::{Hold, Wanted};
use crate::rollout::{
    Again, Bad, Held, Leaving, OnFailure, Return, Rollout, State, Target, Terms, Trial, Watch,
};

const NOW: Timestamp = Timestamp(1_789_000_000);

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

fn deployment(number: u64) -> Deployment {
    Deployment { generation: generation(number), workloads: BTreeMap::new(), volumes: BTreeMap::new() }
}

fn live() -> Live {
    Live { link: Link::Up, durable: true, unkept: None, slowed: None }
}

fn record(state: State) -> Record {
    let rollout = Rollout { active: Some(deployment(1)), state, ..Rollout::default() };
    let wanted = Wanted { priority: 0, target: target(2) };
    let accepted = BTreeMap::from([(Scope::parse("d/board").unwrap(), wanted)]);
    Record { rollout, accepted, ..Record::default() }
}

fn told(record: &Record, agent: Agent<'_>, unwell: &[Unwell]) -> Vec<Remark> {
    let (device, groups) = (DeviceId::parse("board").unwrap(), [GroupName::parse("eu").unwrap()]);
    let facts = Facts {
        record,
        device: &device,
        groups: &groups,
        agent,
        unbelieving: None,
        imageless: None,
        unwell,
        now: NOW,
        synced: true,
    };
    let believing = explain(&facts);
    // Whatever else there is to say, keys that cannot be used are said too.
    let why = ("there is no key".to_owned(), "put one there".to_owned());
    let mut unbelieving = explain(&Facts { unbelieving: Some(&why), ..facts });
    let trouble = Remark::trouble("no document is believed: there is no key").helps("put one there");
    let at = unbelieving.iter().position(|remark| *remark == trouble).unwrap();
    unbelieving.remove(at);
    assert_eq!(unbelieving, believing);
    let mut imageless = explain(&Facts { imageless: Some("default is missing"), ..facts });
    let says = "no image is taken: default is missing";
    let at = imageless.iter().position(|remark| remark.says == says && remark.kind == Kind::Trouble).unwrap();
    imageless.remove(at);
    assert_eq!(imageless, believing);
    believing
}

/// The remarks after the first, which tells what is good: each with its mark, and what helps.
#[track_caller]
fn check(record: &Record, expected: &[(Kind, &str, &str)]) {
    let remarks = told(record, Agent::Live(&live()), &[]);
    assert_eq!(remarks.first().map(|remark| remark.says.as_str()), Some("generation 1 is good"));
    let rest: Vec<_> = remarks
        .iter()
        .skip(1)
        .map(|remark| (remark.kind, remark.says.as_str(), remark.remedy.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(rest, expected);
}

#[test]
fn every_closed_gate_is_told_with_what_opens_it() {
    let reasons = vec![
        Reason::Hold,
        Reason::HeldHere("moving".into()),
        Reason::NotBefore(NOW.after(3 * 3600)),
        Reason::Percent { allowed: 1000, bucket: 3720 },
        Reason::Spread(NOW.after(90)),
        Reason::Window(NOW.after(300)),
        Reason::DownloadOnly,
        Reason::Confirm,
        Reason::Disk(5),
        Reason::Inhibit("printing".into()),
        Reason::Lock("another board updates".into()),
    ];
    let waiting = State::Waiting { target: target(2), held: Held::BeforeApply(deployment(2)), reasons };
    let expected = [
        (Kind::Waits, "generation 2 waits; everything is fetched, and only the switch is missing", ""),
        (Kind::Waits, "its document says hold", "a revision of the document without hold"),
        (Kind::Waits, "updates are held: moving", gates::RELEASE),
        (Kind::Waits, "its document says that it is not to begin yet", "at 2026-09-10T03:26:40Z, in 3 h"),
        (
            Kind::Waits,
            "10 % of the boards have their turn, and this one comes at 37.20 %",
            "a revision with a percent above 37.20, or with mode force",
        ),
        (
            Kind::Waits,
            "the boards begin one after the other, and this one's turn is to come",
            "at 2026-09-10T00:28:10Z, in 90 s",
        ),
        (Kind::Waits, "no maintenance window is open", "at 2026-09-10T00:31:40Z, in 5 min"),
        (Kind::Waits, "its document asks for the download only", "a revision with another mode"),
        (Kind::Waits, "a person must approve of it", "`coracle confirm`"),
        (
            Kind::Waits,
            "fewer than the 5 bytes that it needs are free on the disk",
            "`coracle prune`, or make room by hand",
        ),
        (
            Kind::Waits,
            "something on this board objects, by the file inhibit.d/printing",
            "whoever put it there removes it: /run/coracle/inhibit.d/printing",
        ),
        (
            Kind::Waits,
            "it is not this board's turn, says the server that hands them out: another board updates",
            "it is asked again every 10 s",
        ),
    ];
    check(&record(waiting), &expected);
}

#[test]
fn each_state_says_what_it_waits_for_and_what_helps() {
    let fault = || Fault::new(Code::Exited, "site.web ended");
    let one = |state: State, kind, says: &str, helps: &str| check(&record(state), &[(kind, says, helps)]);
    let accepted = State::Accepted { target: target(2) };
    one(accepted, Kind::Fact, "generation 2 is accepted and about to begin", "");
    let pull = Fault::new(Code::Pull, "no answer");
    let downloading =
        |fault| State::Downloading { target: target(2), attempt: 2, start_at: NOW.after(30), fault };
    one(downloading(None), Kind::Fact, "generation 2 is being fetched", "");
    let says = "generation 2 is being fetched, attempt 2 of 3; the last one failed: PULL: no answer";
    one(downloading(Some(pull.clone())), Kind::Waits, says, "this attempt begins in 30 s");
    let trial = |trial| State::Verifying {
        target: target(2),
        candidate: deployment(2),
        trial,
        watch: Watch::default(),
    };
    let says = "generation 2 is on trial and not healthy yet";
    one(
        trial(Trial::Starting(NOW)),
        Kind::Waits,
        says,
        "it has 2 min for that, else the good one comes back",
    );
    let says = "generation 2 is on trial and healthy";
    one(trial(Trial::Healthy(NOW)), Kind::Waits, says, "it is good once it stayed so for 5 min");
    let leaving = || Leaving::Candidate(target(2));
    let back = State::RollingBack {
        leaving: leaving(),
        fault: fault(),
        attempt: 1,
        start_at: NOW,
        way: Return::Switching,
    };
    let says = "generation 2 is left and the good one is on its way back: EXITED: site.web ended";
    one(back, Kind::Trouble, says, "next step now");
    let rolled_back = |later| State::RolledBack { generation: generation(2), fault: fault(), later };
    let says = "generation 2 was rolled back: EXITED: site.web ended";
    let helps = "not tried again by itself: publish a new generation, or say `coracle retry`";
    one(rolled_back(None), Kind::Trouble, says, helps);
    let later = Some((NOW.after(600), target(2)));
    one(
        rolled_back(later),
        Kind::Trouble,
        says,
        "it may have been the board's own trouble: tried again in 10 min",
    );
    let failed = |again| State::Failed { target: target(2), fault: pull.clone(), again };
    let says = "generation 2 failed before anything changed: PULL: no answer";
    one(
        failed(Again::At(NOW.after(3600))),
        Kind::Trouble,
        says,
        "tried again in 60 min; `coracle retry` tries it now",
    );
    // The clock has moved since it was planned.
    one(
        failed(Again::At(NOW.after(9_000_000))),
        Kind::Trouble,
        says,
        "tried again later; `coracle retry` tries it now",
    );
    let cause = Fault::new(Code::Stop, "it hangs").hint("look at it");
    let broken = State::Broken {
        leaving: leaving(),
        cause: fault(),
        fault: cause,
        attempt: 4,
        start_at: NOW.after(5),
    };
    let says = "generation 2 is left (EXITED: site.web ended), but the good one could not be brought back in 4 \
                attempts: STOP: it hangs";
    one(broken, Kind::Trouble, says, "look at it; tried again in 5 s; `coracle retry` tries it now");
    let canceled = State::Canceled { generation: generation(2) };
    one(canceled, Kind::Waits, "generation 2 was called off", "`coracle retry` begins it again");
}

#[test]
fn what_is_wanted_and_does_not_run_is_told_although_the_passage_speaks_of_something_else() {
    let mut record = record(State::Succeeded { generation: generation(1) });
    record.rollout.bad.push(Bad { generation: generation(2), fault: Fault::new(Code::Exited, "it ended") });
    let retry = "`coracle retry` tries it again; else publish a new generation";
    check(
        &record,
        &[
            (Kind::Waits, "generation 2 is wanted and does not run: EXITED: it ended", retry),
            (Kind::Fact, "generation 2 is not tried again by itself: EXITED: it ended", ""),
        ],
    );
    record.rollout.bad.clear();
    record.rollout.active = Some(deployment(2));
    let says: Vec<_> =
        told(&record, Agent::Live(&live()), &[]).into_iter().map(|remark| remark.says).collect();
    assert_eq!(says, ["generation 2 is good"]);
    // A hold is told before anything waits for it.
    record.hold = Some(Hold::new(NOW, "moving"));
    let remarks = told(&record, Agent::Live(&live()), &[]);
    assert_eq!(remarks[1].says, "the next update will wait, for updates are held: moving");
    let none = told(&Record::default(), Agent::Live(&live()), &[]);
    assert_eq!((none[0].says.as_str(), none[1].kind), ("nothing was deployed here yet", Kind::Waits));
    assert!(none[1].says.starts_with("no document has come"), "{none:#?}");
}

#[test]
fn what_is_wrong_beside_the_passage_is_told() {
    let record = record(State::Canceled { generation: generation(2) });
    let says = |agent: Agent<'_>, unwell: &[Unwell]| {
        let remarks = told(&record, agent, unwell);
        remarks.into_iter().skip(2).map(|remark| (remark.kind, remark.says)).collect::<Vec<_>>()
    };
    let absent = says(Agent::Absent, &[]);
    assert_eq!((absent.len(), absent[0].0), (1, Kind::Trouble));
    assert!(absent[0].1.starts_with("no agent runs here"), "{absent:#?}");
    assert!(says(Agent::Silent, &[])[0].1.contains("does not answer"));
    let link = Link::Unprovisioned { why: "broker.cert_file /c is not there".into() };
    let waits = says(Agent::Live(&Live { link, ..live() }), &[]);
    let why = "the board waits for its provisioning: broker.cert_file /c is not there";
    assert_eq!(waits, [(Kind::Waits, why.to_owned())]);
    let link = Link::Down { cause: Some("connection refused".into()), retry_in_s: 200 };
    let unkept = Some(Fault::new(Code::Runtime, "crun is gone"));
    let slowed = Some(Slowed { percent: 25, resource: Resource::Disk });
    let all = says(
        Agent::Live(&Live { link, durable: false, unkept, slowed }),
        &[
            Unwell {
                id: WorkloadId::parse("site.web").unwrap(),
                by_hand: false,
                how: "exited with 3".into(),
            },
            Unwell { id: WorkloadId::parse("site.job").unwrap(), by_hand: true, how: "stopped".into() },
        ],
    );
    let expected = [
        (Kind::Waits, "its images come at 25 % of full speed, because workloads wait for the disk"),
        (Kind::Trouble, "not connected to the broker: connection refused"),
        (Kind::Trouble, "the journal cannot be written, so nothing new is begun"),
        (Kind::Trouble, "the good deployment could not be kept running: RUNTIME: crun is gone"),
        (Kind::Trouble, "workload site.web: exited with 3"),
        (Kind::Fact, "workload site.job was stopped by hand"),
    ];
    assert_eq!(all, expected.map(|(kind, text)| (kind, text.to_owned())));
}
