//! Documents that must not be obeyed: each is refused with its code, and what runs does not notice.

use serde_json::{Value, json};

use super::bench::{Bench, PATIENCE, broker, idle};
use super::document::{Desired, envelope, now, site};
use coracle_test_support::broker::Broker;
use coracle_test_support::faults::FaultRegistry;
use coracle_test_support::process::eventually;

const DEVICE: &str = "strict";

/// A broker, a board that wants digests, and generation 5 on it, revision 1.
struct Strict {
    broker: Broker,
    bench: Bench,
    registry: FaultRegistry,
    accepted: Desired,
}

fn strict() -> Strict {
    let (broker, registry) = (broker(), FaultRegistry::start());
    let digest = registry.put_image("app", "1", &idle("one"));
    let mut bench = Bench::new(&broker, &registry.host(), DEVICE);
    bench.settings.top = "default_network = \"host\"\n".into();
    bench.board.configure(&bench.settings).unwrap();
    bench.board.start().unwrap();
    bench.until_up();
    let image = format!("{}@{digest}", registry.reference("app:1"));
    let accepted = Desired { rev: 1, ..Desired::new(DEVICE, 5, site(&image)) };
    bench.deploy(&broker, &accepted);
    Strict { broker, bench, registry, accepted }
}

/// The document of a newer generation, with one thing changed.
fn changed(strict: &Strict, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut document = Desired { generation: 6, ..strict.accepted.clone() }.document();
    change(&mut document);
    envelope(&document)
}

/// One with its only service changed.
fn service(strict: &Strict, key: &str, value: &Value) -> Vec<u8> {
    changed(strict, |document| document["projects"]["site"]["services"]["web"][key] = value.clone())
}

