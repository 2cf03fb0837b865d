//! Updates in which the new one starts beside the old one, which ends when the new one is well.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::bench::{Bench, PATIENCE, broker, idle, image};
use super::document::Desired;
use coracle_test_support::caller::Caller;
use coracle_test_support::faults::FaultRegistry;
use coracle_test_support::images::{Arch, Image};
use coracle_test_support::process::{eventually, free_port};

/// A site of one service that is updated start-first, with these keys besides.
fn site(image: &str, keys: &Value) -> Value {
    let order = json!({"update_config": {"order": "start-first"}});
    let mut web =
        json!({"image": image, "restart": "unless-stopped", "deploy": order, "volumes": ["data:/data"]});
    web.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    json!({"site": {"services": {"web": web}, "volumes": {"data": {}}}})
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The directories that the workloads of a board have in memory and on disk.
fn places(bench: &Bench) -> [Vec<String>; 2] {
    [bench.board.run_dir().join("workloads"), bench.board.state_dir().join("scratch")].map(|dir| names(&dir))
}

#[test]
fn there_is_an_answer_at_every_moment_of_the_update() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    // No two can listen on one port, so each has its own.
    let ports = [free_port(), free_port()];
    for (port, word) in ports.into_iter().zip(["one", "two"]) {
        registry.put_image("app", word, &Image::telling(Arch::Amd64, port, word).unwrap());
    }
    let bench = Bench::start(&broker, &registry.host(), "beside");
    let wanted = |word: &str, port: u16| {
        let probe = json!({"http": {"port": port}, "interval": "1s"});
        site(&registry.reference(&format!("app:{word}")), &json!({"x-coracle-probe": probe}))
    };
    bench.deploy(&broker, &Desired::new("beside", 1, wanted("one", ports[0])));
    let callers = ports.map(Caller::start);
    eventually(PATIENCE, || callers[0].answered("one"));
    bench.deploy(&broker, &Desired::new("beside", 2, wanted("two", ports[1])));
    let two = eventually(PATIENCE, || callers[1].answered("two"));
    let one = callers[0].answered("one").unwrap();
    assert!(two.from < one.until, "nobody answered for {:?}", two.from - one.until);
    assert_eq!(places(&bench), [["site._b.web"], ["site._b.web"]]);
    assert_eq!(bench.ps().len(), 1, "{:#?}", bench.ps());
}

#[test]
fn a_new_one_that_is_not_well_goes_and_the_old_one_was_never_touched() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    registry.put_image("app", "2", &idle("two"));
    registry.put_image("app", "crash", &image(&["sh", "-c", "echo dying; exit 3"], "crash"));
    let bench = Bench::start(&broker, &registry.host(), "spared");
    bench.deploy(&broker, &Desired::new("spared", 1, site(&registry.reference("app:1"), &json!({}))));
    let old = bench.process("site.web");
    let ill = json!({"healthcheck": {"test": "echo no; false", "interval": "200ms", "retries": 2}});
    let missing = json!({"command": ["/nowhere"]});
    let rows = [("2", &ill, "UNHEALTHY"), ("crash", &json!({}), "EXITED"), ("2", &missing, "START")];
    for (generation, (tag, keys, code)) in (2..).zip(rows) {
        let bad = site(&registry.reference(&format!("app:{tag}")), keys);
        Desired::new("spared", generation, bad).send(&broker);
        let state = bench.until_state(generation, "ROLLED_BACK");
        assert_eq!(state["deployment"]["error"]["code"], code, "{state:#}");
        assert_eq!(bench.process("site.web"), old, "{code}: the old one moved");
        assert_eq!(places(&bench), [["site.web"], ["site.web"]], "{code}");
    }
    bench.until_log("web", "one");
}

