//! Generations that do not hold: the one before comes back by itself, and the bad one is remembered.

use serde_json::{Value, json};

use super::bench::{Bench, broker, idle, image};
use super::document::Desired;
use coracle_test_support::faults::FaultRegistry;

/// A second generation that fails its trial with `code`, after which everything must be as before.
fn check(device: &str, service: impl Fn(&str) -> Value, code: &str, says: &str) {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    registry.put_image("app", "3", &idle("three"));
    registry.put_image("app", "crash", &image(&["sh", "-c", "echo dying; exit 1"], "two"));
    let project = |web: Value| json!({"site": {"services": {"web": web}}});
    let good = |tag: &str| project(json!({"image": registry.reference(tag), "restart": "unless-stopped"}));
    let bench = Bench::start(&broker, &registry.host(), device);
    bench.deploy(&broker, &Desired::new(device, 1, good("app:1")));

    let policy = json!({"health": 3, "soak": 3});
    let bad = Desired::new(device, 2, project(service(&registry.host()))).policy(&policy);
    bad.send(&broker);
    let state = bench.until_state(2, "ROLLED_BACK");
    let error = &state["deployment"]["error"];
    assert_eq!(error["code"], code, "{state:#}");
    assert!(error["message"].as_str().unwrap().contains(says), "{state:#}");
    assert_eq!(state["bad"], json!([{"gen": 2, "code": code}]), "{state:#}");
    assert_eq!(state["lastGood"]["gen"], 1, "{state:#}");
    let first = bench.process("site.web");
    bench.until_log("web", "one");

    // The operator insists: the same generation under another revision.
    Desired { rev: 1, ..bad }.send(&broker);
    bench.until_event("REJECTED", "KNOWN_BAD");
    assert_eq!(bench.process("site.web"), first, "a bad generation was tried again");

    bench.deploy(&broker, &Desired::new(device, 3, good("app:3")));
    bench.until_log("web", "three");
}

#[test]
fn a_generation_that_ends_is_rolled_back() {
    check("ends", |host| json!({"image": format!("{host}/app:crash")}), "EXITED", "exit code 1");
}

#[test]
fn a_generation_that_crashes_each_time_it_starts_is_rolled_back() {
    let service = |host: &str| json!({"image": format!("{host}/app:crash"), "restart": "unless-stopped"});
    check("crashes", service, "EXITED", "times in a row: the last time it ended with exit code 1");
}

#[test]
fn a_generation_whose_program_is_not_there_is_rolled_back() {
    let service = |host: &str| json!({"image": format!("{host}/app:3"), "command": ["/nowhere"]});
    check("missing", service, "START", "/nowhere");
}

#[test]
fn a_generation_that_never_becomes_healthy_is_rolled_back() {
    let healthcheck = json!({"test": "echo not today; false", "interval": "1s", "retries": 100});
    let service = |host: &str| json!({"image": format!("{host}/app:3"), "healthcheck": healthcheck});
    let says = "not healthy within 3 s: site.web has not passed a health check yet";
    check("sick", service, "HEALTH_TIMEOUT", says);
}

#[test]
fn a_generation_whose_checks_fail_often_enough_is_rolled_back_before_its_time_is_over() {
    let healthcheck = json!({"test": "echo not today; false", "interval": "200ms", "retries": 2});
    let service = |host: &str| json!({"image": format!("{host}/app:3"), "healthcheck": healthcheck});
    let says = "site.web is unhealthy: failed with exit code 1: not today";
    check("ill", service, "UNHEALTHY", says);
}

#[test]
fn a_generation_that_is_healthy_and_dies_during_the_soak_is_rolled_back() {
    let script = "sleep 1; echo dying; exit 9";
    let service = |host: &str| json!({"image": format!("{host}/app:3"), "command": ["sh", "-c", script]});
    check("dies", service, "EXITED", "site.web ended on trial: it ended with exit code 9");
}

#[test]
fn a_generation_that_is_healthy_and_falls_ill_during_the_soak_is_rolled_back() {
    let script = "echo > /ok; sleep 1; rm /ok; trap 'exit 0' TERM; sleep 100000 & wait";
    let service = |host: &str| {
        let healthcheck = json!({"test": "test -e /ok", "interval": "200ms", "retries": 2});
        let command = ["sh", "-c", script];
        json!({"image": format!("{host}/app:3"), "command": command, "healthcheck": healthcheck})
    };
    check("falls", service, "UNHEALTHY", "site.web is unhealthy: failed with exit code 1");
}

#[test]
fn a_generation_whose_checks_pass_and_fail_in_turn_is_rolled_back() {
    let line = "n=$(cat /count || echo 0); echo $((n + 1)) > /count; exit $((n % 2))";
    let service = |host: &str| {
        let healthcheck = json!({"test": line, "interval": "200ms", "retries": 3});
        json!({"image": format!("{host}/app:3"), "healthcheck": healthcheck})
    };
    check("flaps", service, "UNHEALTHY", "site.web is unhealthy");
}

#[test]
fn a_bad_first_generation_leaves_nothing_behind() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "crash", &image(&["false"], "one"));
    let bench = Bench::start(&broker, &registry.host(), "first");
    let web = json!({"image": registry.reference("app:crash")});
    let desired = Desired::new("first", 1, json!({"site": {"services": {"web": web}}}));
    desired.policy(&json!({"soak": 3})).send(&broker);
    let state = bench.until_state(1, "ROLLED_BACK");
    assert_eq!((&state["lastGood"], &state["running"]["gen"]), (&Value::Null, &Value::Null), "{state:#}");
    assert!(bench.ps().is_empty(), "{:#?}", bench.ps());
}

#[test]
fn a_failed_trial_is_left_as_it_is_where_the_policy_says_pause() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    registry.put_image("app", "crash", &image(&["sh", "-c", "echo dying; exit 7"], "two"));
    let project = |tag: &str| json!({"site": {"services": {"web": {"image": registry.reference(tag)}}}});
    let bench = Bench::start(&broker, &registry.host(), "pause");
    bench.deploy(&broker, &Desired::new("pause", 1, project("app:1")));
    let bad = Desired::new("pause", 2, project("app:crash"));
    bad.policy(&json!({"soak": 3, "onFailure": "pause"})).send(&broker);
    let state = bench.until_state(2, "PAUSED");
    assert_eq!(state["deployment"]["error"]["code"], "EXITED", "{state:#}");
    bench.until_log("web", "dying");
    bench.deploy(&broker, &Desired::new("pause", 3, project("app:1")));
}
