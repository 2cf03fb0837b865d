//! Desired-state documents as an operator would write them, and as nobody should.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coracle_test_support::broker::Broker;
use serde_json::{Value, json};

/// What a device or group is told.
#[derive(Clone, Debug)]
pub(crate) struct Desired {
    /// `d/<device>` or `g/<group>`.
    pub(super) scope: String,
    /// Counts content.
    pub(super) generation: u64,
    /// Counts policy.
    pub(super) rev: u64,
    /// When it is issued; now where nobody says otherwise.
    pub(super) issued: u64,
    /// How it wants to pass; short trials where nobody says otherwise.
    pub(super) policy: Value,
    /// Compose documents by name.
    pub(super) projects: Value,
}

impl Desired {
    /// A generation for a device.
    pub(crate) fn new(device: &str, generation: u64, projects: Value) -> Self {
        let scope = format!("d/{device}");
        let policy = json!({"health": 30, "soak": 0});
        Self { scope, generation, rev: 0, issued: now(), policy, projects }
    }

    /// With this said of how it wants to pass, besides what is said already.
    pub(super) fn policy(mut self, policy: &Value) -> Self {
        for (key, value) in policy.as_object().unwrap() {
            self.policy[key] = value.clone();
        }
        self
    }

    /// The document.
    pub(super) fn document(&self) -> Value {
        json!({
            "schema": "desired/v1",
            "id": format!("doc-{}-{}", self.generation, self.rev),
            "scope": self.scope,
            "gen": self.generation,
            "rev": self.rev,
            "iat": self.issued,
            "exp": self.issued + 86_400,
            "policy": self.policy,
            "projects": self.projects,
        })
    }

    /// The topic it belongs on.
    pub(super) fn topic(&self) -> String {
        format!("coracle/v1/{}/desired", self.scope)
    }

    /// Publishes it, retained.
    pub(crate) fn send(&self, broker: &Broker) {
        broker.publish_retained(&self.topic(), &envelope(&self.document())).unwrap();
    }
}

/// The envelope of a document, without signatures.
pub(super) fn envelope(document: &Value) -> Vec<u8> {
    let payload = STANDARD.encode(document.to_string());
    let kind = "application/vnd.coracle.desired.v1+json";
    json!({"payloadType": kind, "payload": payload, "signatures": []}).to_string().into_bytes()
}

/// A project of one service.
pub(crate) fn site(image: &str) -> Value {
    json!({"site": {"services": {"web": {"image": image, "restart": "unless-stopped"}}}})
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
