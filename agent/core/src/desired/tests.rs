use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::fault::Code;
use crate::gate::{Day, Mode, Window, Zone};
use crate::ident::{DeviceId, GroupName};
use crate::oci::{Digest, Platform};
use crate::time::Timestamp;
use crate::trust::{Envelope, Kind, Policy};

fn document() -> Value {
    let digest = Digest::of(b"index");
    json!({
        "schema": "desired/v1", "id": "01J9", "scope": "g/canary", "gen": 42, "rev": 3,
        "iat": 1_789_000_000_u64, "exp": 1_791_600_000_u64,
        "policy": {
            "mode": "soft", "priority": 10, "percent": 12.5, "seed": "01J9-s", "spread": 900, "notBefore": null,
            "deadline": 1_789_400_000_u64,
            "windows": [{"days": ["Sat", "Sun"], "start": "23:30", "minutes": 60, "tz": "UTC"}],
            "download": {"outsideWindow": true, "maxBps": 125_000},
            "health": 120, "soak": 300, "attempts": 3, "onFailure": "rollback", "hold": false,
        },
        "requires": {"agent": ">=0.1, <9", "freeBytes": 1000, "platform": ["linux/arm/v7", "linux/arm64"]},
        "projects": {"shop": {"services": {"web": {"image": format!("registry.example/web:1@{digest}")}}}},
    })
}

fn with(path: &str, value: Value) -> Value {
    let mut document = document();
    *document.pointer_mut(path).unwrap() = value;
    document
}

fn sealed(document: &Value) -> Vec<u8> {
    Envelope::sealed(Kind::Desired, document.to_string().into_bytes(), Vec::new()).to_bytes()
}

#[track_caller]
fn check_receive(incoming: &Value, accepted: &[(&str, u64, u64)], now: u64, result: Result<&str, Code>) {
    let accepted: BTreeMap<Scope, Accepted> = accepted
        .iter()
        .map(|(scope, number, rev)| {
            let digest = Digest::of(document().to_string().as_bytes());
            (Scope::parse(scope).unwrap(), Accepted { number: *number, rev: *rev, digest })
        })
        .collect();
    let device = DeviceId::parse("board-1").unwrap();
    let groups = [GroupName::parse("canary").unwrap()];
    let platforms = [serde_json::from_value::<Platform>(
        json!({"os": "linux", "architecture": "arm64", "variant": "v8"}),
    )
    .unwrap()];
    let facts = Facts {
        device: &device,
        groups: &groups,
        trust: &Policy::Anybody,
        tags: Tags::Refused,
        accepted: &accepted,
        clock: Clock { synced: Some(Timestamp(now)), built: Timestamp(5), newest_issued: Timestamp(6) },
        agent: "0.4.1",
        platforms: &platforms,
    };
    let got = match receive(&sealed(incoming), &facts) {
        Ok(Received::Empty) => Ok("empty"),
        Ok(Received::Same(_)) => Ok("same"),
        Ok(Received::Fresh(..)) => Ok("fresh"),
        Err(fault) => Err(fault.code),
    };
    assert_eq!(got, result);
    assert_eq!(receive(b"", &facts), Ok(Received::Empty), "an empty payload holds");
}

#[test]
fn a_document_is_judged_in_the_order_of_the_contract() {
    let now = 1_789_000_100;
    check_receive(&document(), &[], now, Ok("fresh"));
    check_receive(&document(), &[("g/canary", 42, 2)], now, Ok("fresh"));
    check_receive(&document(), &[("d/board-1", 99, 0)], now, Ok("fresh"));
    check_receive(&document(), &[("g/canary", 42, 3)], now, Ok("same"));
    check_receive(&document(), &[("g/canary", 42, 4)], now, Err(Code::Replay));
    check_receive(&document(), &[("g/canary", 43, 0)], now, Err(Code::Replay));
    check_receive(&with("/id", "other".into()), &[("g/canary", 42, 3)], now, Err(Code::Equivocation));
    check_receive(&with("/scope", "g/other".into()), &[], now, Err(Code::Scope));
    check_receive(&with("/scope", "d/board-2".into()), &[], now, Err(Code::Scope));
    check_receive(&with("/scope", "d/board-1".into()), &[], now, Ok("fresh"));
    check_receive(&document(), &[], 1_791_600_000, Err(Code::Expired));
    check_receive(&document(), &[("g/canary", 42, 3)], 1_791_600_000, Ok("same"));
    check_receive(&with("/exp", Value::Null), &[], u64::MAX, Ok("fresh"));
    let issued = 1_789_000_000;
    check_receive(&document(), &[], issued - 3600, Ok("fresh"));
    check_receive(&document(), &[], issued - 3601, Err(Code::Expired));
    check_receive(&with("/requires/agent", ">0.4.1".into()), &[], now, Err(Code::AgentVersion));
    check_receive(&with("/requires/agent", "=0.4.1".into()), &[], now, Ok("fresh"));
    check_receive(&with("/requires/agent", "<=0.4".into()), &[], now, Err(Code::AgentVersion));
    check_receive(&with("/requires/freeBytes", u64::MAX.into()), &[], now, Ok("fresh"));
    check_receive(&with("/requires/platform", json!(["linux/arm/v7"])), &[], now, Err(Code::Platform));
    check_receive(&with("/requires/platform", json!(["linux/arm64/v8"])), &[], now, Ok("fresh"));
    check_receive(&with("/requires/platform", json!(["linux/arm64/v9"])), &[], now, Err(Code::Platform));
}

