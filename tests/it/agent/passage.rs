//! One generation after the other, as operators wish for it.

use serde_json::{Value, json};

use super::bench::{Bench, broker, idle, push};
use super::document::{Desired, site};
use coracle_test_support::agent::Settings;
use coracle_test_support::images::{Arch, Form, push_index};
use coracle_test_support::registry::Registry;

/// Generation 1, then 2, over the MQTT version that `lines` of the broker's settings choose.
fn replace(device: &str, version: &str) {
    let (broker, registry) = (broker(), Registry::start().unwrap());
    let mut settings = Settings::new(device);
    settings.insecure = vec![registry.host()];
    settings.tables += &format!(
        "[broker]\nurl = \"{}\"\nversion = \"{version}\"\nfirst_connect_splay_seconds = 0\n",
        broker.url()
    );
    let mut bench = Bench::with(&broker, settings);
    bench.board.start().unwrap();
    let birth = bench.until_up();
    assert_eq!(birth["have"], Value::Null, "{birth}");

    let first = idle("one").push(&registry.host(), "site", None, Form::Oci).unwrap();
    let index = push_index(&registry.host(), "site", "1", std::slice::from_ref(&first), Form::Oci).unwrap();
    let reference = format!("{}@{index}", registry.reference("site:1"));
    let state = bench.deploy(&broker, &Desired::new(device, 1, site(&reference)));
    let web = &state["running"]["projects"]["site"]["services"]["web"];
    assert_eq!((&web["image"], &web["manifest"]), (&json!(index), &json!(first.digest)), "{state:#}");
    assert_eq!(state["running"]["gen"], 1);
    let before = bench.process("site.web");

    bench.deploy(&broker, &Desired::new(device, 2, site(&push(&registry, "site:2", &idle("two")))));
    let after = bench.process("site.web");
    assert_ne!(before, after, "nothing was replaced");
    bench.until_log("web", "two");
    let walked: Vec<_> = bench
        .said("event")
        .iter()
        .filter(|event| event["desired"]["gen"] == 2)
        .map(|event| event["to"].as_str().unwrap().to_owned())
        .collect();
    let expected = ["ACCEPTED", "DOWNLOADING", "STAGED", "APPLYING", "VERIFYING", "SUCCEEDED"];
    assert_eq!(walked, expected);

    restart(&mut bench, &after);
}

/// Sequence numbers go on over a restart, workloads stay, and the birth says what the board has.
fn restart(bench: &mut Bench, process: &(i64, String)) {
    let sid = bench.until_up()["sid"].clone();
    let last = bench.said("state").last().unwrap()["seq"].as_u64().unwrap();
    bench.board.stop().unwrap();
    let gone = bench.until_said("up", |up| up["up"] == false);
    assert_eq!(gone["why"], "stop", "{gone}");
    bench.board.start().unwrap();
    let birth = bench.until_said("up", |up| up["up"] == true && up["sid"] != sid);
    assert_eq!(birth["have"]["gen"], 2, "{birth}");
    bench.until_said("state", |state| state["sid"] == birth["sid"] && state["seq"].as_u64() > Some(last));
    let told = bench.said("state");
    let numbers: Vec<_> = told.iter().map(|state| state["seq"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    assert_eq!(told.last().unwrap()["deployment"]["status"], "SUCCEEDED");
    assert_eq!(&bench.process("site.web"), process, "the restart moved the workload");
}

#[test]
fn a_generation_runs_and_another_replaces_it_over_mqtt_5() {
    replace("five", "5");
}

#[test]
fn a_generation_runs_and_another_replaces_it_over_mqtt_3_1_1() {
    replace("three", "3.1.1");
}

#[test]
fn only_what_changed_moves() {
    let (broker, registry) = (broker(), Registry::start().unwrap());
    let bench = Bench::start(&broker, &registry.host(), "moves");
    let steady = push(&registry, "steady:1", &idle("steady"));
    let web = [push(&registry, "web:1", &idle("one")), push(&registry, "web:2", &idle("two"))];
    let both = |web: &str, steady: &str| json!({"site": {"services": {"web": {"image": web}}}, "tools": {"services": {"log": {"image": steady}}}});
    bench.deploy(&broker, &Desired::new("moves", 1, both(&web[0], &steady)));
    bench.ask(&["run", "-d", "--name", "mine", &steady]);
    let (log, mine, old) =
        (bench.process("tools.log"), bench.process("local.mine"), bench.process("site.web"));

    bench.deploy(&broker, &Desired::new("moves", 2, both(&web[1], &steady)));
    let new = bench.process("site.web");
    assert_ne!(old, new, "the changed service was not replaced");
    assert_eq!(bench.process("tools.log"), log, "the other one moved");

    let renamed = push(&registry, "steady:renamed", &idle("steady"));
    bench.deploy(&broker, &Desired::new("moves", 3, both(&web[1], &renamed)));
    assert_eq!(bench.process("tools.log"), log, "the same bytes under another tag moved");

    let only_web = json!({"site": {"services": {"web": {"image": web[1]}}}});
    bench.deploy(&broker, &Desired::new("moves", 4, only_web));
    assert_eq!(bench.process("site.web"), new, "the project that stayed moved");
    assert_eq!(bench.process("local.mine"), mine, "the workload of somebody at the board moved");
    assert_eq!(bench.ps().len(), 2, "{:#?}", bench.ps());

    bench.deploy(&broker, &Desired::new("moves", 5, json!({})));
    assert_eq!(bench.ps().len(), 1, "{:#?}", bench.ps());
    assert_eq!(bench.process("local.mine"), mine);
}

#[test]
fn the_image_for_the_board_is_taken_from_an_index_of_three() {
    let (broker, registry) = (broker(), Registry::start().unwrap());
    let bench = Bench::start(&broker, &registry.host(), "three-archs");
    let images: Vec<_> = Arch::ALL
        .iter()
        .map(|arch| {
            let mut image = idle(&arch.platform());
            (image.architecture, image.variant) = (arch.oci().to_owned(), arch.variant().map(Into::into));
            image.push(&registry.host(), "site", None, Form::Docker).unwrap()
        })
        .collect();
    push_index(&registry.host(), "site", "1", &images, Form::Docker).unwrap();
    let state = bench.deploy(&broker, &Desired::new("three-archs", 1, site(&registry.reference("site:1"))));
    let web = &state["running"]["projects"]["site"]["services"]["web"];
    assert_eq!(web["manifest"], json!(images[0].digest), "{state:#}");
    bench.until_log("web", "linux/amd64");
}
