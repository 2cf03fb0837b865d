//! Rows for the policy and for what signatures come to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};

use super::*;
use crate::oci::{Digest, Reference};
use crate::trust::PublicKey;

/// A key pair that is the same each time.
struct Signs(Ed25519KeyPair);

const HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

fn key(seed: u8) -> Signs {
    Signs(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
}

impl Signs {
    fn pem(&self) -> String {
        use ring::signature::KeyPair as _;
        PublicKey::from_der(&[&HEAD, self.0.public_key().as_ref()].concat()).unwrap().to_pem()
    }

    fn data(&self) -> String {
        STANDARD.encode(self.pem())
    }

    fn simple(&self, digest: &Digest, name: &str) -> Proof {
        let payload = json!({
            "critical": {
                "identity": {"docker-reference": name},
                "image": {"docker-manifest-digest": digest},
                "type": "cosign container image signature",
            },
            "optional": null,
        });
        self.over(payload.to_string().as_bytes())
    }

    fn over(&self, payload: &[u8]) -> Proof {
        Proof::Simple { payload: payload.to_vec(), signature: self.0.sign(payload).as_ref().to_vec() }
    }

    fn bundle(&self, statement: &Value, change: impl FnOnce(&mut Value)) -> Proof {
        const IN_TOTO: &str = "application/vnd.in-toto+json";
        let payload = statement.to_string();
        let message = format!("DSSEv1 {} {IN_TOTO} {} {payload}", IN_TOTO.len(), payload.len());
        let mut bundle = json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {"hint": "any"}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": STANDARD.encode(&payload),
                "payloadType": IN_TOTO,
                "signatures": [{"sig": STANDARD.encode(self.0.sign(message.as_bytes()))}],
            },
        });
        change(&mut bundle);
        Proof::Bundle(bundle.to_string().into_bytes())
    }
}

fn statement(digest: &Digest) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": digest.hex()}, "annotations": {}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    })
}

fn digest() -> Digest {
    Digest::of(b"image")
}

fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

fn pinned() -> Reference {
    reference(&format!("r.example/team/app@{}", digest()))
}

fn read(policy: &Value) -> Result<ImagePolicy, PolicyFileError> {
    ImagePolicy::parse(policy.to_string().as_bytes(), &mut |path| match path {
        "/keys/a.pub" => Ok(key(1).pem().into_bytes()),
        "/keys/none" => Ok(b"nothing".to_vec()),
        _ => Err("No such file".to_owned()),
    })
}

fn signed(identity: &str) -> Value {
    let mut requirement = json!({"type": "sigstoreSigned", "keyData": key(1).data()});
    if !identity.is_empty() {
        requirement["signedIdentity"] = serde_json::from_str(identity).unwrap();
    }
    requirement
}

/// A policy whose default is this list.
fn demands(requirements: &Value) -> ImagePolicy {
    read(&json!({"default": requirements})).unwrap()
}

#[track_caller]
fn scope(text: &str, expected: &str) {
    let all = [
        "",
        "*.example",
        "*.b.example",
        "r.example",
        "r.example:5000",
        "r.example/team",
        "r.example/team/app",
        "r.example/team/app:1",
        "docker.io/library",
        "localhost:1",
    ];
    let mut docker: serde_json::Map<_, _> =
        all.iter().map(|scope| ((*scope).to_owned(), json!([{"type": "reject"}]))).collect();
    let by_digest = format!("r.example/team/app@{}", digest());
    docker.insert(by_digest, json!([{"type": "reject"}]));
    let policy = read(&json!({"default": [{"type": "reject"}], "transports": {"docker": docker}})).unwrap();
    let verdict = policy.judge(&reference(text), &digest(), &[]);
    assert_eq!(verdict.scope, format!("transports.docker[{expected:?}]"), "{text}");
}

#[test]
fn the_most_specific_scope_decides() {
    let by_digest = format!("r.example/team/app@{}", digest());
    scope("r.example/team/app:1", "r.example/team/app:1");
    scope("r.example/team/app:2", "r.example/team/app");
    scope(&by_digest, &by_digest);
    scope(&format!("r.example/team/app:1@{}", digest()), &by_digest);
    scope(&format!("r.example/team/app:1@{}", Digest::of(b"")), "r.example/team/app");
    scope("r.example/team/app/deeper", "r.example/team/app");
    scope("r.example/team/application", "r.example/team");
    scope("r.example/teams/app", "r.example");
    scope("r.example:5000/team/app", "r.example:5000");
    scope("r.example:5001/team/app", "*.example");
    scope("a.b.example/x", "*.b.example");
    scope("b.example/x", "*.example");
    scope("nginx", "docker.io/library");
    scope("docker.io/team/app", "");
    scope("localhost:1/x", "localhost:1");
    scope("localhost:2/x", "");
}

