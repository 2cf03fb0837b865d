//! What runs keeps running: killed shims, careless hands, data of volumes, images that a roll back needs.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::bench::{Bench, PATIENCE, broker, idle, image};
use super::document::{Desired, site};
use coracle_test_support::broker::Broker;
use coracle_test_support::faults::FaultRegistry;
use coracle_test_support::process::eventually;

fn running(device: &str) -> (Broker, FaultRegistry, Bench) {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    let bench = Bench::start(&broker, &registry.host(), device);
    bench.deploy(&broker, &Desired::new(device, 1, site(&registry.reference("app:1"))));
    (broker, registry, bench)
}

/// Waits until the workload runs as another process than `old`.
#[track_caller]
fn comes_back(bench: &Bench, old: &(i64, String)) {
    eventually(PATIENCE, || {
        let workloads = bench.ps();
        let again = |w: &serde_json::Value| {
            w["id"] == "site.web" && w["state"] == "running" && w["pid"].as_i64() != Some(old.0)
        };
        if workloads.iter().any(again) { Ok(()) } else { Err(workloads) }
    });
}

#[test]
fn a_workload_whose_shim_was_killed_comes_back() {
    let (_broker, _registry, bench) = running("lost");
    let process = bench.process("site.web");
    // proc_pid_stat(5): the parent is the second field after the name.
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.0)).unwrap();
    let shim = stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
    kill(Pid::from_raw(shim), Signal::SIGKILL).unwrap();
    comes_back(&bench, &process);
    let count = bench.ps().len();
    assert_eq!(count, 1, "the old container was left beside the new one");
    // Where nobody waits for orphans a dead one stays listed.
    let old = fs::read_to_string(format!("/proc/{}/stat", process.0)).unwrap_or_default();
    let state = old.rsplit(") ").next().and_then(|rest| rest.chars().next());
    assert!(matches!(state, None | Some('Z')), "the old process still runs: {old}");
}

#[test]
fn a_workload_that_was_removed_by_hand_comes_back() {
    let (_broker, _registry, bench) = running("removed");
    let process = bench.process("site.web");
    bench.ask(&["rm", "-f", "web"]);
    comes_back(&bench, &process);
}

#[test]
fn a_workload_that_was_stopped_by_hand_stays_so_until_the_next_generation() {
    let (broker, registry, mut bench) = running("stopped");
    bench.ask(&["stop", "web"]);
    bench.board.stop().unwrap();
    bench.board.start().unwrap();
    eventually(PATIENCE, || bench.said("up").iter().filter(|up| up["up"] == true).count() > 1);
    assert_eq!(bench.ps()[0]["state"], "stopped", "{:#?}", bench.ps());
    registry.put_image("app", "2", &idle("two"));
    bench.deploy(&broker, &Desired::new("stopped", 2, site(&registry.reference("app:2"))));
    bench.process("site.web");
}

#[test]
fn a_volume_keeps_its_data_over_generations_and_removal() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    // Each start adds a line, and shows them all.
    let script = "cat /word >> /data/lines; cat /data/lines; trap 'exit 0' TERM; sleep 100000 & wait";
    for tag in ["1", "2", "4"] {
        registry.put_image("app", tag, &image(&["sh", "-c", script], tag));
    }
    let bench = Bench::start(&broker, &registry.host(), "volume");
    let project = |tag: &str| {
        let web = json!({"image": registry.reference(&format!("app:{tag}")), "volumes": ["data:/data"]});
        json!({"site": {"services": {"web": web}, "volumes": {"data": {}}}})
    };
    let shows = |lines: &str| {
        eventually(PATIENCE, || {
            let log = bench.ask(&["logs", "web"]);
            if log.split_whitespace().collect::<String>() == lines { Ok(()) } else { Err(log) }
        });
    };
    bench.deploy(&broker, &Desired::new("volume", 1, project("1")));
    shows("1");
    bench.deploy(&broker, &Desired::new("volume", 2, project("2")));
    shows("12");
    bench.deploy(&broker, &Desired::new("volume", 3, json!({})));
    bench.deploy(&broker, &Desired::new("volume", 4, project("4")));
    shows("124");
}

