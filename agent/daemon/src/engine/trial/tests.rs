use coracle_core::compose::{Condition, NetworkMode, Service};
use coracle_core::deployment::{Generation, PinnedImage, Workload};
use coracle_core::oci::{Digest, Platform};
use coracle_core::plan::Standing;
use coracle_core::time::Timestamp;
use coracle_host::supervise::Checked;

use super::*;

fn id(name: &str) -> WorkloadId {
    WorkloadId::parse(&format!("site.{name}")).unwrap()
}

/// A candidate of these services.
fn candidate(names: &[&str]) -> Deployment {
    let image = PinnedImage {
        reference: "example/app".into(),
        index: Digest::of(b"index"),
        manifest: Digest::of(b"manifest"),
        platform: Platform::linux("arm", "v7"),
    };
    let workload = Workload { service: Service::new("example/app", NetworkMode::Host), image };
    Deployment {
        generation: Generation { id: "x".into(), scope: "d/x".into(), number: 2, rev: 0 },
        workloads: names.iter().map(|name| (id(name), workload.clone())).collect(),
        volumes: BTreeMap::new(),
    }
}

fn status(name: &str, phase: Phase) -> Status {
    Status { phase, ..Status::starting(&id(name)) }
}

fn checked(name: &str, state: State, why: Option<&str>) -> Status {
    let why = why.map(str::to_owned);
    let health = Checked { state, since: Timestamp(0), streak: 0, why };
    Status { health: Some(health), ..status(name, Phase::Running) }
}

fn restarted(name: &str, phase: Phase, restarts: u32) -> Status {
    Status { restarts, exit_code: Some(1), ..status(name, phase) }
}

fn written(observation: &Observation) -> String {
    match observation {
        Observation::Healthy { restarts: 0 } => "healthy".to_owned(),
        Observation::Healthy { restarts } => format!("healthy, {restarts} restarts"),
        Observation::Starting(why) => {
            format!("starting: {}", why.as_ref().map_or("", |why| why.message()))
        }
        Observation::Unhealthy(why) => format!("{}: {}", why.code.wire(), why.message()),
    }
}

/// One look after the other at the candidate `web`, and what each came to.
#[track_caller]
fn check(looks: &[(Status, &str)]) {
    let mut trial = Trial::default();
    for (status, expected) in looks {
        let seen = trial.look(&candidate(&["web"]), std::slice::from_ref(status), &[]);
        let seen = written(&seen);
        assert!(seen.starts_with(expected), "{seen:?} is not {expected:?}");
    }
}

#[test]
fn what_runs_is_healthy_unless_its_checks_say_otherwise() {
    check(&[(status("web", Phase::Starting), "starting: site.web does not run")]);
    check(&[(status("web", Phase::Running), "healthy")]);
    check(&[
        (checked("web", State::Starting, None), "starting: site.web has not passed a health check yet"),
        (
            checked("web", State::Starting, Some("exit code 1: no")),
            "starting: site.web has not passed a health check yet: exit code 1: no",
        ),
        (checked("web", State::Healthy, None), "healthy"),
        (checked("web", State::Unhealthy, Some("no")), "UNHEALTHY: site.web is unhealthy: no"),
    ]);
}

#[test]
fn what_ended_well_is_healthy_and_what_ended_otherwise_failed() {
    check(&[(Status { exit_code: Some(0), ..status("web", Phase::Exited) }, "healthy")]);
    check(&[(
        Status { exit_code: Some(3), ..status("web", Phase::Exited) },
        "EXITED: site.web ended on trial",
    )]);
    check(&[(status("web", Phase::Failed), "EXITED")]);
    check(&[(status("web", Phase::Lost), "EXITED")]);
}

#[test]
fn what_a_person_had_stopped_before_the_trial_does_not_fail_it() {
    check(&[(status("web", Phase::Stopped), "healthy"), (status("web", Phase::Stopped), "healthy")]);
    check(&[(status("web", Phase::Running), "healthy"), (status("web", Phase::Stopped), "EXITED")]);
}

#[test]
fn restarts_are_told_and_the_third_of_the_trial_fails_it() {
    check(&[
        (restarted("web", Phase::Running, 0), "healthy"),
        (restarted("web", Phase::Running, 1), "healthy, 1 restarts"),
        (restarted("web", Phase::BackingOff, 1), "starting: site.web does not run"),
        (restarted("web", Phase::Running, 3), "EXITED: site.web ended"),
    ]);
    // The restarts of one that did not change are older than the trial.
    check(&[
        (restarted("web", Phase::Running, 40), "healthy, 40 restarts"),
        (restarted("web", Phase::BackingOff, 41), "starting"),
        (restarted("web", Phase::Running, 42), "healthy, 42 restarts"),
        (restarted("web", Phase::BackingOff, 43), "EXITED"),
    ]);
    // Started anew by hand, it counts from the beginning.
    check(&[
        (restarted("web", Phase::Running, 40), "healthy, 40 restarts"),
        (restarted("web", Phase::Running, 0), "healthy"),
        (restarted("web", Phase::Running, 2), "healthy, 2 restarts"),
        (restarted("web", Phase::Running, 3), "EXITED"),
    ]);
}

#[test]
fn what_waits_is_named_and_so_is_what_it_waits_for_in_vain() {
    let wait = |outlook| Wait {
        id: id("web"),
        on: id("db"),
        condition: Condition::ServiceCompletedSuccessfully,
        outlook,
    };
    let look = |db: Status, outlook| {
        // The old one of `web` runs on while the new one waits.
        let statuses = [db, status("web", Phase::Running)];
        let candidate = candidate(&["db", "web"]);
        written(&Trial::default().look(&candidate, &statuses, &[wait(outlook)]))
    };
    let open = look(status("db", Phase::Running), Outlook::Open);
    assert_eq!(open, "starting: site.web waits for site.db to complete");
    let ended = Outlook::Failed(Standing::Ended(Some(1)));
    let vain = look(status("db", Phase::Running), ended);
    assert_eq!(vain, "UNHEALTHY: site.web waits for site.db to complete, which ended with exit code 1");
    let own = look(Status { exit_code: Some(1), ..status("db", Phase::Exited) }, ended);
    assert_eq!(own, "EXITED: site.db ended on trial: it ended with exit code 1");
    let absent = Trial::default().look(&candidate(&["web"]), &[], &[]);
    assert_eq!(written(&absent), "starting: site.web does not run");
}

/// Found by the simulation: one that was lost and started anew between two looks was taken for the one before, whose
/// time of health it then had.
#[test]
fn one_that_was_started_anew_between_two_looks_counts_as_restarted() {
    let since = |second, restarts| Status {
        started_at: Some(Timestamp(second)),
        ..Status { restarts, ..status("web", Phase::Running) }
    };
    check(&[
        (since(5, 0), "healthy"),
        (since(5, 0), "healthy"),
        (since(9, 0), "healthy, 1 restarts"),
        (since(9, 0), "healthy, 1 restarts"),
        // Its own count goes up by itself, and is not lost when another takes its place.
        (since(12, 2), "healthy, 3 restarts"),
        (since(20, 0), "healthy, 4 restarts"),
    ]);
}
