//! Services that wait for others: until these are healthy, or have done their work.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::bench::{Bench, PATIENCE, broker, idle, image};
use super::document::Desired;
use coracle_test_support::faults::FaultRegistry;
use coracle_test_support::process::eventually;

/// What a service's volume `data` of project `site` holds on the board.
fn data(bench: &Bench, file: &str) -> PathBuf {
    bench.board.state_dir().join("volumes/site_data").join(file)
}

fn names(bench: &Bench) -> Vec<String> {
    bench.ps().iter().map(|workload| workload["id"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn until_healthy(bench: &Bench, id: &str, state: &str) {
    eventually(PATIENCE, || {
        let all = bench.ps();
        let is = |workload: &Value| workload["id"] == id && workload["health"]["state"] == state;
        if all.iter().any(is) { Ok(()) } else { Err(all) }
    });
}

/// A database that is healthy once there is a file, and a site that waits for it.
fn project(app: &str) -> Value {
    let ready = json!({"test": "test -e /data/ready", "interval": "200ms", "retries": 1000});
    let db = json!({"image": app, "volumes": ["data:/data"], "healthcheck": ready});
    let web = json!({"image": app, "depends_on": {"db": {"condition": "service_healthy"}}});
    json!({"site": {"services": {"db": db, "web": web}, "volumes": {"data": {}}}})
}

#[test]
fn a_service_starts_when_what_it_depends_on_is_healthy_also_after_a_boot() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    let mut bench = Bench::start(&broker, &registry.host(), "waits");
    Desired::new("waits", 1, project(&registry.reference("app:1"))).send(&broker);
    bench.until_state(1, "VERIFYING");
    until_healthy(&bench, "site.db", "starting");
    assert_eq!(names(&bench), ["site.db"]);
    fs::write(data(&bench, "ready"), "").unwrap();
    let state = bench.until_state(1, "SUCCEEDED");
    assert_eq!(names(&bench), ["site.db", "site.web"]);
    let site = &state["running"]["projects"]["site"];
    assert_eq!((&site["health"], &site["services"]["db"]["health"]), (&json!("healthy"), &json!("healthy")));

    // Whoever runs is left alone although what it depends on is not well any more.
    let before = bench.process("site.web");
    fs::remove_file(data(&bench, "ready")).unwrap();
    bench.board.cut_power().unwrap();
    bench.board.start().unwrap();
    until_healthy(&bench, "site.db", "starting");
    assert_eq!(names(&bench), ["site.db"]);
    fs::write(data(&bench, "ready"), "").unwrap();
    let runs = |workload: &Value| workload["id"] == "site.web" && workload["state"] == "running";
    eventually(PATIENCE, || if bench.ps().iter().any(runs) { Ok(()) } else { Err(bench.ps()) });
    assert_ne!(bench.process("site.web"), before);
}

#[test]
fn a_roll_back_waits_for_what_the_good_one_depends_on() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    registry.put_image("app", "bad", &image(&["sh", "-c", "exit 7"], "bad"));
    let bench = Bench::start(&broker, &registry.host(), "back");
    Desired::new("back", 1, project(&registry.reference("app:1"))).send(&broker);
    eventually(PATIENCE, || data(&bench, "").exists());
    fs::write(data(&bench, "ready"), "").unwrap();
    bench.until_state(1, "SUCCEEDED");
    // The bad generation takes the site away and breaks the database.
    let mut bad = project(&registry.reference("app:bad"));
    bad["site"]["services"].as_object_mut().unwrap().remove("web");
    Desired::new("back", 2, bad).send(&broker);
    let state = bench.until_state(2, "ROLLED_BACK");
    assert_eq!(state["deployment"]["error"]["service"], "db", "{state:#}");
    assert_eq!(names(&bench), ["site.db", "site.web"]);
    bench.process("site.web");
}

/// A job that adds a line to a file and ends with `code`, and a site of image `app` that waits for it.
fn job(app: &str, code: u8) -> Value {
    let line = format!("echo ran >> /data/lines; exit {code}");
    let init = json!({"image": app, "command": ["sh", "-c", line], "volumes": ["data:/data"]});
    let web = json!({"image": app, "depends_on": {"init": {"condition": "service_completed_successfully"}}});
    json!({"site": {"services": {"init": init, "web": web}, "volumes": {"data": {}}}})
}

#[test]
fn a_service_starts_when_a_job_is_done_which_is_not_run_again_while_it_is_the_same() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    registry.put_image("app", "2", &idle("two"));
    let bench = Bench::start(&broker, &registry.host(), "job");
    let ran = || fs::read_to_string(data(&bench, "lines")).unwrap();
    let mut wanted = job(&registry.reference("app:1"), 0);
    bench.deploy(&broker, &Desired::new("job", 1, wanted.clone()));
    assert_eq!(ran(), "ran\n");
    let first = bench.process("site.web");

    wanted["site"]["services"]["web"]["image"] = json!(registry.reference("app:2"));
    bench.deploy(&broker, &Desired::new("job", 2, wanted));
    assert_ne!(bench.process("site.web"), first);
    assert_eq!(ran(), "ran\n", "a job that did not change was run again");
}