#[test]
fn what_does_not_change_is_the_same_process_over_an_update_and_a_roll_back() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    for tag in ["1", "2"] {
        registry.put_image("app", tag, &idle(tag));
    }
    registry.put_image("app", "bad", &image(&["sh", "-c", "rm -f /data/*; exit 1"], "bad"));
    let bench = Bench::start(&broker, &registry.host(), "steady");
    // They are joined in every way that could make one move with the other.
    let project = |tag: &str| {
        let web = json!({"image": registry.reference(&format!("app:{tag}")), "depends_on": ["db"], "volumes": ["own:/data"]});
        let db = json!({"image": registry.reference("app:1"), "volumes": ["data:/data"], "restart": "unless-stopped",
            "healthcheck": {"test": "true", "interval": "1s"}});
        let log = json!({"image": registry.reference("app:1"), "volumes": ["data:/data:ro"],
            "depends_on": {"db": {"condition": "service_healthy"}}});
        json!({"site": {"services": {"web": web, "db": db, "log": log}, "volumes": {"data": {}, "own": {}}}})
    };
    bench.deploy(&broker, &Desired::new("steady", 1, project("1")));
    bench.ask(&["exec", "db", "sh", "-c", "echo rows > /data/table"]);
    let steady = ["site.db", "site.log"].map(|id| bench.process(id));
    let web = bench.process("site.web");
    bench.deploy(&broker, &Desired::new("steady", 2, project("2")));
    let updated = bench.process("site.web");
    assert_ne!(updated, web);
    Desired::new("steady", 3, project("bad")).policy(&json!({"soak": 3})).send(&broker);
    bench.until_state(3, "ROLLED_BACK");
    assert_ne!(bench.process("site.web"), updated);
    assert_eq!(["site.db", "site.log"].map(|id| bench.process(id)), steady, "what did not change moved");
    assert_eq!(bench.ask(&["exec", "log", "cat", "/data/table"]), "rows\n");
}

/// Guards against starting anew what a power cut ended by removing it first: no test looked into its root.
#[test]
fn what_a_workload_changed_in_its_root_is_there_after_a_boot() {
    let (_broker, _registry, mut bench) = running("root");
    let old = bench.process("site.web");
    bench.ask(&["exec", "web", "sh", "-c", "echo mine > /kept"]);
    bench.board.cut_power().unwrap();
    bench.board.start().unwrap();
    comes_back(&bench, &old);
    assert_eq!(bench.ask(&["exec", "web", "cat", "/kept"]), "mine\n");
}

#[test]
fn pruning_leaves_what_a_roll_back_needs() {
    let (broker, registry, bench) = running("prune");
    let digest = registry.put_image("app", "bad", &image(&["false"], "two"));
    let reference = format!("{}@{digest}", registry.reference("app:bad"));
    let bad = json!({"site": {"services": {"web": {"image": reference}}}});
    let bad = Desired::new("prune", 2, bad).policy(&json!({"soak": 3, "mode": "download"}));
    bad.send(&broker);
    bench.until_state(2, "WAITING");
    // The candidate is staged and not running, the good one runs.
    bench.ask(&["prune"]);
    drop(registry);
    let released = Desired { rev: 1, ..bad }.policy(&json!({"mode": "soft"}));
    released.send(&broker);
    let state = bench.until_state(2, "ROLLED_BACK");
    assert_eq!(state["deployment"]["error"]["code"], "EXITED", "{state:#}");
    bench.until_log("web", "one");
}

#[test]
fn services_start_after_what_they_depend_on() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    let bench = Bench::start(&broker, &registry.host(), "order");
    let app = registry.reference("app:1");
    let services = json!({
        "a": {"image": app, "depends_on": ["b"]}, "b": {"image": app, "depends_on": ["c"]}, "c": {"image": app}
    });
    bench.deploy(&broker, &Desired::new("order", 1, json!({"site": {"services": services}})));
    let started = ["site.c", "site.b", "site.a"].map(|id| bench.process(id).1.parse::<u64>().unwrap());
    assert!(started.is_sorted(), "{started:?}");
}
