//! An agent that is killed wherever an update may stand, and a board that loses its power.

use serde_json::json;

use super::bench::{Bench, PATIENCE, broker, idle, push};
use super::document::{Desired, site};
use coracle_test_support::faults::{Fault, FaultRegistry, On, Times};
use coracle_test_support::process::eventually;
use coracle_test_support::registry::Registry;

#[test]
fn an_agent_killed_at_any_step_finishes_the_update_after_its_restart() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("steady", "1", &idle("steady"));
    let mut bench = Bench::start(&broker, &registry.host(), "killed");
    let steady = registry.reference("steady:1");
    let project = |web: &str| json!({"site": {"services": {"web": {"image": web}}}, "tools": {"services": {"log": {"image": steady}}}});
    let mut log = None;
    // The step is a lower bound: by the time of the kill the agent may be further.
    let steps = ["ACCEPTED", "DOWNLOADING", "STAGED", "APPLYING", "VERIFYING", "SUCCEEDED"];
    for (generation, step) in (1..).zip(steps) {
        registry.put_image("app", &generation.to_string(), &idle(step));
        let web = registry.reference(&format!("app:{generation}"));
        let desired = Desired::new("killed", generation, project(&web)).policy(&json!({"soak": 1}));
        desired.send(&broker);
        bench.until_said("event", |event| event["desired"]["gen"] == generation && event["to"] == step);
        bench.board.crash().unwrap();
        bench.board.start().unwrap();
        bench.until_state(generation, "SUCCEEDED");
        bench.until_log("web", step);
        let running = bench.process("tools.log");
        assert_eq!(log.get_or_insert_with(|| running.clone()), &running, "{step}: the other workload moved");
    }
}

#[test]
fn an_agent_killed_within_a_download_begins_it_again() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    registry.put_image("next", "2", &idle("two"));
    let mut bench = Bench::start(&broker, &registry.host(), "within");
    bench.deploy(&broker, &Desired::new("within", 1, site(&registry.reference("app:1"))));
    let process = bench.process("site.web");
    let blobs = "/v2/next/blobs/";
    registry.script(On::get(blobs), Times::Next(1), Fault::Stall { after: 10 });
    Desired::new("within", 2, site(&registry.reference("next:2"))).send(&broker);
    eventually(PATIENCE, || registry.requests().iter().any(|seen| seen.path.contains(blobs)));
    bench.board.crash().unwrap();
    assert_eq!(bench.process("site.web"), process, "the workload went with the agent");
    bench.board.start().unwrap();
    bench.until_state(2, "SUCCEEDED");
    bench.until_log("web", "two");
}

#[test]
fn an_agent_killed_within_a_trial_begins_it_again_and_leaves_the_candidate_alone() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    let mut bench = Bench::start(&broker, &registry.host(), "trial");
    let desired = Desired::new("trial", 1, site(&registry.reference("app:1")));
    desired.policy(&json!({"soak": 5})).send(&broker);
    bench.until_said("event", |event| event["to"] == "VERIFYING");
    eventually(PATIENCE, || bench.ps().iter().any(|workload| workload["state"] == "running"));
    let process = bench.process("site.web");
    bench.board.crash().unwrap();
    bench.board.start().unwrap();
    bench.until_state(1, "SUCCEEDED");
    assert_eq!(bench.process("site.web"), process, "the candidate was started again");
}

#[test]
fn a_board_without_broker_and_registry_runs_what_it_ran_before_the_power_cut() {
    let mut broker = broker();
    let registry = Registry::start().unwrap();
    let mut bench = Bench::start(&broker, &registry.host(), "power");
    let image = push(&registry, "site:1", &idle("one"));
    bench.deploy(&broker, &Desired::new("power", 1, site(&image)));
    bench.ask(&["run", "-d", "--restart", "always", "--name", "mine", &image]);
    bench.ask(&["run", "-d", "--name", "once", &image]);
    let before = [bench.process("site.web"), bench.process("local.mine")];

    bench.board.cut_power().unwrap();
    drop(registry);
    broker.process().kill().unwrap();
    bench.board.start().unwrap();
    for (id, old) in ["site.web", "local.mine"].into_iter().zip(before) {
        let runs = |ps: &[serde_json::Value]| ps.iter().any(|w| w["id"] == id && w["state"] == "running");
        eventually(PATIENCE, || if runs(&bench.ps()) { Ok(()) } else { Err(bench.ps()) });
        assert_ne!(bench.process(id), old, "{id}");
    }
    let log = bench.board.agent().unwrap().output();
    assert!(log.contains("not connected to the broker"), "{log}");
    let status = bench.ask(&["status"]);
    assert!(status.contains("agent     running") && status.contains("site.web: running"), "{status}");
}
