use super::*;
use crate::oci::Digest;

fn state(services: usize) -> State {
    let service = || Service {
        image: Digest::of(b"i"),
        manifest: Digest::of(b"m"),
        state: "running".into(),
        restarts: 0,
        since: Some(Timestamp(1_788_000_000)),
        health: Some(Health::Healthy),
        why: None,
    };
    let services =
        (0..services).map(|n| (ServiceName::parse(&format!("app{n}")).unwrap(), service())).collect();
    let project = Project { health: Health::Healthy, services };
    let projects = BTreeMap::from([(ProjectName::parse("telemetry").unwrap(), project)]);
    State {
        schema: "state/v1",
        sid: "01JA".into(),
        seq: 181,
        ts: Timestamp(1_789_001_234),
        clock: Clock::Synced,
        agent: Agent {
            version: "0.4.1",
            platform: "linux/arm/v7".into(),
            runtime: "crun 1.14".into(),
            trust: "none".into(),
            trust_counter: None,
        },
        desired: Some(Generation { id: "01J9".into(), scope: "g/eu-canary".into(), number: 42, rev: 3 }),
        others: Vec::new(),
        deployment: Deployment {
            status: Status::Waiting,
            reasons: vec!["PERCENT:10<37.2".into()],
            attempt: 1,
            since: Timestamp(1_789_001_200),
            error: None,
        },
        running: Running { number: Some(41), projects },
        last_good: Some(Good { number: 41 }),
        bad: vec![Bad { number: 40, code: Code::HealthTimeout }],
        held: None,
        disk: Disk { free: 812_000_000, owned: 164_000_000 },
        board: serde_json::json!({"load": [0.1, 0.2, 0.3]}),
        store: None,
        truncated: false,
    }
}

#[test]
fn a_state_is_written_as_the_contract_has_it() {
    let digest = |bytes: &[u8]| Digest::of(bytes).to_string();
    let expected = serde_json::json!({
        "schema": "state/v1", "sid": "01JA", "seq": 181, "ts": 1_789_001_234, "clock": "synced",
        "agent": {"version": "0.4.1", "platform": "linux/arm/v7", "runtime": "crun 1.14", "trust": "none"},
        "desired": {"id": "01J9", "scope": "g/eu-canary", "gen": 42, "rev": 3},
        "deployment": {
            "status": "WAITING", "reasons": ["PERCENT:10<37.2"], "attempt": 1, "since": 1_789_001_200, "error": null
        },
        "running": {"gen": 41, "projects": {"telemetry": {"health": "healthy", "services": {"app0": {
            "image": digest(b"i"), "manifest": digest(b"m"), "state": "running", "restarts": 0,
            "since": 1_788_000_000, "health": "healthy",
        }}}}},
        "lastGood": {"gen": 41}, "bad": [{"gen": 40, "code": "HEALTH_TIMEOUT"}],
        "disk": {"free": 812_000_000, "owned": 164_000_000}, "board": {"load": [0.1, 0.2, 0.3]},
    });
    let bytes = state(1).to_bytes();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&bytes).unwrap(), expected);
}

#[test]
fn a_state_that_would_be_too_long_leaves_its_services_out_and_says_so() {
    let bytes = state(200).to_bytes();
    assert!(bytes.len() <= STATE_BYTES_MAX);
    let sent: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(sent["truncated"], true);
    assert_eq!(sent["running"]["projects"]["telemetry"]["services"], serde_json::json!({}));
    assert_eq!(sent["deployment"]["status"], "WAITING");
}

#[test]
fn a_status_is_its_wire_name() {
    for status in [Status::Idle, Status::RollingBack, Status::RolledBack, Status::Superseded, Status::Paused]
    {
        assert_eq!(serde_json::to_value(status).unwrap(), status.wire());
    }
}