/// Whoever stole a key must not leave the scope without a number for the document that comes after.
#[test]
fn the_numbers_of_a_scope_cannot_be_used_up() {
    let now = 1_789_000_100;
    let step = crate::limits::GENERATION_STEP_MAX;
    let numbered = |number: u64| with("/gen", number.into());
    check_receive(&numbered(step), &[], now, Ok("fresh"));
    check_receive(&numbered(1_789_000_100_000), &[("g/canary", 42, 3)], now, Ok("fresh"));
    check_receive(&numbered(42 + step), &[("g/canary", 42, 3)], now, Ok("fresh"));
    check_receive(&numbered(43 + step), &[("g/canary", 42, 3)], now, Err(Code::Schema));
    check_receive(&numbered(43 + step), &[("d/board-1", 43, 0)], now, Err(Code::Schema));
    check_receive(&numbered(u64::MAX), &[], now, Err(Code::Schema));
    check_receive(&numbered(u64::MAX), &[("g/canary", u64::MAX - 1, 0)], now, Ok("fresh"));
}

#[test]
fn time_is_the_newest_that_can_be_believed() {
    let clock = |synced: Option<u64>, built, newest| Clock {
        synced: synced.map(Timestamp),
        built: Timestamp(built),
        newest_issued: Timestamp(newest),
    };
    for (clock, time) in [
        (clock(None, 5, 3), 5),
        (clock(None, 5, 9), 9),
        (clock(Some(20), 5, 9), 20),
        (clock(Some(1), 5, 9), 9),
    ] {
        assert_eq!(trusted_time(&clock), Timestamp(time));
    }
}

#[test]
fn a_whole_document_is_read() {
    let desired = Desired::parse(document().to_string().as_bytes(), Tags::Refused).unwrap();
    assert_eq!((desired.number, desired.rev, desired.id.as_str()), (42, 3, "01J9"));
    let gate = &desired.policy.gate;
    assert_eq!((gate.mode, gate.percent_hundredths, gate.spread_s), (Mode::Soft, 1250, 900));
    assert_eq!((gate.seed.as_str(), gate.not_before), ("01J9-s", None));
    assert_eq!(gate.deadline, Some(Timestamp(1_789_400_000)));
    let window = Window {
        days: vec![Day::Sat, Day::Sun],
        start_minute: 23 * 60 + 30,
        minutes: 60,
        zone: Zone::default(),
    };
    assert_eq!((&gate.windows, gate.download_outside_window), (&vec![window], true));
    assert_eq!(gate.max_bps, 125_000);
    assert_eq!((desired.policy.priority, desired.policy.soak_s), (10, 300));
    assert_eq!(desired.projects.len(), 1);
    assert_eq!(desired.generation().scope, "g/canary");
}

#[test]
fn a_short_document_has_defaults() {
    let short =
        json!({"schema": "desired/v1", "id": "a", "scope": "d/x", "gen": 1, "iat": 0, "projects": {}});
    let desired = Desired::parse(short.to_string().as_bytes(), Tags::Refused).unwrap();
    assert_eq!((desired.rev, desired.expires), (0, None));
    assert_eq!(desired.policy.gate.percent_hundredths, 10_000);
    assert_eq!(desired.policy.gate.seed, "a");
    assert!(desired.projects.is_empty());
}

