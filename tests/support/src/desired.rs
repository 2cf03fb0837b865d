//! Desired-state documents as an operator would write them.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// What a device is told, with its place in the order of documents.
pub struct Desired<'a> {
    /// The device.
    pub device: &'a str,
    /// Counts content.
    pub generation: u64,
    /// Compose documents by name.
    pub projects: Value,
}

impl Desired<'_> {
    /// The envelope, without signatures, on one line.
    pub fn envelope(&self) -> String {
        // Short: whoever watches wants to see the end.
        self.envelope_under(&json!({"health": 30, "soak": 1}))
    }

    /// The same under another policy.
    pub fn envelope_under(&self, policy: &Value) -> String {
        json!({
            "payloadType": "application/vnd.coracle.desired.v1+json",
            "payload": STANDARD.encode(self.document(&format!("d/{}", self.device), policy)),
            "signatures": [],
        })
        .to_string()
    }

    /// The document alone, for any scope.
    pub fn document(&self, scope: &str, policy: &Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let document = json!({
            "schema": "desired/v1",
            "id": format!("{}-{}", self.device, self.generation),
            "scope": scope,
            "gen": self.generation,
            "rev": 0,
            "iat": now,
            "exp": now + 86_400,
            "policy": policy,
            "projects": self.projects,
        });
        document.to_string()
    }
}

/// A project of one service with the host's network.
pub fn site(image: &str) -> Value {
    json!({"site": {"services": {"web": {"image": image, "network_mode": "host", "restart": "unless-stopped"}}}})
}
