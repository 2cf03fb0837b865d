//! Boards that believe keys: what is signed runs, from the broker and from a file, and keys are replaced on the way.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::bench::{Bench, PATIENCE, broker, command, idle};
use super::document::{Desired, envelope, site};
use coracle_test_support::agent::Settings;
use coracle_test_support::broker::Broker;
use coracle_test_support::faults::FaultRegistry;
use coracle_test_support::process::eventually;
use coracle_test_support::scratch::TempDir;
use coracle_test_support::sign::{self, Algorithm, DESIRED, Signer, TRUST};

/// A broker, images, keys in an image, and a board that believes them.
struct Bed {
    broker: Broker,
    registry: FaultRegistry,
    keys: TempDir,
    bench: Bench,
}

fn key(algorithm: Algorithm) -> Signer {
    Signer::new(algorithm).unwrap()
}

fn settings(broker: &Broker, registry: &FaultRegistry, device: &str, keys: &Path) -> Settings {
    let mut settings = Settings::new(device);
    settings.broker = Some(broker.url());
    settings.insecure = vec![registry.host()];
    settings.tables = format!("[trust]\nkeys_dir = {keys:?}\n");
    settings
}

impl Bed {
    /// Files of the image by name; the agent does not run yet.
    fn new(device: &str, files: &[(&str, &str)]) -> Self {
        let (broker, registry, keys) = (broker(), FaultRegistry::start(), TempDir::new("keys"));
        for tag in ["1", "2", "3"] {
            registry.put_image("app", tag, &idle(tag));
        }
        fs::create_dir(keys.join("root")).unwrap();
        for (name, text) in files {
            fs::write(keys.join(name), text).unwrap();
        }
        let bench = Bench::with(&broker, settings(&broker, &registry, device, &keys));
        Self { broker, registry, keys, bench }
    }

    fn started(mut self) -> Self {
        self.bench.board.start().unwrap();
        self.bench.until_up();
        self
    }

    fn desired(&self, generation: u64, tag: &str) -> Desired {
        let image = self.registry.reference(&format!("app:{tag}"));
        Desired::new(&self.bench.settings.device, generation, site(&image))
    }

    fn send(&self, desired: &Desired, signers: &[&Signer]) {
        self.broker.publish_retained(&desired.topic(), &signed(desired, signers)).unwrap();
    }

    fn replace_keys(&self, document: &Value, signers: &[&Signer]) {
        let bytes = sign::envelope(TRUST, document.to_string().as_bytes(), signers).unwrap();
        self.broker.publish_retained("coracle/v1/trust", &bytes).unwrap();
    }

    /// Waits for one more refusal than `before`.
    #[track_caller]
    fn until_refused(&self, before: usize, code: &str) -> Value {
        let refusals = |bench: &Bench| {
            let events = bench.said("event").into_iter();
            events.filter(|event| event["to"] == "REJECTED").collect::<Vec<_>>()
        };
        let event = eventually(PATIENCE, || refusals(&self.bench).get(before).cloned());
        assert_eq!(event["error"]["code"], code, "{event:#}");
        event
    }

    fn restart(&mut self) {
        let births = self.bench.said("up").iter().filter(|up| up["up"] == true).count();
        self.bench.board.crash().unwrap();
        self.bench.board.start().unwrap();
        eventually(PATIENCE, || self.bench.said("up").iter().filter(|up| up["up"] == true).count() > births);
    }

