//! What decides whether an image is signed: policies, keys in PEM and DER, signatures as registries have them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coracle_core::oci::{Digest, Reference};
use coracle_core::trust::image::{ImageKey, ImagePolicy, Proof, bytes_of, proofs_of};

use crate::documents::P256;
use crate::told::{fault, told};

const ASKED: &str = "registry.example/site/web:1";

/// A policy, a key or a signature: nothing is signed by a key that signed nothing, and nobody gets past a policy that
/// wants a signature.
pub(crate) fn signed(data: &[u8]) {
    let reference = Reference::parse(ASKED).expect("a reference");
    let digest = Digest::of(b"an index");
    let proofs = [
        Proof::Bundle(data.to_vec()),
        Proof::Simple { payload: data.to_vec(), signature: Vec::new() },
        Proof::Simple { payload: b"{}".to_vec(), signature: data.to_vec() },
    ];
    let verdict = wanting(br#"{"default":[{"type":"sigstoreSigned","keyPath":"/k"}]}"#)
        .judge(&reference, &digest, &proofs);
    assert!(!verdict.accepted() && verdict.counted().is_empty(), "signed by nobody: {verdict:?}");
    fault(&verdict.fault(&reference).expect("it is refused"));
    if let Some(read) = proofs_of(data) {
        assert_eq!(proofs_of(&bytes_of(&read)).as_ref(), Some(&read), "saved is not what was read");
    }
    key(data);
    policy(data, &reference, &digest, &proofs);
}

/// A policy whose keys are all the fixture's.
fn wanting(bytes: &[u8]) -> ImagePolicy {
    ImagePolicy::parse(bytes, &mut |_| Ok(P256.as_bytes().to_vec())).expect("a policy")
}

fn policy(data: &[u8], reference: &Reference, digest: &Digest, proofs: &[Proof]) {
    let Ok(policy) = ImagePolicy::parse(data, &mut |_| Ok(P256.as_bytes().to_vec())) else { return };
    assert!(!policy.summary().is_empty(), "a policy demands something, if only by default");
    let verdict = policy.judge(reference, digest, proofs);
    assert!(verdict.counted().is_empty(), "signed by nobody: {verdict:?}");
    match verdict.fault(reference) {
        Some(refused) => {
            assert!(!verdict.accepted());
            fault(&refused);
        }
        None => assert!(verdict.accepted(), "neither taken nor refused: {verdict:?}"),
    }
}

/// The bytes as DER, and as a whole file.
fn key(data: &[u8]) {
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(data));
    let whole = String::from_utf8_lossy(data);
    for text in [pem.as_str(), &whole] {
        match ImageKey::from_pem(text) {
            Ok(key) => {
                assert_eq!(ImageKey::from_pem(text).map(|again| again.id()), Ok(key.id()));
                assert!(!key.verifies(b"what nobody signed", data));
            }
            Err(error) => told(&error),
        }
    }
}