#[test]
fn without_a_scope_the_default_decides() {
    let policy = read(&json!({
        "default": [{"type": "reject"}],
        "transports": {
            "docker": {"r.example": [{"type": "insecureAcceptAnything"}]},
            "docker-daemon": {"": [{"type": "insecureAcceptAnything"}]},
        },
    }))
    .unwrap();
    assert!(policy.judge(&reference("r.example/x"), &digest(), &[]).accepted());
    let verdict = policy.judge(&reference("s.example/x"), &digest(), &[]);
    assert_eq!((verdict.scope.as_str(), verdict.is_open()), ("default", false));
    let fault = verdict.fault(&reference("s.example/x")).unwrap();
    assert_eq!(fault.code.wire(), "POLICY");
    assert!(fault.message().contains("default[0] is reject"), "{fault}");
    assert_eq!(policy.summary().len(), 2);
}

#[track_caller]
fn refused(policy: &Value, says: &str) {
    let error = read(policy).unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
}

#[test]
fn what_would_not_be_obeyed_is_refused_with_its_place() {
    let default = |requirement: Value| json!({"default": [requirement]});
    let docker = |scope: &str| json!({"default": [{"type": "reject"}], "transports": {"docker": {scope: [{"type": "reject"}]}}});
    refused(&json!({}), "default is missing");
    refused(&json!({"default": []}), "default is empty");
    refused(&json!({"default": [{"type": "reject"}], "more": 1}), "more is not a key");
    refused(&default(json!({"type": "signedBy"})), "default[0].type signedBy is not supported");
    refused(&default(json!({"type": "trust"})), "default[0].type is none of");
    refused(&default(json!({"type": "reject", "keyPath": "/a"})), "default[0].keyPath is not a key");
    refused(&default(json!({"type": "sigstoreSigned"})), "default[0].keyPath or one other");
    for unsupported in ["fulcio", "pki", "rekorPublicKeyPath", "rekorPublicKeyDatas"] {
        let mut requirement = signed("");
        requirement[unsupported] = json!({});
        refused(&default(requirement), &format!("default[0].{unsupported} is not supported"));
    }
    let with = |change: Value| {
        let mut requirement = json!({"type": "sigstoreSigned"});
        requirement.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        default(requirement)
    };
    refused(&with(json!({"keyPath": "/keys/a.pub", "keyData": key(1).data()})), "must stand alone");
    refused(&with(json!({"keyPath": "keys/a.pub"})), "default[0].keyPath is not an absolute path");
    refused(&with(json!({"keyPath": "/keys/gone"})), "default[0].keyPath cannot be used: No such file");
    refused(&with(json!({"keyPath": "/keys/none"})), "default[0].keyPath (/keys/none) is not one public key");
    refused(&with(json!({"keyPaths": []})), "default[0].keyPaths holds 0 keys");
    refused(&with(json!({"keyPaths": "/keys/a.pub"})), "default[0].keyPaths is not a list");
    refused(&with(json!({"keyPaths": ["/keys/a.pub", 1]})), "default[0].keyPaths[1] is not a string");
    refused(&with(json!({"keyDatas": ["?"]})), "default[0].keyDatas[0] is not base64");
    let named = |identity: Value| {
        let mut requirement = signed("");
        requirement["signedIdentity"] = identity;
        default(requirement)
    };
    refused(&named(json!({"type": "any"})), "default[0].signedIdentity.type is none of");
    refused(&named(json!({"type": "exactReference", "dockerReference": "r.example/a"})), "neither tag nor");
    refused(&named(json!({"type": "exactRepository"})), "dockerRepository is missing");
    refused(&named(json!({"type": "matchRepository", "x": 1})), "default[0].signedIdentity.x is not a key");
    refused(
        &named(json!({"type": "remapIdentity", "prefix": "r.example/a:1", "signedPrefix": "s.example"})),
        "default[0].signedIdentity.prefix is neither",
    );
    for scope in [
        "team/app",
        "nginx",
        "R.example",
        "r.example/",
        "r.example/App",
        "*.example/app",
        "*.",
        "*",
        "https://r.example",
        "docker.io/nginx:1",
        "index.docker.io",
        "r.example/app:1@sha256:00",
        "r.example:99999",
    ] {
        refused(&docker(scope), &format!("transports.docker[{scope:?}]"));
    }
    let twice = br#"{"default":[{"type":"reject"}],"default":[{"type":"insecureAcceptAnything"}]}"#;
    let error = ImagePolicy::parse(twice, &mut |_| Err(String::new())).unwrap_err().to_string();
    assert!(error.contains("key \"default\" comes twice"), "{error}");
}

