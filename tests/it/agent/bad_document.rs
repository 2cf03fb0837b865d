//! Documents that must not be obeyed: each is refused with its code, and what runs does not notice.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::bench::{Bench, PATIENCE, broker, idle};
use super::document::{Desired, envelope, now, site};
use coracle_test_support::broker::Broker;
use coracle_test_support::faults::FaultRegistry;
use coracle_test_support::measure;
use coracle_test_support::process::eventually;

use crate::attacks::table::{self, Family};

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

/// An envelope around these bytes.
fn around(payload: &[u8]) -> Vec<u8> {
    written(&STANDARD.encode(payload), &json!([]))
}

fn written(payload: &str, signatures: &Value) -> Vec<u8> {
    let kind = "application/vnd.coracle.desired.v1+json";
    json!({"payloadType": kind, "payload": payload, "signatures": signatures}).to_string().into_bytes()
}

/// The text of a newer generation's document, with one thing replaced.
fn retold(strict: &Strict, from: &str, to: &str) -> Vec<u8> {
    let text = Desired { generation: 6, ..strict.accepted.clone() }.document().to_string();
    assert!(text.contains(from), "{text}");
    around(text.replacen(from, to, 1).as_bytes())
}

fn forms(strict: &Strict) -> Vec<Row> {
    let text = Desired { generation: 6, ..strict.accepted.clone() }.document().to_string();
    let base64 = STANDARD.encode(&text);
    let with = |payload: String| written(&payload, &json!([]));
    let many = vec![json!({"sig": "AA=="}); 1000];
    let name = format!("\"keyid\":\"{}\",\"sig\"", "k".repeat(300));
    let long_id = String::from_utf8(written(&base64, &json!([{"sig": "AA=="}]))).unwrap();
    vec![
        ("an empty object", around(b"{}"), "SCHEMA", "schema is not"),
        ("a list", around(b"[]"), "SCHEMA", "is not an object"),
        (
            "nested ten thousand levels deep",
            around("[".repeat(10_000).as_bytes()),
            "SCHEMA",
            "recursion limit",
        ),
        (
            "an envelope nested ten thousand levels deep",
            "{\"payload\":".repeat(2500).into_bytes(),
            "SCHEMA",
            "envelope is not DSSE",
        ),
        ("text that is no UTF-8", around(b"{\"schema\":\"\xff\xfe\"}"), "SCHEMA", "document is not JSON"),
        (
            "a key that comes twice",
            retold(strict, "\"gen\":6", "\"gen\":6,\"gen\":7"),
            "SCHEMA",
            "\"gen\" comes twice",
        ),
        (
            "a service that comes twice",
            retold(strict, "\"web\":{", "\"web\":{},\"web\":{"),
            "SCHEMA",
            "\"web\" comes twice",
        ),
        (
            "a negative generation",
            retold(strict, "\"gen\":6", "\"gen\":-6"),
            "SCHEMA",
            "gen is not a whole number",
        ),
        (
            "a generation beyond 64 bits",
            retold(strict, "\"gen\":6", "\"gen\":99999999999999999999"),
            "SCHEMA",
            "gen is not",
        ),
        (
            "a generation beyond all numbers",
            retold(strict, "\"gen\":6", "\"gen\":1e999"),
            "SCHEMA",
            "out of range",
        ),
        ("a fraction of a generation", retold(strict, "\"gen\":6", "\"gen\":6.5"), "SCHEMA", "gen is not"),
        (
            "a line break in base64",
            with(format!("{}\n{}", &base64[..8], &base64[8..])),
            "SCHEMA",
            "not base64",
        ),
        ("both alphabets of base64", with(format!("-+{base64}")), "SCHEMA", "not base64"),
        ("bits left over in base64", with(format!("{}B==", STANDARD.encode("abc"))), "SCHEMA", "not base64"),
        ("a thousand signatures", written(&base64, &Value::Array(many)), "SCHEMA", "1000 signatures"),
        (
            "a key's name of 300 characters",
            long_id.replace("\"sig\"", &name).into_bytes(),
            "SCHEMA",
            "keyid has more than",
        ),
        (
            "two payloads",
            format!("{{\"payload\":\"{base64}\",\"payload\":\"\",\"payloadType\":\"x\",\"signatures\":[]}}")
                .into_bytes(),
            "SCHEMA",
            "duplicate field",
        ),
        (
            "terminal commands in its id",
            changed(strict, |d| d["id"] = json!("\x1b[2J\n")),
            "SCHEMA",
            "id is not",
        ),
        (
            "issued after it expires",
            changed(strict, |d| d["exp"] = d["iat"].clone()),
            "SCHEMA",
            "exp is not after iat",
        ),
    ]
}

