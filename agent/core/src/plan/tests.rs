use super::*;
use crate::compose::{Condition, NetworkMode, Service};
use crate::deployment::{Generation, PinnedImage};
use crate::ident::ServiceName;
use crate::oci::{Digest, Platform};

fn id(text: &str) -> WorkloadId {
    WorkloadId::parse(text).unwrap()
}

fn workload(bytes: &str, needs: &[&str]) -> Workload {
    let mut service = Service::new(&format!("example/app:{bytes}"), NetworkMode::Host);
    for need in needs {
        service.depends_on.insert(ServiceName::parse(need).unwrap(), Condition::ServiceStarted);
    }
    let digest = Digest::of(bytes.as_bytes());
    let platform = Platform {
        os: "linux".into(),
        architecture: "arm64".into(),
        variant: None,
        os_version: None,
        os_features: Vec::new(),
    };
    let image = PinnedImage { reference: service.image.clone(), index: digest, manifest: digest, platform };
    Workload { service, image }
}

fn deployment(rows: &[(&str, &str, &[&str])]) -> Deployment {
    let workloads = rows.iter().map(|(name, bytes, needs)| (id(name), workload(bytes, needs))).collect();
    let generation = Generation { id: "x".into(), scope: "d/x".into(), number: 1, rev: 0 };
    Deployment { generation, workloads, volumes: BTreeMap::new() }
}

fn running(rows: &[(&str, &str, &[&str])]) -> BTreeMap<WorkloadId, Current> {
    let current = |workload| Current { workload, alive: true, standing: Standing::Healthy, beside: None };
    deployment(rows).workloads.into_iter().map(|(id, w)| (id, current(w))).collect()
}

#[track_caller]
fn check(now: &[(&str, &str, &[&str])], then: &[(&str, &str, &[&str])], steps: &str) {
    assert_eq!(written(&plan(&running(now), &deployment(then)).unwrap()), steps);
}

fn written(plan: &Plan) -> String {
    let step = |step: &Step| match step {
        Step::Remove(id) => format!("-{id}"),
        Step::Replace(id) => format!("~{id}"),
        Step::Start(id) => format!("+{id}"),
        Step::StartBeside(id) => format!("++{id}"),
        Step::TakeOver(id) => format!("!{id}"),
        Step::DropBeside(id) => format!("--{id}"),
    };
    let waits = plan.waits.iter().map(|wait| format!("({wait})"));
    plan.steps.iter().map(step).chain(waits).collect::<Vec<_>>().join(" ")
}

#[test]
fn only_what_changed_moves() {
    check(&[], &[], "");
    check(&[], &[("p.a", "1", &[])], "+p.a");
    check(&[("p.a", "1", &[])], &[("p.a", "1", &[])], "");
    check(&[("p.a", "1", &[]), ("p.b", "1", &[])], &[("p.a", "1", &[]), ("p.b", "2", &[])], "~p.b");
    check(&[("p.a", "1", &[])], &[("p.b", "1", &[])], "-p.a +p.b");
    check(&[("p.a", "1", &[])], &[], "-p.a");
}

#[test]
fn what_is_needed_starts_first_and_ends_last() {
    let two: &[(&str, &str, &[&str])] = &[("p.a", "1", &["z"]), ("p.z", "1", &[])];
    check(&[], two, "+p.z +p.a");
    check(two, &[], "-p.a -p.z");
}

#[test]
fn a_service_of_the_same_name_in_another_project_is_another_service() {
    check(&[], &[("p.a", "1", &["z"]), ("q.z", "1", &[])], "+p.a +q.z");
}

#[test]
fn what_a_person_started_by_hand_is_never_removed() {
    check(&[("local.mine", "1", &[])], &[("p.a", "1", &[])], "+p.a");
}

#[test]
fn a_dead_workload_is_started_again_and_a_new_tag_for_the_same_bytes_moves_nothing() {
    let mut now = running(&[("p.a", "1", &[])]);
    let mut then = deployment(&[("p.a", "1", &[])]);
    then.workloads.get_mut(&id("p.a")).unwrap().service.image = "example/app:other".into();
    assert_eq!(plan(&now, &then), Ok(Plan::default()));
    now.get_mut(&id("p.a")).unwrap().alive = false;
    assert_eq!(written(&plan(&now, &then).unwrap()), "+p.a");
}

#[test]
fn services_that_wait_for_each_other_are_refused_by_name() {
    let circle = deployment(&[("p.a", "1", &["b"]), ("p.b", "1", &["a"]), ("p.c", "1", &[])]);
    assert_eq!(plan(&BTreeMap::new(), &circle), Err(CircleError(vec![id("p.a"), id("p.b")])));
}

/// `p.a`, not there yet, depends on `p.z` in this condition.
#[track_caller]
fn waits(condition: Condition, z: Option<Standing>, steps: &str) {
    let mut then = deployment(&[("p.a", "1", &["z"]), ("p.z", "1", &[])]);
    let a = &mut then.workloads.get_mut(&id("p.a")).unwrap().service;
    a.depends_on.values_mut().for_each(|held| *held = condition);
    let mut now = running(&[("p.z", "1", &[])]);
    match z {
        Some(standing) => now.get_mut(&id("p.z")).unwrap().standing = standing,
        None => now.clear(),
    }
    assert_eq!(written(&plan(&now, &then).unwrap()), steps, "{condition:?} {z:?}");
}

