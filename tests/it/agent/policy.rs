//! Gates: every closed one is named, what runs is left alone, and a newer document passes one that waits.

use serde_json::{Value, json};

use super::bench::{Bench, broker, idle};
use super::document::{Desired, now, site};
use coracle_test_support::broker::Broker;
use coracle_test_support::faults::{Fault, FaultRegistry, On, Times};

struct Gated {
    broker: Broker,
    registry: FaultRegistry,
    /// The manifest of generation 2's image.
    digest: String,
    bench: Bench,
}

/// A board on which generation 1 runs.
fn gated(device: &str) -> Gated {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    let digest = registry.put_image("next", "2", &idle("two"));
    let bench = Bench::start(&broker, &registry.host(), device);
    bench.deploy(&broker, &Desired::new(device, 1, site(&registry.reference("app:1"))));
    Gated { broker, registry, digest, bench }
}

impl Gated {
    fn second(&self) -> Desired {
        let device = &self.bench.settings.device;
        let image = format!("{}@{}", self.registry.reference("next:2"), self.digest);
        Desired::new(device, 2, site(&image))
    }

    /// Sends generation 2 with `policy`; it must wait for `reasons`, with or without its image.
    #[track_caller]
    fn waits(&self, policy: &Value, reasons: &[&str], staged: bool) {
        let process = self.bench.process("site.web");
        self.second().policy(policy).send(&self.broker);
        let state = self.bench.until_state(2, "WAITING");
        let told: Vec<_> =
            state["deployment"]["reasons"].as_array().unwrap().iter().map(|r| r.as_str().unwrap()).collect();
        assert_eq!(told, reasons, "{state:#}");
        let asked = self.registry.requests().iter().any(|seen| seen.path.contains("/next/"));
        assert_eq!(asked, staged, "the image was fetched, or was not");
        assert_eq!(self.bench.process("site.web"), process, "what ran was moved");
        assert_eq!(state["running"]["gen"], 1, "{state:#}");
    }

    /// The same generation with an open policy, or the next one, goes through.
    #[track_caller]
    fn passes(&self, desired: &Desired) {
        self.bench.deploy(&self.broker, desired);
        self.bench.until_log("web", "two");
    }
}

#[test]
fn a_rollout_on_hold_waits_until_a_revision_lets_it_go() {
    let gated = gated("hold");
    gated.waits(&json!({"hold": true}), &["HOLD"], false);
    let released = Desired { rev: 1, ..gated.second() };
    gated.passes(&released);
}

#[test]
fn a_rollout_to_be_confirmed_is_staged_and_waits_for_a_person() {
    let gated = gated("confirm");
    gated.waits(&json!({"mode": "confirm"}), &["CONFIRM"], true);
    // The newer document passes the one that waits.
    gated.passes(&Desired { generation: 3, ..gated.second() });
    gated.bench.until_said("event", |event| event["to"] == "SUPERSEDED" && event["desired"]["gen"] == 2);
}

#[test]
fn a_download_only_rollout_is_staged_and_goes_on_without_the_registry() {
    let gated = gated("download");
    gated.waits(&json!({"mode": "download"}), &["DOWNLOAD_ONLY"], true);
    gated.registry.script(On::any("/"), Times::Always, Fault::status(404));
    gated.passes(&Desired { rev: 1, ..gated.second() });
}

#[test]
fn a_closed_window_names_when_it_opens() {
    let gated = gated("window");
    // Opens in two days, for a minute.
    let opens = now() + 2 * 86_400;
    let (day, minute) = (opens / 86_400, opens % 86_400 / 60);
    let name = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][usize::try_from(day % 7).unwrap()];
    let start = format!("{:02}:{:02}", minute / 60, minute % 60);
    let window = json!({"windows": [{"days": [name], "start": start, "minutes": 1, "tz": "UTC"}]});
    gated.second().policy(&window).send(&gated.broker);
    let state = gated.bench.until_state(2, "WAITING");
    let reason = state["deployment"]["reasons"][0].as_str().unwrap();
    assert!(reason.starts_with("WINDOW:2") && reason.ends_with(&format!("T{start}Z")), "{reason}");
    assert_eq!(state["deployment"]["reasons"].as_array().unwrap().len(), 1, "{state:#}");
    // Force ignores windows.
    gated.passes(&Desired { rev: 1, ..gated.second() }.policy(&window).policy(&json!({"mode": "force"})));
}

#[test]
fn a_download_outside_the_window_leaves_only_the_switch_to_wait() {
    let gated = gated("outside");
    let opens = now() + 2 * 86_400;
    let name =
        ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][usize::try_from(opens / 86_400 % 7).unwrap()];
    let policy = json!({
        "windows": [{"days": [name], "start": "12:00", "minutes": 1}], "download": {"outsideWindow": true}
    });
    gated.second().policy(&policy).send(&gated.broker);
    gated.bench.until_state(2, "WAITING");
    assert!(gated.registry.requests().iter().any(|seen| seen.path.contains("/next/")));
    let staged = |event: &Value| event["to"] == "WAITING" && event["from"] == "STAGED";
    gated.bench.until_said("event", staged);
}

#[test]
fn every_closed_gate_is_named() {
    let gated = gated("all-gates");
    let policy = json!({"hold": true, "notBefore": now() + 1_000_000, "percent": 0});
    gated.second().policy(&policy).send(&gated.broker);
    let state = gated.bench.until_state(2, "WAITING");
    let reasons = state["deployment"]["reasons"].to_string();
    for reason in ["\"HOLD\"", "\"NOT_BEFORE:2", "\"PERCENT:0<"] {
        assert!(reasons.contains(reason), "{reasons}");
    }
    let status = gated.bench.ask(&["status"]);
    assert!(status.contains("WAITING: HOLD, NOT_BEFORE:"), "{status}");
}

#[test]
fn a_file_on_the_board_inhibits_the_switch_until_it_is_removed() {
    let gated = gated("inhibit");
    let folder = gated.bench.board.run_dir().join("inhibit.d");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("printing"), "").unwrap();
    gated.waits(&json!({}), &["INHIBIT:printing"], true);
    std::fs::remove_file(folder.join("printing")).unwrap();
    gated.bench.until_state(2, "SUCCEEDED");
}

#[test]
fn a_newer_document_passes_one_that_is_being_downloaded() {
    let gated = gated("newer");
    gated.registry.put_image("stuck", "2", &idle("stuck"));
    gated.registry.script(On::get("/stuck/"), Times::Always, Fault::Stall { after: 5 });
    let stuck = Desired { projects: site(&gated.registry.reference("stuck:2")), ..gated.second() };
    stuck.send(&gated.broker);
    gated.bench.until_said("event", |event| event["to"] == "DOWNLOADING" && event["desired"]["gen"] == 2);
    gated.passes(&Desired { generation: 3, ..gated.second() });
    let passed = |event: &Value| event["to"] == "SUPERSEDED" && event["desired"]["gen"] == 2;
    gated.bench.until_said("event", passed);
}
