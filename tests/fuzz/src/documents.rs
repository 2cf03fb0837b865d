//! What the broker hands out: envelopes, desired documents, trust documents.

use std::collections::BTreeMap;

use coracle_core::compose::{Defaults, NetworkMode, parse};
use coracle_core::desired::{Clock, Desired, Facts, Received, Tags, receive};
use coracle_core::ident::{DeviceId, GroupName};
use coracle_core::oci::{Digest, Platform};
use coracle_core::time::Timestamp;
use coracle_core::trust::{Envelope, Kind, Lineage, Policy, PublicKey, Signature, TrustDocument};

use serde_json::Value;

use crate::told::{fault, told};

/// Keys and documents of the fixtures.
pub(crate) const ED25519: &str = include_str!("../../data/trust/ed25519.pub");
pub(crate) const P256: &str = include_str!("../../data/trust/p256.pub");
pub(crate) const ROOT: &str = include_str!("../../data/trust/root.pub");
pub(crate) const SIGNED: [&[u8]; 2] = [
    include_bytes!("../../data/trust/desired-ed25519.json"),
    include_bytes!("../../data/trust/desired-p256.json"),
];

/// A saved lineage of theirs.
pub(crate) const LINEAGE: &[u8] = include_bytes!("../../data/saved/trust-1.json");

/// A board of the fixtures' keys.
fn keys() -> TrustDocument {
    let key = |pem| PublicKey::from_pem(pem).expect("a key of the fixtures");
    TrustDocument::of_keys(vec![key(ED25519), key(P256)], vec![key(ROOT)]).expect("a trust document")
}

/// A payload: what it says is judged as of a board that believes everybody, and its projects are read.
pub(crate) fn desired(data: &[u8]) {
    for tags in [Tags::Refused, Tags::Accepted] {
        match Desired::parse(data, tags) {
            Ok(desired) => {
                told(&desired.id);
                for (name, body) in &desired.projects {
                    let defaults = Defaults { network: Some(NetworkMode::Host) };
                    if let Err(error) = parse(name, body, &defaults) {
                        fault(&coracle_core::fault::Fault::new(
                            coracle_core::fault::Code::Compose,
                            &error.to_string(),
                        ));
                    }
                }
            }
            Err(error) => fault(&error),
        }
    }
    let envelope = Envelope::sealed(Kind::Desired, data.to_vec(), Vec::new()).to_bytes();
    match received(&envelope, &Policy::Anybody) {
        Ok(Received::Fresh(document, accepted)) => {
            assert_eq!(accepted.digest, Digest::of(data));
            assert_eq!((accepted.number, accepted.rev), (document.number, document.rev));
            assert_eq!(document.scope.to_string(), document.generation().scope);
        }
        Ok(Received::Empty) => panic!("an envelope is not nothing"),
        Ok(Received::Same(_)) => panic!("nothing was accepted before"),
        Err(error) => fault(&error),
    }
    let keys = Policy::Keys(Box::new(Lineage::of_image(keys())));
    let refused = received(&envelope, &keys).expect_err("nobody signed it");
    fault(&refused);
}

fn received(envelope: &[u8], trust: &Policy) -> Result<Received, coracle_core::fault::Fault> {
    let device = DeviceId::parse("pump-7").expect("a name");
    let groups = [GroupName::parse("pumps").expect("a name")];
    let clock = Clock { synced: None, built: Timestamp(1), newest_issued: Timestamp(0) };
    let (accepted, platforms) = (BTreeMap::new(), [Platform::linux("arm", "v7")]);
    let (tags, agent) = (Tags::Accepted, "1.2.3");
    let facts = Facts {
        device: &device,
        groups: &groups,
        trust,
        tags,
        accepted: &accepted,
        clock,
        agent,
        platforms: &platforms,
    };
    receive(envelope, &facts)
}

