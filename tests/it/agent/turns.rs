//! A server hands out turns (FleetLock): no switch without one, and it is given back once the passage has ended.

use serde_json::json;

use super::bench::{Bench, broker, idle};
use super::document::{Desired, site};
use coracle_test_support::agent::Settings;
use coracle_test_support::faults::{Fault, FaultRegistry, On, Times};
use coracle_test_support::process::eventually;
use std::time::Duration;

/// A server of turns that answers what the test says.
struct Turns(FaultRegistry);

impl Turns {
    fn start() -> Self {
        let server = FaultRegistry::start();
        server.script(On::any("/v1/steady-state"), Times::Always, Fault::status(200));
        Self(server)
    }

    fn grant(&self, times: Times) {
        self.0.script(On::any("/v1/pre-reboot"), times, Fault::status(200));
    }

    fn deny(&self, why: &str) {
        let body = json!({"kind": "failed_lock", "value": why}).to_string().into_bytes();
        let denied = Fault::Answer { status: 409, headers: Vec::new(), body };
        self.0.script(On::any("/v1/pre-reboot"), Times::Next(1), denied);
    }

    /// What was asked so far, without what came twice in a row.
    fn asked(&self) -> Vec<String> {
        let mut asked: Vec<_> = self.0.requests().iter().map(|seen| seen.path.clone()).collect();
        asked.dedup();
        asked
    }
}

fn settings(server: &str, registry: &FaultRegistry, device: &str) -> Settings {
    let mut settings = Settings::new(device);
    settings.insecure = vec![registry.host()];
    settings.tables += &format!("[lock]\nurl = \"http://{server}\"\n");
    settings
}

#[test]
fn a_switch_waits_for_the_boards_turn_and_gives_it_back() {
    let (broker, registry, turns) = (broker(), FaultRegistry::start(), Turns::start());
    turns.grant(Times::Next(1));
    turns.deny("all slots taken");
    turns.grant(Times::Always);
    registry.put_image("app", "1", &idle("one"));
    registry.put_image("next", "2", &idle("two"));
    let mut settings = settings(&turns.0.host(), &registry, "turns");
    settings.broker = Some(broker.url());
    let mut bench = Bench::with(&broker, settings);
    bench.board.start().unwrap();
    bench.until_up();

    bench.deploy(&broker, &Desired::new("turns", 1, site(&registry.reference("app:1"))));
    let given_back = ["/v1/steady-state", "/v1/pre-reboot", "/v1/steady-state"];
    eventually(Duration::from_secs(10), || turns.asked() == given_back);
    let process = bench.process("site.web");

    Desired::new("turns", 2, site(&registry.reference("next:2"))).send(&broker);
    let state = bench.until_state(2, "WAITING");
    let reasons = &state["deployment"]["reasons"];
    assert!(reasons[0].as_str().unwrap().starts_with("LOCK:"), "{reasons}");
    bench.until_said("state", |state| state["deployment"]["reasons"] == json!(["LOCK:all slots taken"]));
    assert_eq!(bench.process("site.web"), process, "what ran was moved");
    assert!(registry.requests().iter().any(|seen| seen.path.contains("/next/")), "it was not staged");
    bench.until_state(2, "SUCCEEDED");
    eventually(Duration::from_secs(10), || turns.asked().len() == 5);
}

#[test]
fn without_an_answer_from_the_server_an_update_waits() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    // Nobody listens at the port of a server that is gone.
    let gone = FaultRegistry::start().host();
    let mut settings = settings(&gone, &registry, "no-turns");
    settings.broker = Some(broker.url());
    let mut bench = Bench::with(&broker, settings);
    bench.board.start().unwrap();
    bench.until_up();
    Desired::new("no-turns", 1, site(&registry.reference("app:1"))).send(&broker);
    bench.until_state(1, "WAITING");
    bench.until_said("state", |state| {
        state["deployment"]["reasons"] == json!(["LOCK:no answer from its server"])
    });
}
