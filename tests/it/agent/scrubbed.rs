//! A board whose flash lets it down mends itself, and says so.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use super::bench::{Bench, PATIENCE, broker, idle};
use super::document::{Desired, site};
use crate::scrub::flip;
use coracle_test_support::broker::Broker;
use coracle_test_support::faults::{Fault, FaultRegistry, On, Times};
use coracle_test_support::process::eventually;
use serde_json::Value;

/// A board that runs generation 1 and was never scrubbed; its agent is stopped.
fn running(device: &str) -> (Broker, FaultRegistry, Bench) {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    let mut bench = Bench::new(&broker, &registry.host(), device);
    bench.settings.tables += "[store]\nscrub_days = 0\n";
    bench.board.configure(&bench.settings).unwrap();
    bench.board.start().unwrap();
    bench.until_up();
    bench.deploy(&broker, &Desired::new(device, 1, site(&registry.reference("app:1"))));
    bench.board.stop().unwrap();
    (broker, registry, bench)
}

impl Bench {
    /// Starts an agent that scrubs at once.
    fn scrub(&mut self) {
        let lazy = "[store]\nscrub_days = 0\n";
        let eager = "[store]\nscrub_days = 30\nscrub_after_seconds = 0\n";
        self.settings.tables = self.settings.tables.replace(lazy, eager);
        self.board.configure(&self.settings).unwrap();
        self.board.start().unwrap();
    }

    fn layer_with(&self, file: &str) -> PathBuf {
        let homes = fs::read_dir(self.board.state_dir().join("layers")).unwrap();
        let mut homes = homes.map(|home| home.unwrap().path());
        homes.find(|home| home.join("tree").join(file).exists()).unwrap()
    }

    fn marked(&self) -> Option<SystemTime> {
        fs::metadata(self.board.state_dir().join("scrubbed")).and_then(|meta| meta.modified()).ok()
    }

    #[track_caller]
    fn until_marked(&self) {
        eventually(PATIENCE, || self.marked().is_some());
    }

    /// The last state says that of the store.
    #[track_caller]
    fn until_store(&self, wanted: impl Fn(&Value) -> bool) {
        eventually(PATIENCE, || match self.said("state").last() {
            Some(state) if wanted(&state["store"]) => Ok(()),
            state => Err(format!("{state:#?}")),
        });
    }
}

#[test]
fn a_pass_in_the_background_finds_repairs_and_tells() {
    let (_broker, _registry, mut bench) = running("scrubbed");
    let process = bench.process("site.web");
    let word = bench.layer_with("word").join("tree/word");
    flip(&word, 0);
    bench.scrub();
    let event = bench.until_said("event", |event| event["error"]["code"] == "STORE");
    let error = &event["error"];
    assert_eq!((&error["project"], &error["service"]), (&"site".into(), &"web".into()), "{event:#}");
    assert!(error["message"].as_str().unwrap().contains("word has other content"), "{event:#}");
    assert_eq!(event["from"], event["to"], "{event:#}");
    bench.until_store(|store| {
        store["restart"] == serde_json::json!(["site.web"]) && store["damaged"].is_null()
    });
    assert_eq!(fs::read(&word).unwrap(), b"one\n");
    assert_eq!(bench.process("site.web"), process, "it was not to be touched");
    bench.until_marked();

    // Once it was restarted, nothing is left to tell.
    bench.ask(&["verify", "--restart"]);
    bench.until_store(Value::is_null);
    assert_ne!(bench.process("site.web"), process);
    assert_eq!(fs::read_dir(bench.board.state_dir().join("retired")).unwrap().count(), 0);

    // The pass has its time; another start does not begin it anew.
    let marked = bench.marked();
    flip(&word, 0);
    bench.board.stop().unwrap();
    bench.board.start().unwrap();
    eventually(PATIENCE, || bench.said("up").iter().filter(|up| up["up"] == true).count() > 2);
    assert_eq!((bench.marked(), fs::read(&word).unwrap()), (marked, b"nne\n".to_vec()));
}

#[test]
fn what_cannot_be_fetched_is_told_and_fetched_once_it_can() {
    let (_broker, registry, mut bench) = running("rotten");
    let process = bench.process("site.web");
    let word = bench.layer_with("word").join("tree/word");
    flip(&word, 0);
    registry.script(On::get("/blobs/"), Times::Next(1), Fault::status(404));
    bench.scrub();
    bench.until_store(|store| store["damaged"][0]["service"] == "web");
    let log = bench.board.agent().unwrap();
    eventually(PATIENCE, || {
        let log = log.output();
        if log.contains("is damaged and was not repaired") { Ok(()) } else { Err(log) }
    });
    assert_eq!(bench.process("site.web"), process);
    eventually(PATIENCE, || fs::read(&word).unwrap() == b"one\n");
    bench.until_store(|store| store["damaged"].is_null() && store["restart"][0] == "site.web");
}

#[test]
fn a_good_deployment_whose_image_lost_a_layer_comes_back_by_itself() {
    let (_broker, registry, mut bench) = running("incomplete");
    bench.board.cut_power().unwrap();
    fs::remove_dir_all(bench.layer_with("word")).unwrap();
    let blobs = fs::read_dir(bench.board.state_dir().join("blobs")).unwrap();
    blobs.for_each(|blob| flip(&blob.unwrap().path(), 2));
    let before = registry.bytes_sent();
    bench.board.start().unwrap();
    let runs = |ps: &[Value]| ps.iter().any(|w| w["id"] == "site.web" && w["state"] == "running");
    eventually(PATIENCE, || if runs(&bench.ps()) { Ok(()) } else { Err(bench.ps()) });
    bench.until_log("web", "one");
    let busybox = fs::read(bench.layer_with("bin/busybox").join("layer.json")).unwrap();
    let busybox: Value = serde_json::from_slice(&busybox).unwrap();
    assert!(registry.bytes_sent() - before < busybox["wire_bytes"].as_u64().unwrap(), "the whole image came");
}
