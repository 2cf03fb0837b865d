//! Which part of a policy decides, and policies that none is taken by.

use coracle_test_support::cosign::payload;
use coracle_test_support::sign::{Algorithm, Signer};
use serde_json::{Value, json};

use super::bed::{Bed, Skopeo, identity};

fn anything() -> Value {
    json!([{"type": "insecureAcceptAnything"}])
}

fn reject() -> Value {
    json!([{"type": "reject"}])
}

/// A policy of these scopes, and of this default.
fn scoped(default: &Value, scopes: &Value) -> Value {
    json!({"default": default, "transports": {"docker": scopes}})
}

pub(super) fn rows(bed: &mut Bed) {
    scopes(bed);
    identities(bed);
    thresholds(bed);
    refused(bed);
}

fn scopes(bed: &mut Bed) {
    use Skopeo::Agrees;
    let (host, digest) = (bed.registry.host(), bed.push("team/scoped"));
    let signed = bed.pushed("team/signed", &[&bed.alice]);
    let (unsigned, signed) = (bed.at("team/scoped", &digest), bed.at("team/signed", &signed));
    let tagged = bed.at("team/scoped", "1");
    let repository = bed.registry.reference("team/scoped");
    let namespace = bed.registry.reference("team");
    let by_alice = json!([bed.signed(&[&bed.alice], &identity("matchRepository"))]);
    let policy = scoped(&reject(), &json!({}));
    bed.row("default: reject", &policy, &unsigned, ("POLICY", "default[0] is reject"), Agrees);
    let policy = json!({"default": anything()});
    bed.row("default: anything", &policy, &unsigned, ("taken", "default: insecure"), Agrees);
    let policy = scoped(&reject(), &json!({"": anything()}));
    bed.row("every registry before the default", &policy, &unsigned, ("taken", "[\"\"]"), Agrees);
    let policy = scoped(&reject(), &json!({"": reject(), "*.0.0.1": anything()}));
    bed.row("a domain before every registry", &policy, &unsigned, ("taken", "*.0.0.1"), Agrees);
    let policy = scoped(&anything(), &json!({"*.0.0.1": anything(), &host: by_alice}));
    bed.row("a registry before its domain", &policy, &unsigned, ("IMAGE_SIGNATURE", &host), Agrees);
    bed.row("the same, signed", &policy, &signed, ("taken", &host), Agrees);
    let policy = scoped(&anything(), &json!({&host: anything(), &namespace: reject()}));
    bed.row("a namespace before its registry", &policy, &unsigned, ("POLICY", &namespace), Agrees);
    let policy = scoped(&reject(), &json!({&namespace: reject(), &repository: anything()}));
    bed.row("a repository before its namespace", &policy, &unsigned, ("taken", &repository), Agrees);
    let policy = scoped(&reject(), &json!({&repository: anything(), &tagged: reject()}));
    bed.row("a tag before its repository", &policy, &tagged, ("POLICY", &tagged), Agrees);
    bed.row("and for that tag alone", &policy, &unsigned, ("taken", &repository), Agrees);
    let policy = scoped(&reject(), &json!({&repository: reject(), &unsigned: anything()}));
    bed.row("a digest before its repository", &policy, &unsigned, ("taken", &unsigned), Agrees);
}