#[test]
fn slots_alternate_and_what_is_kept_is_found_again_after_a_power_cut() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    for tag in ["1", "2", "3"] {
        registry.put_image("app", tag, &idle(tag));
    }
    let mut bench = Bench::start(&broker, &registry.host(), "slots");
    let wanted = |tag: &str| site(&registry.reference(&format!("app:{tag}")), &json!({}));
    bench.deploy(&broker, &Desired::new("slots", 1, wanted("1")));
    bench.ask(&["exec", "web", "sh", "-c", "echo first > /data/lines"]);
    bench.deploy(&broker, &Desired::new("slots", 2, wanted("2")));
    bench.until_log("web", "2");
    bench.ask(&["exec", "web", "sh", "-c", "echo second >> /data/lines; echo mine > /kept"]);

    bench.board.cut_power().unwrap();
    bench.board.start().unwrap();
    let runs = |workload: &Value| workload["id"] == "site.web" && workload["state"] == "running";
    eventually(PATIENCE, || if bench.ps().iter().any(runs) { Ok(()) } else { Err(bench.ps()) });
    assert_eq!(bench.ask(&["exec", "web", "cat", "/kept", "/data/lines"]), "mine\nfirst\nsecond\n");
    assert_eq!(places(&bench), [["site._b.web"], ["site._b.web"]]);

    bench.deploy(&broker, &Desired::new("slots", 3, wanted("3")));
    bench.until_log("web", "3");
    assert_eq!(places(&bench), [["site.web"], ["site.web"]]);
    assert_eq!(bench.ask(&["exec", "web", "cat", "/data/lines"]), "first\nsecond\n");
    bench.deploy(&broker, &Desired::new("slots", 4, json!({})));
    assert_eq!(places(&bench), [[""; 0], [""; 0]]);
}

#[test]
fn one_that_took_over_and_then_fails_is_replaced_by_the_old_version() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    registry.put_image("app", "2", &idle("two"));
    let bench = Bench::start(&broker, &registry.host(), "regret");
    let check = |file: &str| json!({"healthcheck": {"test": format!("test ! -e /data/{file}"), "interval": "200ms", "retries": 2}});
    let wanted = |tag: &str| site(&registry.reference(&format!("app:{tag}")), &check(&format!("ill-{tag}")));
    bench.deploy(&broker, &Desired::new("regret", 1, wanted("1")));
    Desired::new("regret", 2, wanted("2")).policy(&json!({"soak": 600})).send(&broker);
    bench.until_log("web", "two");
    eventually(PATIENCE, || if bench.ps().len() == 1 { Ok(()) } else { Err(bench.ps()) });
    bench.ask(&["exec", "web", "touch", "/data/ill-2"]);
    let state = bench.until_state(2, "ROLLED_BACK");
    assert_eq!(state["deployment"]["error"]["code"], "UNHEALTHY", "{state:#}");
    bench.until_log("web", "one");
    assert_eq!(bench.ps().len(), 1, "{:#?}", bench.ps());
    assert!(bench.board.state_dir().join("volumes/site_data/ill-2").exists(), "a roll back took data away");
}

#[test]
fn a_newer_generation_takes_the_place_of_one_that_is_still_waited_for() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    for tag in ["1", "2", "3"] {
        registry.put_image("app", tag, &idle(tag));
    }
    let mut bench = Bench::start(&broker, &registry.host(), "newer");
    let wanted = |tag: &str, keys: &Value| site(&registry.reference(&format!("app:{tag}")), keys);
    bench.deploy(&broker, &Desired::new("newer", 1, wanted("1", &json!({}))));
    let old = bench.process("site.web");
    let slow = json!({"healthcheck": {"test": "false", "interval": "200ms", "retries": 1000}});
    Desired::new("newer", 2, wanted("2", &slow)).send(&broker);
    let two = || if bench.ps().len() == 2 { Ok(bench.ps()) } else { Err(bench.ps()) };
    let both = eventually(PATIENCE, two);
    assert_eq!((&both[0]["beside"], &both[1]["beside"]), (&json!(false), &json!(true)), "{both:#?}");
    assert_eq!(bench.process("site.web"), old);
    // An agent that starts anew finds both.
    bench.board.crash().unwrap();
    bench.board.start().unwrap();
    bench.deploy(&broker, &Desired::new("newer", 3, wanted("3", &json!({}))));
    bench.until_log("web", "3");
    assert_eq!(bench.ps().len(), 1, "{:#?}", bench.ps());
}
