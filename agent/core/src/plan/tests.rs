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
    let current = |workload| Current { workload, alive: true };
    deployment(rows).workloads.into_iter().map(|(id, w)| (id, current(w))).collect()
}

#[track_caller]
fn check(now: &[(&str, &str, &[&str])], then: &[(&str, &str, &[&str])], steps: &str) {
    let written: Vec<String> = plan(&running(now), &deployment(then))
        .unwrap()
        .into_iter()
        .map(|step| match step {
            Step::Remove(id) => format!("-{id}"),
            Step::Replace(id) => format!("~{id}"),
            Step::Start(id) => format!("+{id}"),
        })
        .collect();
    assert_eq!(written.join(" "), steps);
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
    assert_eq!(plan(&now, &then), Ok(vec![]));
    now.get_mut(&id("p.a")).unwrap().alive = false;
    assert_eq!(plan(&now, &then), Ok(vec![Step::Start(id("p.a"))]));
}

#[test]
fn services_that_wait_for_each_other_are_refused_by_name() {
    let circle = deployment(&[("p.a", "1", &["b"]), ("p.b", "1", &["a"]), ("p.c", "1", &[])]);
    assert_eq!(plan(&BTreeMap::new(), &circle), Err(CircleError(vec![id("p.a"), id("p.b")])));
}
