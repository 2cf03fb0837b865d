//! cosign's legacy form, which skopeo reads as well.

use coracle_test_support::cosign::{payload, push_simple};
use coracle_test_support::images::{Form, push_index};
use coracle_test_support::sign::{Algorithm, Signer};
use serde_json::Value;

use super::bed::{Bed, Skopeo, identity, small};

const UNSIGNED: &str = "IMAGE_SIGNATURE";

pub(super) fn rows(bed: &mut Bed) {
    use Skopeo::{Agrees, NotAsked};
    let policy = bed.by_alice();
    let digest = bed.pushed("app", &[&bed.alice]);
    let (pinned, tagged) = (bed.at("app", &digest), bed.at("app", "1"));
    bed.row("signed", &policy, &pinned, ("taken", "simple ecdsa-p256"), Agrees);
    bed.row("signed, asked for by its tag", &policy, &tagged, ("taken", "simple"), Agrees);
    let both = format!("{tagged}@{digest}");
    bed.row("signed, asked for by tag and digest", &policy, &both, ("taken", "simple"), NotAsked);
    let digest = bed.pushed("two", &[&bed.mallory, &bed.alice]);
    bed.row("signed, beside a stranger's signature", &policy, &bed.at("two", &digest), ("taken", ""), Agrees);

    let none = bed.push("none");
    bed.row("unsigned", &policy, &bed.at("none", &none), (UNSIGNED, "no signature was found"), Agrees);
    let digest = bed.pushed("wrong", &[&bed.mallory]);
    bed.row("wrong key", &policy, &bed.at("wrong", &digest), (UNSIGNED, "no key of the policy"), Agrees);
    let digest = bed.push("other");
    let name = bed.registry.reference("other");
    bed.attach("other", &digest, &[(payload(&none, &name), &bed.alice)]);
    bed.row(
        "signature of another digest",
        &policy,
        &bed.at("other", &digest),
        (UNSIGNED, "it is of sha256:"),
        Agrees,
    );
    let digest = bed.push("moved");
    bed.attach("moved", &digest, &[(payload(&digest, &bed.registry.reference("app")), &bed.alice)]);
    bed.row(
        "signature of another repository",
        &policy,
        &bed.at("moved", &digest),
        (UNSIGNED, "it is of \""),
        Agrees,
    );
    let digest = bed.push("tampered");
    let signature = bed.alice.over(&payload(&none, &bed.registry.reference("tampered"))).unwrap();
    let altered = payload(&digest, &bed.registry.reference("tampered"));
    push_simple(&bed.registry.host(), "tampered", &digest, &[(altered, signature)]).unwrap();
    bed.row(
        "altered payload",
        &policy,
        &bed.at("tampered", &digest),
        (UNSIGNED, "no key of the policy"),
        Agrees,
    );
    let digest = bed.push("typed");
    let text = String::from_utf8(payload(&digest, &bed.registry.reference("typed"))).unwrap();
    let text = text.replace("cosign container image signature", "atomic container signature");
    bed.attach("typed", &digest, &[(text.into_bytes(), &bed.alice)]);
    bed.row(
        "payload of another type",
        &policy,
        &bed.at("typed", &digest),
        (UNSIGNED, "not of the type"),
        Agrees,
    );
    let digest = bed.push("more");
    let text = String::from_utf8(payload(&digest, &bed.registry.reference("more"))).unwrap();
    let text = text.replace("{\"critical\":{", "{\"critical\":{\"more\":1,");
    bed.attach("more", &digest, &[(text.into_bytes(), &bed.alice)]);
    bed.row(
        "payload with a field more",
        &policy,
        &bed.at("more", &digest),
        (UNSIGNED, "not a simple signing"),
        Agrees,
    );

    // The name in a signature, where the policy says nothing of it.
    let policy = bed.policy(&[bed.signed(&[&bed.alice], &Value::Null)]);
    bed.row(
        "a name without a tag, by default",
        &policy,
        &pinned,
        (UNSIGNED, "matchRepoDigestOrExact"),
        Agrees,
    );
    let digest = bed.push("named");
    bed.attach("named", &digest, &[(payload(&digest, &bed.registry.reference("named:1")), &bed.alice)]);
    bed.row("a name with its tag, by default", &policy, &bed.at("named", "1"), ("taken", ""), Agrees);
    bed.row("any tag in the name, for a digest", &policy, &bed.at("named", &digest), ("taken", ""), Agrees);
    let digest = bed.push("renamed");
    bed.attach("renamed", &digest, &[(payload(&digest, &bed.registry.reference("renamed:2")), &bed.alice)]);
    bed.row(
        "a name with another tag, by default",
        &policy,
        &bed.at("renamed", "1"),
        (UNSIGNED, "it is of \""),
        Agrees,
    );

    // What a reference resolves to is what has to be signed.
    let policy = bed.by_alice();
    for (name, signed_index) in [("index", true), ("platform", false)] {
        let host = bed.registry.host();
        let image = small(name).push(&host, name, None, Form::Oci).unwrap();
        let index = push_index(&host, name, "1", std::slice::from_ref(&image), Form::Oci).unwrap();
        let signed = if signed_index { &index } else { &image.digest };
        bed.attach(name, signed, &[(payload(signed, &bed.registry.reference(name)), &bed.alice)]);
        let expected = if signed_index { ("taken", "") } else { (UNSIGNED, "no signature was found") };
        let label = if signed_index { "signed index" } else { "index of which one platform is signed" };
        bed.row(label, &policy, &bed.at(name, &index), expected, NotAsked);
        if !signed_index {
            let manifest = bed.at(name, &image.digest);
            bed.row("signed manifest of one platform", &policy, &manifest, ("taken", ""), Agrees);
        }
    }
}

/// A key of each kind.
pub(super) fn keys(bed: &mut Bed) {
    use Skopeo::{Agrees, NotAsked};
    for (name, algorithm, shown, skopeo) in [
        ("ed25519", Algorithm::Ed25519, "ed25519", Agrees),
        ("p256", Algorithm::P256, "ecdsa-p256", Agrees),
        ("p384", Algorithm::P384, "ecdsa-p384", Agrees),
        ("p384-sha384", Algorithm::P384Sha384, "ecdsa-p384", NotAsked),
        ("rsa-2048", Algorithm::Rsa(2048), "rsa", Agrees),
        ("rsa-4096", Algorithm::Rsa(4096), "rsa", Agrees),
        ("rsa-pss", Algorithm::RsaPss, "rsa", NotAsked),
    ] {
        let signer = Signer::new(algorithm).unwrap();
        let policy = bed.policy(&[bed.signed(&[&signer], &identity("matchRepository"))]);
        let digest = bed.pushed(name, &[&signer]);
        let by = format!("simple {shown} {}", &signer.id()[..12]);
        bed.row(&format!("key: {name}"), &policy, &bed.at(name, &digest), ("taken", &by), skopeo);
    }
}