type Row = (&'static str, Vec<u8>, &'static str, &'static str);

fn envelopes(strict: &Strict) -> Vec<Row> {
    let mut oversized = changed(strict, |_| ());
    oversized.resize(40_000, b' ');
    let other_type = String::from_utf8(changed(strict, |_| ())).unwrap().replace("desired.v1", "desired.v2");
    vec![
        ("not JSON", b"run everything".to_vec(), "SCHEMA", "envelope is not DSSE"),
        (
            "no base64",
            br#"{"payloadType":"application/vnd.coracle.desired.v1+json","payload":"%","signatures":[]}"#
                .to_vec(),
            "SCHEMA",
            "not base64",
        ),
        ("another payload type", other_type.into_bytes(), "SCHEMA", "payloadType"),
        ("too large", oversized, "TOO_LARGE", "32768"),
        ("unknown key", changed(strict, |d| d["flavor"] = json!("blue")), "SCHEMA", "flavor"),
        ("unknown key of the policy", changed(strict, |d| d["policy"]["x"] = json!(1)), "SCHEMA", "policy.x"),
        ("another device", changed(strict, |d| d["scope"] = json!("d/other")), "SCOPE", "d/other"),
        ("a group of others", changed(strict, |d| d["scope"] = json!("g/other")), "SCOPE", "g/other"),
    ]
}

fn orders(strict: &Strict) -> Vec<Row> {
    let accepted = &strict.accepted;
    let older = Desired { generation: 4, ..accepted.clone() };
    let older_rev = Desired { rev: 0, ..accepted.clone() };
    let twin = Desired { projects: json!({}), ..accepted.clone() };
    let late = changed(strict, |d| {
        (d["iat"], d["exp"]) = (json!(now() - 90_000), json!(now() - 80_000));
    });
    vec![
        ("an older generation", envelope(&older.document()), "REPLAY", "4.1 of d/strict"),
        ("an older revision", envelope(&older_rev.document()), "REPLAY", "5.0 of d/strict"),
        ("the same numbers, other bytes", envelope(&twin.document()), "EQUIVOCATION", "5.1"),
        ("expired", late, "EXPIRED", "6.1 of d/strict expired"),
    ]
}

fn contents(strict: &Strict) -> Vec<Row> {
    let tag = strict.registry.reference("app:1");
    let requires = |key: &str, value: Value| changed(strict, |d| d["requires"] = json!({key: value}));
    let local = changed(strict, |d| d["projects"] = json!({"local": d["projects"]["site"]}));
    vec![
        ("a bare tag", service(strict, "image", &json!(tag)), "UNPINNED", "projects.site.services.web.image"),
        ("an unsupported key", service(strict, "build", &json!(".")), "COMPOSE", "services.web.build"),
        (
            "a bridge network",
            service(strict, "network_mode", &json!("bridge")),
            "COMPOSE",
            "services.web.network_mode",
        ),
        ("the project of people", local, "COMPOSE", "projects.local"),
        ("a newer agent", requires("agent", json!(">=99")), "AGENT_VERSION", "requires another agent"),
        (
            "an unknown time zone",
            changed(strict, |d| {
                d["policy"]["windows"] = json!([{"start": "01:00", "minutes": 5, "tz": "Nowhere/Land"}]);
            }),
            "SCHEMA",
            "policy.windows[0].tz \"Nowhere/Land\"",
        ),
        ("another platform", requires("platform", json!(["linux/s390x"])), "PLATFORM", "linux/s390x"),
    ]
}

#[test]
fn each_bad_document_is_refused_by_its_code_and_disturbs_nothing() {
    let strict = strict();
    let topic = strict.accepted.topic();
    let process = strict.bench.process("site.web");
    let rows = envelopes(&strict).into_iter().chain(orders(&strict)).chain(contents(&strict));
    for (name, payload, code, says) in rows {
        let before = strict.bench.said("event").len();
        strict.broker.publish_retained(&topic, &payload).unwrap();
        let event = eventually(PATIENCE, || {
            strict.bench.said("event").get(before).cloned().ok_or_else(|| format!("{name}: nothing was said"))
        });
        let error = &event["error"];
        assert_eq!((&event["to"], &error["code"]), (&json!("REJECTED"), &json!(code)), "{name}: {event:#}");
        assert!(error["message"].as_str().unwrap().contains(says), "{name}: {error:#}");
        assert_eq!(strict.bench.process("site.web"), process, "{name}");
    }
    let state = strict.bench.until_said("state", |state| state["deployment"]["status"] == "REJECTED");
    assert_eq!((&state["lastGood"]["gen"], &state["running"]["gen"]), (&json!(5), &json!(5)), "{state:#}");

    // A good one is taken after all of them.
    let next = Desired { generation: 6, ..strict.accepted.clone() };
    strict.bench.deploy(&strict.broker, &next);
    assert_eq!(strict.bench.process("site.web"), process, "the same service moved");
}

#[test]
fn an_empty_message_and_the_same_document_again_change_nothing() {
    let strict = strict();
    let topic = strict.accepted.topic();
    let process = strict.bench.process("site.web");
    let before = strict.bench.said("event").len();
    strict.broker.publish_retained(&topic, b"").unwrap();
    strict.accepted.send(&strict.broker);
    // What comes after it is answered, so what came before it was heard.
    strict.broker.publish_retained(&topic, b"no document").unwrap();
    let events = eventually(PATIENCE, || Some(strict.bench.said("event")).filter(|said| said.len() > before));
    assert_eq!(events.len(), before + 1, "{events:#?}");
    assert_eq!(events[before]["error"]["code"], "SCHEMA");
    assert_eq!(strict.bench.process("site.web"), process);
}

#[test]
fn a_board_that_wants_signatures_takes_no_document_without() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    let mut bench = Bench::new(&broker, &registry.host(), "signed");
    bench.settings.tables.clear();
    bench.board.configure(&bench.settings).unwrap();
    bench.board.start().unwrap();
    bench.until_up();
    Desired::new("signed", 1, json!({})).send(&broker);
    let event = bench.until_event("REJECTED", "UNSIGNED");
    assert!(event["error"]["hint"].as_str().unwrap().contains("trust.unsigned"), "{event:#}");
    let state = bench.until_said("state", |state| state["deployment"]["status"] == "REJECTED");
    assert_eq!(state["agent"]["trust"], "keyless", "{state:#}");
}