#[track_caller]
fn named(asked: &str, identity: &str, signed_as: &str, expected: bool) {
    let policy = demands(&json!([signed(identity)]));
    let verdict = policy.judge(&reference(asked), &digest(), &[key(1).simple(&digest(), signed_as)]);
    assert_eq!(verdict.accepted(), expected, "{asked} signed as {signed_as} for {identity}: {verdict:?}");
}

#[test]
fn a_name_in_a_signature_is_held_against_the_one_asked_for() {
    let at = format!("r.example/app@{}", digest());
    let default = "";
    named("r.example/app:1", default, "r.example/app:1", true);
    named("r.example/app:1", default, "r.example/app:2", false);
    named("r.example/app:1", default, "r.example/app", false);
    named("r.example/app", default, "r.example/app", false);
    named("r.example/app", default, "r.example/app:latest", true);
    named(&at, default, "r.example/app:7", true);
    named(&at, default, "r.example/app", false);
    named(&at, default, "r.example/other:7", false);
    named(&format!("r.example/app:1@{}", digest()), default, "r.example/app:7", true);
    let exact = r#"{"type":"matchExact"}"#;
    named("r.example/app:1", exact, "r.example/app:1", true);
    named(&at, exact, "r.example/app:1", false);
    named(&at, exact, &at, true);
    let repository = r#"{"type":"matchRepository"}"#;
    named("r.example/app:1", repository, "r.example/app", true);
    named(&at, repository, "r.example/app:9", true);
    named(&at, repository, "r.example/other", false);
    named("nginx:1", repository, "index.docker.io/library/nginx", true);
    let this = r#"{"type":"exactReference","dockerReference":"s.example/app:1"}"#;
    named(&at, this, "s.example/app:1", true);
    named(&at, this, "s.example/app:2", false);
    let place = r#"{"type":"exactRepository","dockerRepository":"s.example/app"}"#;
    named(&at, place, "s.example/app", true);
    named(&at, place, "r.example/app", false);
    let remap = r#"{"type":"remapIdentity","prefix":"r.example","signedPrefix":"s.example/hub"}"#;
    named("r.example/app:1", remap, "s.example/hub/app:1", true);
    named("r.example/app:1", remap, "r.example/app:1", false);
    named("q.example/app:1", remap, "q.example/app:1", true);
    named("r.example/app:1", repository, "Not A Name", false);
}