#[test]
fn a_job_that_fails_takes_its_generation_back_and_is_named() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    let bench = Bench::start(&broker, &registry.host(), "vain");
    let app = registry.reference("app:1");
    bench.deploy(&broker, &Desired::new("vain", 1, job(&app, 0)));
    let web = bench.process("site.web");
    Desired::new("vain", 2, job(&app, 3)).send(&broker);
    let state = bench.until_state(2, "ROLLED_BACK");
    let error = &state["deployment"]["error"];
    assert_eq!((&error["code"], &error["service"]), (&json!("EXITED"), &json!("init")), "{state:#}");
    assert!(error["message"].as_str().unwrap().contains("exit code 3"), "{state:#}");
    assert_eq!(bench.process("site.web"), web, "a service that did not change moved");
}

#[test]
fn a_service_that_falls_ill_after_its_trial_is_told_and_left_alone() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    let mut bench = Bench::start(&broker, &registry.host(), "ill");
    let check =
        json!({"test": "test ! -e /data/ill || { echo sick; false; }", "interval": "200ms", "retries": 2});
    let web = json!({"image": registry.reference("app:1"), "volumes": ["data:/data"], "healthcheck": check});
    let site = json!({"site": {"services": {"web": web}, "volumes": {"data": {}}}});
    bench.deploy(&broker, &Desired::new("ill", 1, site));
    let process = bench.process("site.web");
    let told = |health: &str| {
        bench.until_said("state", |state| {
            let web = &state["running"]["projects"]["site"]["services"]["web"];
            web["health"] == health && state["deployment"]["status"] == "SUCCEEDED"
        })
    };
    told("healthy");
    fs::write(data(&bench, "ill"), "").unwrap();
    let state = told("unhealthy");
    let site = &state["running"]["projects"]["site"];
    let why = "failed with exit code 1: sick";
    assert_eq!((&site["health"], &site["services"]["web"]["why"]), (&json!("unhealthy"), &json!(why)));
    assert_eq!(bench.process("site.web"), process, "it was touched");
    fs::remove_file(data(&bench, "ill")).unwrap();
    eventually(PATIENCE, || {
        let log = bench.board.agent().unwrap().output();
        let both = log.contains("a workload is unhealthy") && log.contains("a workload is healthy again");
        if both { Ok(()) } else { Err(log) }
    });
}

#[test]
fn checks_go_on_without_the_agent() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    let mut bench = Bench::start(&broker, &registry.host(), "alone");
    let check = json!({"test": "test -e /data/ready", "interval": "200ms", "retries": 2});
    let web = json!({"image": registry.reference("app:1"), "volumes": ["data:/data"], "healthcheck": check});
    let site = json!({"site": {"services": {"web": web}, "volumes": {"data": {}}}});
    let policy = json!({"onFailure": "pause"});
    Desired::new("alone", 1, site).policy(&policy).send(&broker);
    eventually(PATIENCE, || data(&bench, "").exists());
    fs::write(data(&bench, "ready"), "").unwrap();
    until_healthy(&bench, "site.web", "healthy");
    bench.board.crash().unwrap();
    fs::remove_file(data(&bench, "ready")).unwrap();
    until_healthy(&bench, "site.web", "unhealthy");
    let status = bench.ask(&["status"]);
    assert!(status.contains("unhealthy; its last check failed with exit code 1"), "{status}");
    fs::write(data(&bench, "ready"), "").unwrap();
    until_healthy(&bench, "site.web", "healthy");
}