/// An envelope: the same once written and read, and nothing that the fixtures' keys did not sign is believed.
pub(crate) fn envelope(data: &[u8]) {
    for kind in [Kind::Desired, Kind::Trust] {
        match Envelope::parse(kind, data) {
            Ok(envelope) => {
                let (sealed, signatures) = (envelope.payload().to_vec(), envelope.signatures().to_vec());
                assert_eq!(Envelope::sealed(kind, sealed, signatures), envelope);
                let written = envelope.to_bytes();
                // Base64 without padding grows when it is written with it.
                if written.len() <= kind.bytes_max() {
                    assert_eq!(Envelope::parse(kind, &written).as_ref(), Ok(&envelope));
                }
                believed(&envelope);
            }
            Err(error) => fault(&error),
        }
    }
    let keys = Policy::Keys(Box::new(Lineage::of_image(keys())));
    if let Err(error) = received(data, &keys) {
        fault(&error);
    }
    for policy in [keys, Policy::Anybody, Policy::Nobody("of no key".to_owned())] {
        match policy.rotate(data) {
            Ok(rotated) => assert!(rotated.is_none(), "keys were replaced by a document that nobody signed"),
            Err(error) => fault(&error),
        }
    }
}

/// What the keys take has a payload that they signed, which only the fixtures have.
fn believed(envelope: &Envelope) {
    let policy = Policy::Keys(Box::new(Lineage::of_image(keys())));
    match policy.admit(envelope.clone()) {
        Ok(_) => {
            let signed =
                SIGNED.map(|bytes| Envelope::parse(Kind::Desired, bytes).expect("a fixture").digest());
            assert!(
                envelope.kind() == Kind::Desired && signed.contains(&envelope.digest()),
                "believed: {envelope:?}"
            );
        }
        Err(error) => fault(&error),
    }
}

/// Trust documents and saved lineages: the same once written and read; what is damaged gives no new key.
pub(crate) fn trust(data: &[u8]) {
    match TrustDocument::parse(data) {
        Ok(document) => {
            let written = document.to_payload();
            let again = TrustDocument::parse(&written).expect("what was written is read");
            assert_eq!((again.keys(), again.counter()), (document.keys(), document.counter()));
            assert_eq!(again.to_payload(), written);
            let by_nobody =
                Envelope::sealed(Kind::Trust, written, vec![Signature { keyid: None, sig: vec![0; 64] }]);
            fault(&Lineage::of_image(document).rotate(by_nobody).map(|_| ()).err().unwrap_or_else(none));
        }
        Err(error) => fault(&error),
    }
    match Lineage::resume(keys(), data) {
        Ok((lineage, broken)) => {
            let followed = lineage.current().digest();
            let signed = followed == lineage.image().digest() || links().contains(&followed);
            assert!(signed, "a link that nobody signed was followed: {followed}");
            if let Some(error) = broken {
                fault(&error);
            }
            let (again, _) = Lineage::resume(keys(), &lineage.to_bytes()).expect("what was saved is read");
            assert_eq!(again, lineage);
        }
        Err(error) => told(&error),
    }
}

/// The links that the fixture's root signed.
pub(crate) fn links() -> Vec<Digest> {
    payloads().map(|payload| Digest::of(&payload)).collect()
}

/// Their payloads.
pub(crate) fn payloads() -> impl Iterator<Item = Vec<u8>> {
    let saved: Value = serde_json::from_slice(LINEAGE).expect("a fixture");
    let links = saved["chain"].as_array().cloned().unwrap_or_default();
    let read = |link: Value| Envelope::parse(Kind::Trust, link.to_string().as_bytes()).ok();
    links.into_iter().filter_map(read).map(|link| link.payload().to_vec())
}

/// In place of a refusal: the document was the one that counts, byte for byte.
fn none() -> coracle_core::fault::Fault {
    coracle_core::fault::Fault::new(coracle_core::fault::Code::Replay, "known already")
}