#[track_caller]
fn proof(proof: &Proof, says: &str) {
    let policy = demands(&json!([signed(r#"{"type":"matchRepository"}"#)]));
    let verdict = policy.judge(&pinned(), &digest(), std::slice::from_ref(proof));
    let fault = verdict.fault(&pinned()).map(|fault| fault.to_string()).unwrap_or_default();
    assert!(if says.is_empty() { verdict.accepted() } else { fault.contains(says) }, "{says:?}: {fault:?}");
    assert!(says.is_empty() || fault.starts_with("IMAGE_SIGNATURE: "), "{fault}");
}

#[test]
fn a_signature_counts_for_the_digest_the_key_and_the_name_it_has() {
    let name = "r.example/team/app";
    proof(&key(1).simple(&digest(), name), "");
    proof(&key(2).simple(&digest(), name), "no key of the policy");
    proof(&key(1).simple(&Digest::of(b"other"), name), "signature 1: it is of sha256:");
    proof(&key(1).simple(&digest(), "r.example/team/other"), "it is of \"r.example/team/other\"");
    let Proof::Simple { mut payload, signature } = key(1).simple(&digest(), name) else { panic!() };
    payload.push(b' ');
    proof(&Proof::Simple { payload, signature }, "no key of the policy");
    proof(&key(1).over(b"{}"), "is not a simple signing");
    let other_type = r#"{"critical":{"type":"atomic container signature","image":{"docker-manifest-digest":"sha256:00"},"identity":{"docker-reference":"x"}},"optional":{}}"#;
    proof(&key(1).over(other_type.as_bytes()), "not of the type");
    let twice = other_type.replacen("\"critical\":{", "\"critical\":{\"type\":\"a\",", 1);
    proof(&key(1).over(twice.as_bytes()), "is not a simple signing");
    proof(&key(1).over(&vec![b' '; (64 << 10) + 1]), "too long");
}

#[test]
fn a_bundle_counts_where_it_signs_the_digest_with_a_key() {
    let right = statement(&digest());
    let with = |change: fn(&mut Value)| key(1).bundle(&statement(&digest()), change);
    proof(&key(1).bundle(&right, |_| ()), "");
    proof(&key(2).bundle(&right, |_| ()), "no key of the policy");
    proof(&key(1).bundle(&statement(&Digest::of(b"other")), |_| ()), "it is of sha256:");
    proof(
        &with(|it| it["mediaType"] = json!("application/vnd.dev.sigstore.bundle.v0.4+json")),
        "version 0.3",
    );
    proof(
        &with(|it| it["verificationMaterial"] = json!({"certificate": {"rawBytes": ""}})),
        "made with a certificate",
    );
    proof(&with(|it| it["verificationMaterial"] = json!({"tlogEntries": [{}]})), "does not say that a key");
    proof(&with(|it| it["dsseEnvelope"] = Value::Null), "holds no statement");
    proof(&with(|it| it["dsseEnvelope"]["payloadType"] = json!("text/plain")), "no in-toto statement");
    proof(&with(|it| it["dsseEnvelope"]["signatures"] = json!([])), "exactly one signature");
    proof(&with(|it| it["dsseEnvelope"]["payload"] = json!("e30=")), "no key of the policy");
    let mut scanned = right.clone();
    scanned["predicateType"] = json!("https://cosign.sigstore.dev/attestation/vuln/v1");
    proof(&key(1).bundle(&scanned, |_| ()), "does not sign it");
    let mut named = right;
    named["subject"][0]["name"] = json!("r.example/team/app");
    proof(&key(1).bundle(&named, |_| ()), "");
    named["subject"][0]["name"] = json!("r.example/team/other");
    proof(&key(1).bundle(&named, |_| ()), "it is of \"r.example/team/other\"");
    proof(&Proof::Bundle(b"{".to_vec()), "no sigstore bundle");
}

#[test]
fn a_bundle_without_a_name_is_good_for_a_digest_and_for_no_tag() {
    let bundle = key(1).bundle(&statement(&digest()), |_| ());
    let tag = reference("r.example/team/app:1");
    for (asked, identity, expected) in [
        (&pinned(), "", true),
        (&pinned(), r#"{"type":"matchRepository"}"#, true),
        (&pinned(), r#"{"type":"exactRepository","dockerRepository":"r.example/team/app"}"#, false),
        (&pinned(), r#"{"type":"matchExact"}"#, false),
        (&tag, "", false),
        (&tag, r#"{"type":"matchRepository"}"#, false),
    ] {
        let policy = demands(&json!([signed(identity)]));
        let verdict = policy.judge(asked, &digest(), std::slice::from_ref(&bundle));
        assert_eq!(verdict.accepted(), expected, "{asked} {identity}");
    }
}

#[test]
fn two_of_three_keys_are_three_requirements_of_two() {
    let datas = |seeds: [u8; 2]| seeds.map(|seed| key(seed).data());
    let requirement = |seeds| {
        json!({
            "type": "sigstoreSigned", "keyDatas": datas(seeds), "signedIdentity": {"type": "matchRepository"}
        })
    };
    let policy = demands(&json!([requirement([1, 2]), requirement([1, 3]), requirement([2, 3])]));
    for signers in 0..16_u8 {
        let chosen: Vec<u8> = (1..=4).filter(|seed| signers & (1 << (seed - 1)) != 0).collect();
        let proofs: Vec<_> =
            chosen.iter().map(|seed| key(*seed).simple(&digest(), "r.example/team/app")).collect();
        let enough = chosen.iter().filter(|seed| **seed <= 3).count() >= 2;
        let verdict = policy.judge(&pinned(), &digest(), &proofs);
        assert_eq!(verdict.accepted(), enough, "{chosen:?}");
        assert!(!enough || verdict.counted().len() == 2, "{chosen:?}: {verdict:?}");
    }
}

#[test]
fn every_byte_of_a_bundle_and_of_a_payload_matters() {
    let policy = demands(&json!([signed("")]));
    let accepted = |proof: &Proof| policy.judge(&pinned(), &digest(), std::slice::from_ref(proof)).accepted();
    let Proof::Simple { payload, signature } = key(1).simple(&digest(), "r.example/team/app:1") else {
        panic!()
    };
    assert!(accepted(&Proof::Simple { payload: payload.clone(), signature: signature.clone() }));
    for at in 0..payload.len() {
        let mut payload = payload.clone();
        payload[at] ^= 1;
        assert!(!accepted(&Proof::Simple { payload, signature: signature.clone() }), "payload, byte {at}");
    }
    for at in 0..signature.len() {
        let mut signature = signature.clone();
        signature[at] ^= 1;
        assert!(!accepted(&Proof::Simple { payload: payload.clone(), signature }), "signature, byte {at}");
    }
}

#[test]
fn what_is_saved_is_read_again() {
    let proofs =
        [key(1).simple(&digest(), "r.example/team/app"), key(1).bundle(&statement(&digest()), |_| ())];
    assert_eq!(proofs_of(&bytes_of(&proofs)).unwrap(), proofs);
    assert_eq!(proofs_of(br#"{"version":2,"proofs":[]}"#), None);
    assert_eq!(proofs_of(b"{"), None);
    let held = include_bytes!("../../../../../tests/data/saved/image-signatures-1.json");
    assert_eq!(proofs_of(held).unwrap(), proofs);
}

#[test]
fn what_is_fetched_is_bounded_and_of_the_kinds_that_sign() {
    let layer = |media: &str, size: u64, annotations: Value| json!({"mediaType": media, "digest": digest(), "size": size, "annotations": annotations});
    let manifest = |layers: Vec<Value>| {
        let config = layer("application/vnd.oci.empty.v1+json", 2, json!({}));
        let text = json!({"schemaVersion": 2, "config": config, "layers": layers}).to_string();
        crate::oci::Manifest::of_anything(text.as_bytes()).unwrap()
    };
    let simple = "application/vnd.dev.cosign.simplesigning.v1+json";
    let annotated = json!({"dev.cosignproject.cosign/signature": "AAAA"});
    let mut layers = vec![
        layer("text/plain", 1, annotated.clone()),
        layer(simple, 70_000, annotated.clone()),
        layer(simple, 300, json!({})),
        layer(simple, 300, json!({"dev.cosignproject.cosign/signature": "?"})),
    ];
    layers.extend((0..20).map(|_| layer(simple, 300, annotated.clone())));
    assert_eq!(signed_layers(manifest(layers)).len(), 16);
    let bundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let layers =
        vec![layer(bundle, 300, json!({})), layer(bundle, 70_000, json!({})), layer("x", 3, json!({}))];
    assert_eq!(bundles(manifest(layers)).len(), 1);
    let oci = "application/vnd.oci.image.manifest.v1+json";
    for (media, artifact, predicate, size, expected) in [
        (oci, bundle, "", 500, true),
        (oci, "", "", 500, true),
        (oci, "application/vnd.oci.empty.v1+json", "https://sigstore.dev/cosign/sign/v1", 500, true),
        (oci, bundle, "https://slsa.dev/provenance/v1", 500, false),
        (oci, "application/spdx+json", "", 500, false),
        (oci, bundle, "", 1 << 20, false),
        ("application/vnd.oci.image.index.v1+json", bundle, "", 500, false),
    ] {
        let mut entry = layer(media, size, json!({}));
        if !artifact.is_empty() {
            entry["artifactType"] = json!(artifact);
        }
        if !predicate.is_empty() {
            entry["annotations"]["dev.sigstore.bundle.predicateType"] = json!(predicate);
        }
        assert_eq!(that_may_sign(&serde_json::from_value(entry.clone()).unwrap()), expected, "{entry}");
    }
}

#[test]
fn a_policy_that_cannot_be_used_is_a_fault_that_can_be_mended() {
    let fault = unusable("policy.json: default is missing", &pinned());
    assert_eq!((fault.code.wire(), fault.class), ("POLICY", crate::fault::Class::Transient));
    assert!(fault.message().contains("default is missing"));
}