fn paths(strict: &Strict) -> Vec<Row> {
    let project = |name: &str| changed(strict, |d| d["projects"] = json!({name: d["projects"]["site"]}));
    let named = |name: &str| {
        changed(strict, |d| {
            let web = d["projects"]["site"]["services"]["web"].clone();
            d["projects"]["site"]["services"] = json!({name: web});
        })
    };
    let volume = |name: &str| changed(strict, |d| d["projects"]["site"]["volumes"] = json!({name: {}}));
    let mount = |text: &str| service(strict, "volumes", &json!([text]));
    vec![
        ("a project that climbs out", project("../site"), "SCHEMA", "\"../site\" is not valid"),
        ("a project with a slash", project("a/b"), "SCHEMA", "\"a/b\" is not valid"),
        ("a service that climbs out", named("../../web"), "COMPOSE", "../../web"),
        ("a service that is hidden", named(".web"), "COMPOSE", ".web"),
        ("terminal commands in a service's name", named("\x1b[2J"), "COMPOSE", "is not valid"),
        ("a volume that climbs out", volume("../../etc"), "COMPOSE", "../../etc"),
        ("a mount from a relative path", mount("../../etc:/mnt"), "COMPOSE", "volumes"),
        ("a mount from a path that climbs", mount("/srv/../etc:/mnt"), "COMPOSE", "volumes"),
        ("a mount to a path that climbs", mount("/srv:/mnt/../../etc"), "COMPOSE", "volumes"),
        ("a mount over the root", mount("/srv:/"), "COMPOSE", "volumes"),
        ("NUL in a command", service(strict, "command", &json!(["a\0b"])), "COMPOSE", "command"),
        (
            "NUL in a variable",
            service(strict, "environment", &json!({"A": "b\0c"})),
            "COMPOSE",
            "environment",
        ),
        ("three hundred variables", service(strict, "environment", &many()), "COMPOSE", "environment"),
    ]
}

fn many() -> Value {
    (0..300).map(|n| (format!("V{n}"), json!("x"))).collect::<serde_json::Map<_, _>>().into()
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
    let mut strict = strict();
    let topic = strict.accepted.topic();
    let process = strict.bench.process("site.web");
    let rows = [envelopes(&strict), forms(&strict), orders(&strict), contents(&strict), paths(&strict)];
    let pid = strict.bench.board.agent().unwrap().pid();
    let mut failed = Vec::new();
    for (name, payload, code, says) in rows.into_iter().flatten() {
        measure::forget_peak(pid).unwrap();
        let before = strict.bench.said("event").len();
        strict.broker.publish_retained(&topic, &payload).unwrap();
        let event = eventually(PATIENCE, || {
            strict.bench.said("event").get(before).cloned().ok_or_else(|| format!("{name}: nothing was said"))
        });
        let error = &event["error"];
        assert_eq!(strict.bench.process("site.web"), process, "{name}");
        let message = error["message"].as_str().unwrap_or_default();
        let peak = measure::peak_kib(pid).unwrap();
        let verdict = (&event["to"], &error["code"]) == (&json!("REJECTED"), &json!(code));
        let fit = !message.chars().any(char::is_control) && peak <= table::peak_max_kib();
        if verdict && message.contains(says) && fit {
            table::refused(Family::Document, name, code, message, Some(peak));
        } else {
            failed.push(format!("{name}: {} {} {message:?}, {peak} KiB", event["to"], error["code"]));
        }
    }
    assert!(failed.is_empty(), "did not end as they should:\n{}", failed.join("\n"));
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