#[track_caller]
fn check_refused(document: &Value, code: Code, named: &str) {
    let fault = Desired::parse(document.to_string().as_bytes(), Tags::Refused).unwrap_err();
    assert_eq!(fault.code, code, "{fault}");
    assert!(fault.message().starts_with(named), "{fault}");
}

#[test]
fn a_mistake_is_named_with_its_path() {
    check_refused(&with("/schema", "desired/v2".into()), Code::Schema, "schema ");
    check_refused(&with("/id", "a/b".into()), Code::Schema, "id ");
    check_refused(&with("/id", Value::Null), Code::Schema, "id is missing");
    check_refused(&with("/scope", "x/y".into()), Code::Schema, "scope ");
    check_refused(&with("/gen", (-1).into()), Code::Schema, "gen ");
    check_refused(&with("/rev", 1.5.into()), Code::Schema, "rev ");
    check_refused(&with("/exp", 1.into()), Code::Schema, "exp ");
    check_refused(&with("/policy", json!([])), Code::Schema, "policy ");
    check_refused(&with("/policy", json!({"sook": 1})), Code::Schema, "policy.sook ");
    check_refused(&with("/policy/mode", "later".into()), Code::Schema, "policy.mode ");
    for percent in [json!(101), json!(-1), json!(100.01), json!(0.001), json!("5"), json!(1e300)] {
        check_refused(&with("/policy/percent", percent), Code::Schema, "policy.percent ");
    }
    check_refused(&with("/policy/attempts", 0.into()), Code::Schema, "policy.attempts ");
    check_refused(&with("/policy/onFailure", "panic".into()), Code::Schema, "policy.onFailure ");
    check_refused(&with("/policy/download", json!({"maxBpz": 1})), Code::Schema, "policy.download.maxBpz ");
    check_refused(&with("/policy/download/maxBps", (-9).into()), Code::Schema, "policy.download.maxBps ");
    for (key, value) in [("start", "24:00"), ("start", "7:30"), ("start", "+7:30"), ("tz", "../etc")] {
        let path = format!("/policy/windows/0/{key}");
        check_refused(&with(&path, value.into()), Code::Schema, &format!("policy.windows[0].{key} "));
    }
    check_refused(
        &with("/policy/windows/0/days", json!(["Someday"])),
        Code::Schema,
        "policy.windows[0].days ",
    );
    check_refused(&with("/policy/windows/0/minutes", 0.into()), Code::Schema, "policy.windows[0].minutes ");
    check_refused(&with("/requires/agent", "newest".into()), Code::Schema, "requires.agent ");
    check_refused(&with("/requires/platform", json!(["arm"])), Code::Schema, "requires.platform ");
    check_refused(&with("/projects", Value::Null), Code::Schema, "projects is missing");
    check_refused(&with("/projects", json!({"a.b": {}})), Code::Schema, "project \"a.b\"");
    let image = "/projects/shop/services/web/image";
    check_refused(&with(image, "nginx:1".into()), Code::Unpinned, "projects.shop.services.web.image ");
    let tagged = with(image, "nginx:1".into()).to_string();
    assert!(Desired::parse(tagged.as_bytes(), Tags::Accepted).is_ok());
}

#[test]
fn the_device_beats_its_groups_and_priority_beats_the_name() {
    for (candidates, winner) in [
        (&[][..], None),
        (&[("g/b", 1), ("g/a", 1)], Some("g/a")),
        (&[("g/b", 2), ("g/a", 1)], Some("g/b")),
        (&[("g/b", 9), ("d/x", -9)], Some("d/x")),
    ] {
        let candidates = candidates.iter().map(|(scope, priority)| (Scope::parse(scope).unwrap(), *priority));
        let candidates: BTreeMap<Scope, i64> = candidates.collect();
        let chosen = choose(&candidates);
        assert_eq!(chosen.as_ref().map(|chosen| chosen.winner.to_string()).as_deref(), winner);
        assert_eq!(chosen.map_or(0, |chosen| chosen.others.len() + 1), candidates.len());
    }
}

#[test]
fn what_was_accepted_is_saved_by_scope() {
    let accepted = Accepted { number: 1, rev: 2, digest: Digest::of(b"") };
    let saved = BTreeMap::from([(Scope::parse("g/a").unwrap(), accepted)]);
    let text = serde_json::to_string(&saved).unwrap();
    assert!(text.starts_with(r#"{"g/a":{"gen":1,"rev":2,"digest":"sha256:"#), "{text}");
    assert_eq!(serde_json::from_str::<BTreeMap<Scope, Accepted>>(&text).unwrap(), saved);
}