#[test]
fn a_service_waits_until_what_it_depends_on_is_healthy() {
    let check = |z, steps| waits(Condition::ServiceHealthy, z, steps);
    check(None, "+p.z (p.a waits for p.z to be healthy)");
    check(Some(Standing::Starting), "(p.a waits for p.z to be healthy)");
    check(Some(Standing::Gone), "(p.a waits for p.z to be healthy)");
    check(Some(Standing::Healthy), "+p.a");
    check(Some(Standing::Unhealthy), "(p.a waits for p.z to be healthy, which is unhealthy)");
    check(Some(Standing::Ended(Some(7))), "(p.a waits for p.z to be healthy, which ended with exit code 7)");
    check(Some(Standing::Completed), "(p.a waits for p.z to be healthy, which failed)");
}

#[test]
fn a_service_waits_until_what_it_depends_on_has_completed() {
    let check = |z, steps| waits(Condition::ServiceCompletedSuccessfully, z, steps);
    check(None, "+p.z (p.a waits for p.z to complete)");
    check(Some(Standing::Starting), "(p.a waits for p.z to complete)");
    check(Some(Standing::Healthy), "(p.a waits for p.z to complete)");
    check(Some(Standing::Unhealthy), "(p.a waits for p.z to complete)");
    check(Some(Standing::Completed), "+p.a");
    check(Some(Standing::Ended(Some(1))), "(p.a waits for p.z to complete, which ended with exit code 1)");
    check(Some(Standing::Ended(None)), "(p.a waits for p.z to complete, which failed)");
}

#[test]
fn a_start_is_enough_for_who_wants_no_more_and_a_wait_is_passed_on() {
    waits(Condition::ServiceStarted, None, "+p.z +p.a");
    waits(Condition::ServiceStarted, Some(Standing::Unhealthy), "+p.a");
    let mut then = deployment(&[("p.a", "1", &["m"]), ("p.m", "1", &["z"]), ("p.z", "1", &[])]);
    let m = &mut then.workloads.get_mut(&id("p.m")).unwrap().service;
    m.depends_on.values_mut().for_each(|held| *held = Condition::ServiceHealthy);
    let waiting = "+p.z (p.m waits for p.z to be healthy) (p.a waits for p.m to start)";
    assert_eq!(written(&plan(&BTreeMap::new(), &then).unwrap()), waiting);
}

#[test]
fn an_old_one_runs_on_while_the_new_one_waits() {
    let old: &[(&str, &str, &[&str])] = &[("p.a", "1", &[]), ("p.z", "1", &[])];
    let mut then = deployment(&[("p.a", "2", &["z"]), ("p.z", "2", &[])]);
    let a = &mut then.workloads.get_mut(&id("p.a")).unwrap().service;
    a.depends_on.values_mut().for_each(|held| *held = Condition::ServiceHealthy);
    assert_eq!(written(&plan(&running(old), &then).unwrap()), "~p.z (p.a waits for p.z to be healthy)");
}

/// `p.a` runs as bytes 1 in this standing, perhaps with one beside it, and is to run as bytes 2, start-first; `p.z`
/// depends on it.
#[track_caller]
fn beside(now: Standing, new: Option<(&str, Standing)>, steps: &str) {
    let start_first = |bytes: &str| {
        let mut workload = workload(bytes, &[]);
        workload.service.update.order = UpdateOrder::StartFirst;
        workload
    };
    let mut then = deployment(&[("p.z", "1", &["a"])]);
    then.workloads.insert(id("p.a"), start_first("2"));
    let new = new.map(|(bytes, standing)| Beside { workload: start_first(bytes), standing });
    let old = Current { workload: start_first("1"), alive: true, standing: now, beside: new };
    let current = BTreeMap::from([(id("p.a"), old)]);
    assert_eq!(written(&plan(&current, &then).unwrap()), steps);
}

#[test]
fn the_new_one_starts_first_and_takes_over_when_it_is_well() {
    let waiting = "(the new p.a is not healthy yet) (p.z waits for p.a to start)";
    beside(Standing::Healthy, None, &format!("++p.a {waiting}"));
    beside(Standing::Unhealthy, None, &format!("++p.a {waiting}"));
    beside(Standing::Healthy, Some(("2", Standing::Starting)), waiting);
    beside(Standing::Healthy, Some(("2", Standing::Healthy)), "!p.a +p.z");
    beside(Standing::Healthy, Some(("2", Standing::Completed)), "!p.a +p.z");
    let ill = "(the new p.a is not healthy yet, which is unhealthy) (p.z waits for p.a to start)";
    beside(Standing::Healthy, Some(("2", Standing::Unhealthy)), ill);
    beside(Standing::Healthy, Some(("2", Standing::Gone)), &format!("--p.a ++p.a {waiting}"));
    // Another generation's new one makes room.
    beside(Standing::Healthy, Some(("3", Standing::Healthy)), &format!("--p.a ++p.a {waiting}"));
}

#[test]
fn an_old_one_that_serves_nobody_is_not_waited_with() {
    beside(Standing::Gone, None, "~p.a +p.z");
    beside(Standing::Ended(Some(1)), None, "~p.a +p.z");
    beside(Standing::Gone, Some(("2", Standing::Starting)), "!p.a +p.z");
}

#[test]
fn going_back_drops_the_new_one_and_touches_nothing_else() {
    let then = deployment(&[("p.a", "1", &[])]);
    let mut now = running(&[("p.a", "1", &[])]);
    let new = Beside { workload: workload("2", &[]), standing: Standing::Unhealthy };
    now.get_mut(&id("p.a")).unwrap().beside = Some(new);
    assert_eq!(written(&plan(&now, &then).unwrap()), "--p.a");
}
