//! An agent with a policy for images: what is not signed does not come, and what runs goes on.

use std::fs;

use serde_json::{Value, json};

use super::bench::{Bench, broker, command, idle};
use super::document::{Desired, site};
use coracle_test_support::agent::Settings;
use coracle_test_support::broker::Broker;
use coracle_test_support::cosign::{MANIFEST, payload, simple, simple_tag};
use coracle_test_support::faults::FaultRegistry;
use coracle_test_support::process::eventually;
use coracle_test_support::scratch::TempDir;
use coracle_test_support::sign::{Algorithm, Signer};

struct Bed {
    broker: Broker,
    registry: FaultRegistry,
    alice: Signer,
    dir: TempDir,
    bench: Bench,
}

impl Bed {
    fn new(device: &str) -> Self {
        let (broker, registry, dir) = (broker(), FaultRegistry::start(), TempDir::new("policy"));
        let alice = Signer::new(Algorithm::P256).unwrap();
        fs::write(dir.join("alice.pub"), alice.pem()).unwrap();
        let file = dir.join("policy.json");
        let mut settings = Settings::new(device);
        settings.broker = Some(broker.url());
        settings.insecure = vec![registry.host()];
        settings.tables = format!("[trust]\nunsigned = true\nimage_policy = {file:?}\n");
        let bench = Bench::with(&broker, settings);
        Self { broker, registry, alice, dir, bench }
    }

    /// Writes the policy; an agent reads it when it starts.
    fn demand(&self, policy: &Value) {
        fs::write(self.dir.join("policy.json"), policy.to_string()).unwrap();
    }

    fn by_alice(&self) -> Value {
        let key = self.dir.join("alice.pub");
        let identity = json!({"type": "matchRepository"});
        json!({"default": [{"type": "sigstoreSigned", "keyPath": key, "signedIdentity": identity}]})
    }

    /// An image in the registry, pinned.
    fn put(&self, tag: &str) -> String {
        let digest = self.registry.put_image("app", tag, &idle(tag));
        format!("{}@{digest}", self.registry.reference("app"))
    }

    fn sign(&self, image: &str) {
        let digest = image.split_once('@').unwrap().1;
        let payload = payload(digest, &self.registry.reference("app"));
        let signature = self.alice.over(&payload).unwrap();
        let attachment = simple(&[(payload, signature)]);
        for blob in &attachment.blobs {
            self.registry.put_blob(blob);
        }
        self.registry.put_manifest("app", &simple_tag(digest), MANIFEST, &attachment.manifest);
    }

    fn desired(&self, generation: u64, image: &str) -> Desired {
        Desired::new(&self.bench.settings.device, generation, site(image)).policy(&json!({"attempts": 1}))
    }

    fn restart(&mut self) {
        let births = self.bench.said("up").iter().filter(|up| up["up"] == true).count();
        self.bench.board.crash().unwrap();
        self.bench.board.start().unwrap();
        eventually(super::bench::PATIENCE, || {
            self.bench.said("up").iter().filter(|up| up["up"] == true).count() > births
        });
    }
}

#[test]
fn an_image_that_is_not_signed_does_not_come_and_what_runs_goes_on() {
    let mut bed = Bed::new("wants-signed");
    bed.demand(&bed.by_alice());
    bed.bench.board.start().unwrap();
    bed.bench.until_up();
    let (first, second) = (bed.put("1"), bed.put("2"));
    bed.sign(&first);
    bed.bench.deploy(&bed.broker, &bed.desired(1, &first));
    let process = bed.bench.process("site.web");
    let layers = bed.bench.layers();

    bed.desired(2, &second).send(&bed.broker);
    let event = bed.bench.until_event("FAILED", "IMAGE_SIGNATURE");
    let message = event["error"]["message"].as_str().unwrap();
    assert!(message.contains("no signature was found") && event["error"]["service"] == "web", "{event:#}");
    assert_eq!((bed.bench.process("site.web"), bed.bench.layers()), (process, layers));

    // Signed since, and asked for again.
    bed.sign(&second);
    bed.bench.deploy(&bed.broker, &bed.desired(3, &second));

    // A policy that refuses everything stops neither what runs nor the agent, and what was good comes back.
    bed.demand(&json!({"default": [{"type": "reject"}]}));
    let process = bed.bench.process("site.web");
    bed.restart();
    bed.desired(4, &first).send(&bed.broker);
    bed.bench.until_event("FAILED", "POLICY");
    assert_eq!(bed.bench.process("site.web"), process);

    // Nor does one that cannot be read.
    bed.demand(&json!({"default": [{"type": "signedBy"}]}));
    bed.restart();
    bed.desired(5, &first).send(&bed.broker);
    bed.bench.until_said("event", |event| {
        let message = event["error"]["message"].as_str().unwrap_or_default();
        event["to"] == "FAILED" && message.contains("default[0].type signedBy is not supported")
    });
    assert_eq!(bed.bench.process("site.web"), process);
    let shown = command(&bed.bench.board, &["trust", "show", "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["images"]["usable"], &shown["images"]["demanded"]), (&json!(false), &json!(true)));

    bed.demand(&bed.by_alice());
    bed.restart();
    bed.bench.deploy(&bed.broker, &bed.desired(6, &first));
}