fn identities(bed: &mut Bed) {
    use Skopeo::Agrees;
    let digest = bed.push("mirror/app");
    bed.attach("mirror/app", &digest, &[(payload(&digest, "origin.example/app:1"), &bed.alice)]);
    let reference = bed.at("mirror/app", &digest);
    let rows = [
        (
            "exactRepository",
            json!({"type": "exactRepository", "dockerRepository": "origin.example/app"}),
            true,
        ),
        (
            "exactRepository, another",
            json!({"type": "exactRepository", "dockerRepository": "origin.example/x"}),
            false,
        ),
        (
            "exactReference",
            json!({"type": "exactReference", "dockerReference": "origin.example/app:1"}),
            true,
        ),
        (
            "exactReference, another",
            json!({"type": "exactReference", "dockerReference": "origin.example/app:2"}),
            false,
        ),
        (
            "remapIdentity",
            json!({"type": "remapIdentity", "prefix": bed.registry.reference("mirror"), "signedPrefix": "origin.example"}),
            true,
        ),
        ("matchRepository", identity("matchRepository"), false),
        ("matchExact", identity("matchExact"), false),
    ];
    for (name, identity, taken) in rows {
        let policy = bed.policy(&[bed.signed(&[&bed.alice], &identity)]);
        let expected = if taken { ("taken", "simple") } else { ("IMAGE_SIGNATURE", "it is of \"origin") };
        bed.row(&format!("named as elsewhere: {name}"), &policy, &reference, expected, Agrees);
    }
}

fn thresholds(bed: &mut Bed) {
    use Skopeo::{Agrees, NotAsked};
    let one = |signer: &Signer, bed: &Bed| bed.signed(&[signer], &identity("matchRepository"));
    let policy = bed.policy(&[one(&bed.alice, bed), one(&bed.bob, bed)]);
    let both = bed.pushed("both", &[&bed.alice, &bed.bob]);
    let alice = bed.pushed("alice", &[&bed.alice]);
    let (both, alice) = (bed.at("both", &both), bed.at("alice", &alice));
    bed.row("two of two keys", &policy, &both, ("taken", "ed25519"), Agrees);
    bed.row("one of two keys", &policy, &alice, ("IMAGE_SIGNATURE", "[1] demands"), Agrees);
    let pair = |a: &Signer, b: &Signer, bed: &Bed| bed.signed(&[a, b], &identity("matchRepository"));
    let policy = bed.policy(&[
        pair(&bed.alice, &bed.bob, bed),
        pair(&bed.alice, &bed.carol, bed),
        pair(&bed.bob, &bed.carol, bed),
    ]);
    bed.row("two of three keys", &policy, &both, ("taken", "ed25519"), NotAsked);
    bed.row(
        "one of three keys where two are wanted",
        &policy,
        &alice,
        ("IMAGE_SIGNATURE", "[2] demands"),
        NotAsked,
    );
    let twice = bed.pushed("twice", &[&bed.alice, &bed.alice]);
    let twice = bed.at("twice", &twice);
    bed.row("the same key twice", &policy, &twice, ("IMAGE_SIGNATURE", "[2] demands"), NotAsked);
}

/// Policies that would not be obeyed to the letter.
fn refused(bed: &mut Bed) {
    let default = |requirement: Value| json!({"default": [requirement]});
    let alice = bed.file(&bed.alice);
    bed.unusable(
        "policy: signedBy",
        &default(json!({"type": "signedBy"})),
        "default[0].type signedBy is not",
    );
    let fulcio = json!({"type": "sigstoreSigned", "fulcio": {"oidcIssuer": "https://issuer.example"}});
    bed.unusable("policy: fulcio", &default(fulcio), "default[0].fulcio is not supported");
    let rekor = json!({"type": "sigstoreSigned", "keyPath": alice, "rekorPublicKeyPath": "/rekor.pub"});
    bed.unusable("policy: rekor", &default(rekor), "default[0].rekorPublicKeyPath is not supported");
    let gone = json!({"type": "sigstoreSigned", "keyPath": "/nowhere/alice.pub"});
    bed.unusable("policy: a key that is not there", &default(gone), "/nowhere/alice.pub");
    let short = Signer::new(Algorithm::Rsa(1024)).unwrap();
    let short = json!({"type": "sigstoreSigned", "keyPath": bed.file(&short)});
    bed.unusable("policy: an RSA key of 1024 bits", &default(short), "RSA key of 1024 bits");
    let typo = scoped(&anything(), &json!({"team/app": reject()}));
    bed.unusable("policy: a scope that no image has", &typo, "team/app");
    bed.unusable("policy: an unknown key", &json!({"default": reject(), "defaults": reject()}), "defaults");
}
