use std::collections::BTreeSet;

use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::*;

mod envelopes;
mod keys;
mod lineages;
mod thresholds;

/// Somebody with an Ed25519 key, the same for the same number.
struct Signer(Ed25519KeyPair);

impl Signer {
    fn new(number: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap())
    }

    fn public(&self) -> PublicKey {
        let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        PublicKey::from_der(&[&head, self.0.public_key().as_ref()].concat()).unwrap()
    }

    fn sign(&self, kind: Kind, payload: &[u8]) -> Signature {
        let sig = self.0.sign(&pae(kind, payload)).as_ref().to_vec();
        Signature { keyid: Some(self.public().id().to_string()), sig }
    }
}

fn sealed(kind: Kind, payload: &[u8], signers: &[u8]) -> Envelope {
    let signatures = signers.iter().map(|number| Signer::new(*number).sign(kind, payload)).collect();
    Envelope::sealed(kind, payload.to_vec(), signatures)
}

fn role(keys: &[u8], threshold: usize) -> Role {
    Role { keys: keys.iter().map(|number| Signer::new(*number).public().id()).collect(), threshold }
}

/// A trust document of these keys, each list with its threshold.
fn trust(counter: u64, deploy: (&[u8], usize), root: (&[u8], usize)) -> serde_json::Value {
    let all: BTreeSet<u8> = deploy.0.iter().chain(root.0).copied().collect();
    let key = |number: &u8| {
        let key = Signer::new(*number).public();
        (key.id().to_string(), serde_json::Value::from(key.to_pem()))
    };
    serde_json::json!({
        "schema": "trust/v1",
        "counter": counter,
        "keys": all.iter().map(key).collect::<serde_json::Map<_, _>>(),
        "roles": {"deploy": role(deploy.0, deploy.1), "root": role(root.0, root.1)},
    })
}

fn parsed(document: &serde_json::Value) -> TrustDocument {
    TrustDocument::parse(document.to_string().as_bytes()).unwrap()
}