    fn show(&self) -> Value {
        let output = command(&self.bench.board, &["trust", "show", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    }
}

fn signed(desired: &Desired, signers: &[&Signer]) -> Vec<u8> {
    sign::envelope(DESIRED, desired.document().to_string().as_bytes(), signers).unwrap()
}

#[test]
fn what_a_key_of_the_image_signed_runs_and_what_none_signed_does_not() {
    let (alice, bob, mallory) = (key(Algorithm::Ed25519), key(Algorithm::P256), key(Algorithm::Ed25519));
    let bed = Bed::new("signs", &[("alice.pub", alice.pem()), ("bob.pub", bob.pem())]).started();
    bed.send(&bed.desired(1, "1"), &[&alice]);
    let state = bed.bench.until_state(1, "SUCCEEDED");
    assert_eq!(
        (&state["agent"]["trust"], &state["agent"]["trustCounter"]),
        (&bed.show()["trust"], &json!(0))
    );
    bed.send(&bed.desired(2, "2"), &[&bob]);
    bed.bench.until_state(2, "SUCCEEDED");

    let process = bed.bench.process("site.web");
    bed.send(&bed.desired(3, "3"), &[]);
    let event = bed.until_refused(0, "UNSIGNED");
    let hint = event["error"]["hint"].as_str().unwrap();
    assert!(hint.contains(&alice.id()[..12]) && hint.contains(&bob.id()[..12]), "{hint}");
    bed.send(&bed.desired(3, "3"), &[&mallory]);
    let event = bed.until_refused(1, "SIGNATURE");
    assert!(event["error"]["message"].as_str().unwrap().starts_with("0 of 1 signatures"), "{event:#}");
    assert_eq!(bed.bench.process("site.web"), process);
    let shown = bed.bench.ask(&["trust", "show"]);
    assert!(
        shown.contains("1 of 2 keys") && shown.contains("alice.pub") && shown.contains(bob.id()),
        "{shown}"
    );
}

#[test]
fn keys_are_replaced_over_the_broker_for_good_and_what_runs_is_not_touched() {
    let [alice, carol, root, next] = [(); 4].map(|()| key(Algorithm::Ed25519));
    let mut bed = Bed::new("rotates", &[("alice.pub", alice.pem()), ("root/root.pub", root.pem())]).started();
    let signed_by_alice = bed.desired(1, "1");
    bed.send(&signed_by_alice, &[&alice]);
    bed.bench.until_state(1, "SUCCEEDED");
    let process = bed.bench.process("site.web");

    // The document that the new key signed comes before the board knows that key.
    let second = bed.desired(2, "2").policy(&json!({"mode": "confirm"}));
    bed.send(&second, &[&carol]);
    bed.until_refused(0, "SIGNATURE");
    bed.replace_keys(&sign::trust(1, (&[&carol], 1), (&[&next], 1)), &[&root]);
    bed.until_refused(1, "SIGNATURE");
    let document = sign::trust(1, (&[&carol], 1), (&[&next], 1));
    bed.replace_keys(&document, &[&root, &next]);
    let state = bed.bench.until_state(2, "WAITING");
    assert_eq!(state["agent"]["trustCounter"], 1, "{state:#}");
    assert_eq!(bed.bench.process("site.web"), process);
    bed.bench.ask(&["confirm"]);
    bed.bench.until_state(2, "SUCCEEDED");
    let process = bed.bench.process("site.web");

    bed.restart();
    assert_eq!(bed.bench.process("site.web"), process);
    let shown = bed.show();
    assert_eq!((&shown["counter"], &shown["imageCounter"]), (&json!(1), &json!(0)), "{shown:#}");
    assert_eq!(shown["roles"]["deploy"]["keys"][0]["id"], carol.id(), "{shown:#}");
    bed.send(&bed.desired(3, "3"), &[&alice]);
    bed.until_refused(2, "SIGNATURE");
    bed.replace_keys(&sign::trust(1, (&[&alice], 1), (&[&next], 1)), &[&next]);
    bed.until_refused(3, "EQUIVOCATION");
    bed.send(&bed.desired(3, "3"), &[&carol]);
    bed.bench.until_state(3, "SUCCEEDED");

    // A newer image brings keys of its own; an older one does not bring the old keys back.
    let newest = sign::trust(7, (&[&alice], 1), (&[&root], 1)).to_string();
    let [plain, plain_root] = ["alice.pub", "root/root.pub"].map(|name| bed.keys.join(name));
    fs::write(bed.keys.join("trust.json"), newest).unwrap();
    fs::remove_file(&plain).unwrap();
    fs::remove_file(&plain_root).unwrap();
    bed.restart();
    bed.bench.until_said("state", |state| state["agent"]["trustCounter"] == 7);
    fs::remove_file(bed.keys.join("trust.json")).unwrap();
    fs::write(&plain, alice.pem()).unwrap();
    fs::write(&plain_root, root.pem()).unwrap();
    bed.restart();
    let process = bed.bench.process("site.web");
    bed.send(&bed.desired(9, "1"), &[&alice]);
    bed.bench.until_said("event", |event| {
        let message = event["error"]["message"].as_str().unwrap_or_default();
        event["error"]["code"] == "SIGNATURE" && message.contains("has seen 7")
    });
    let output = command(&bed.bench.board, &["trust", "show"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert_eq!(bed.bench.process("site.web"), process);
}

fn fails(bed: &Bed, words: &[&str]) -> (i32, String) {
    let output = command(&bed.bench.board, words);
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_document_from_a_file_goes_through_the_same_judgment() {
    let (alice, root, mallory) = (key(Algorithm::P256), key(Algorithm::Ed25519), key(Algorithm::P256));
    let mut bed = Bed::new("stick", &[("alice.pub", alice.pem()), ("root/root.pub", root.pem())]);
    // No broker at all: a board that is updated from a stick.
    bed.bench.settings.broker = None;
    bed.bench.board.configure(&bed.bench.settings).unwrap();
    let stick = TempDir::new("stick");
    let file = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = stick.join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let first = file("first.json", &signed(&bed.desired(1, "1"), &[&alice]));
    let first = first.to_str().unwrap();
    let (code, said) = fails(&bed, &["apply", first]);
    assert!(code == 75 && said.contains("systemctl start coracle"), "{code}: {said}");
    bed.bench.board.start().unwrap();
    let socket = bed.bench.board.run_dir().join("control.sock");
    eventually(PATIENCE, || socket.exists());

    let said = bed.bench.ask(&["apply", first, "--wait"]);
    assert!(said.starts_with("accepted: generation 1") && said.trim_end().ends_with("SUCCEEDED"), "{said}");
    bed.bench.until_log("web", "1");
    let again: Value = serde_json::from_str(&bed.bench.ask(&["apply", first, "--wait", "--json"])).unwrap();
    assert_eq!(
        (&again["document"]["new"], &again["status"]),
        (&json!(false), &json!("SUCCEEDED")),
        "{again:#}"
    );
    let process = bed.bench.process("site.web");
    for (name, bytes, code, says) in [
        ("unsigned", signed(&bed.desired(2, "2"), &[]), 65, "UNSIGNED"),
        ("stranger", signed(&bed.desired(2, "2"), &[&mallory]), 65, "SIGNATURE"),
        ("older", signed(&bed.desired(0, "2"), &[&alice]), 65, "REPLAY"),
        ("other", signed(&bed.desired(1, "2"), &[&alice]), 65, "EQUIVOCATION"),
        ("empty", Vec::new(), 65, "SCHEMA"),
        ("text", b"run everything".to_vec(), 65, "SCHEMA"),
        ("long", vec![b' '; 40_000], 64, "longer than 32768 bytes"),
    ] {
        let path = file(name, &bytes);
        let (got, said) = fails(&bed, &["apply", path.to_str().unwrap()]);
        assert!(got == code && said.contains(says), "{name}: {got}: {said}");
    }
    let (code, said) = fails(&bed, &["apply", "/nowhere"]);
    assert!(code == 64 && said.contains("/nowhere"), "{code}: {said}");
    assert_eq!(bed.bench.process("site.web"), process);

    // One that cannot be had: refused it is not, and its end is a bad one.
    let lost = bed.desired(3, "none").policy(&json!({"attempts": 1}));
    let lost = file("lost.json", &signed(&lost, &[&alice]));
    let (code, said) = fails(&bed, &["apply", lost.to_str().unwrap(), "--wait"]);
    assert!(code == 1 && said.contains("FAILED"), "{code}: {said}");
    assert_eq!(bed.bench.process("site.web"), process);

    let document = sign::trust(1, (&[&mallory], 1), (&[&root], 1)).to_string();
    let keys = |signers: &[&Signer]| sign::envelope(TRUST, document.as_bytes(), signers).unwrap();
    let wrong = file("wrong.json", &keys(&[&alice]));
    let (code, said) = fails(&bed, &["trust", "install", wrong.to_str().unwrap()]);
    assert!(code == 65 && said.contains("SIGNATURE"), "{code}: {said}");
    let right = file("right.json", &keys(&[&root]));
    let right = right.to_str().unwrap();
    assert!(bed.bench.ask(&["trust", "install", right]).contains("counter 1 counts now"));
    assert!(bed.bench.ask(&["trust", "install", right]).contains("counts already"));
    let last = file("last.json", &signed(&bed.desired(4, "2"), &[&mallory]));
    bed.bench.ask(&["apply", last.to_str().unwrap(), "--wait"]);
    bed.bench.until_log("web", "2");
}

#[test]
fn without_usable_keys_nothing_new_is_taken_and_what_runs_goes_on() {
    let alice = key(Algorithm::Ed25519);
    let mut bed = Bed::new("keyless", &[("alice.pub", alice.pem())]).started();
    bed.send(&bed.desired(1, "1"), &[&alice]);
    bed.bench.until_state(1, "SUCCEEDED");
    let process = bed.bench.process("site.web");
    for (number, (text, says)) in
        [("no key", "is not one public key"), ("-----BEGIN PRIVATE KEY-----", "is a private key")]
            .into_iter()
            .enumerate()
    {
        fs::write(bed.keys.join("alice.pub"), text).unwrap();
        bed.restart();
        bed.bench.until_said("state", |state| state["agent"]["trust"] == "keyless");
        let (code, _) = fails(&bed, &["trust", "show"]);
        let shown = bed.show();
        let why = shown["why"].as_str().unwrap();
        assert!(code == 78 && why.contains("alice.pub") && why.contains(says), "{code}: {shown:#}");
        let explained = bed.bench.ask(&["why"]);
        assert!(explained.contains("no document is believed") && explained.contains(says), "{explained}");
        bed.send(&bed.desired(2, "2"), &[&alice]);
        let events =
            |bench: &Bench| bench.said("event").iter().filter(|event| event["to"] == "REJECTED").count();
        eventually(PATIENCE, || events(&bed.bench) > number);
        assert_eq!(bed.bench.process("site.web"), process);
    }
    fs::write(bed.keys.join("alice.pub"), alice.pem()).unwrap();
    let saved = bed.bench.board.state_dir().join("trust");
    let document = sign::trust(1, (&[&alice], 1), (&[&alice], 1)).to_string();
    for (path, text, says) in [
        (bed.keys.join("trust.json"), document.as_str(), "keep one or the other"),
        (
            bed.keys.join("rsa.pub"),
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            "neither an Ed25519",
        ),
        (saved.clone(), "{\"version\":2}", "install the newer agent again"),
        (saved.clone(), "rot", "remove it to have the image's own keys count again"),
    ] {
        fs::write(&path, text).unwrap();
        let shown = bed.show();
        assert!(shown["why"].as_str().unwrap().contains(says), "{shown:#}");
        fs::remove_file(&path).unwrap();
    }
    bed.restart();
    bed.bench.until_state(2, "SUCCEEDED");
    assert!(!saved.exists(), "plain keys have no counter to remember");
}

#[test]
fn a_board_that_once_took_an_unsigned_document_says_so_for_ever() {
    let alice = key(Algorithm::Ed25519);
    let mut bed = Bed::new("once", &[("alice.pub", alice.pem())]);
    let believes = bed.bench.settings.clone();
    bed.bench.settings.tables = "[trust]\nunsigned = true\n".into();
    bed.bench.board.configure(&bed.bench.settings).unwrap();
    let mut bed = bed.started();
    let desired = bed.desired(1, "1");
    bed.broker.publish_retained(&desired.topic(), &envelope(&desired.document())).unwrap();
    let state = bed.bench.until_state(1, "SUCCEEDED");
    assert_eq!(state["agent"]["trust"], "none", "{state:#}");
    bed.bench.board.configure(&believes).unwrap();
    bed.restart();
    bed.send(&bed.desired(2, "2"), &[&alice]);
    let state = bed.bench.until_state(2, "SUCCEEDED");
    assert_eq!((&state["agent"]["trust"], &state["agent"]["trustCounter"]), (&json!("none"), &Value::Null));
}

#[test]
fn keys_that_cannot_be_written_down_do_not_count_until_they_are() {
    let [alice, carol, root] = [(); 3].map(|()| key(Algorithm::Ed25519));
    let bed = Bed::new("stubborn", &[("alice.pub", alice.pem()), ("root/root.pub", root.pem())]).started();
    // No file takes the place of a folder.
    let saved = bed.bench.board.state_dir().join("trust");
    fs::create_dir(&saved).unwrap();
    let document = sign::trust(1, (&[&carol], 1), (&[&root], 1));
    bed.replace_keys(&document, &[&root]);
    bed.until_refused(0, "STORE");
    let empty = |generation| Desired::new("stubborn", generation, json!({}));
    bed.send(&empty(1), &[&carol]);
    bed.until_refused(1, "SIGNATURE");
    bed.send(&empty(1), &[&alice]);
    let state = bed.bench.until_state(1, "SUCCEEDED");
    assert_eq!(state["agent"]["trustCounter"], 0, "{state:#}");
    fs::remove_dir(&saved).unwrap();
    bed.bench.ask(&["refresh"]);
    bed.bench.until_said("state", |state| state["agent"]["trustCounter"] == 1);
    bed.send(&empty(2), &[&carol]);
    bed.bench.until_state(2, "SUCCEEDED");
}
