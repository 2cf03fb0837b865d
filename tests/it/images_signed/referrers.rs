//! The bundles of cosign 3, found by the list of referrers or under a tag.

use coracle_test_support::cosign::{
    Attachment, INDEX, MANIFEST, bundle, push_referrers, referrer, referrers, statement,
};
use coracle_test_support::faults::{Fault, On, Times};
use coracle_test_support::sign::Signer;
use serde_json::{Value, json};

use super::bed::{Bed, Skopeo, identity, put};

const UNSIGNED: &str = "IMAGE_SIGNATURE";

fn attachment(digest: &str, statement: &Value, signer: &Signer) -> Attachment {
    referrer(MANIFEST, digest, &bundle(statement, signer).unwrap())
}

/// An answer to whoever asks for a list of referrers.
fn list(attachments: &[Attachment], link: Option<String>) -> Fault {
    let mut headers = vec![("Content-Type".to_owned(), INDEX.to_owned())];
    headers.extend(link.map(|link| ("Link".to_owned(), link)));
    Fault::Answer { status: 200, headers, body: referrers(attachments) }
}

pub(super) fn rows(bed: &mut Bed) {
    by_tag(bed);
    by_list(bed);
}

/// Debian's registry has no list.
fn by_tag(bed: &mut Bed) {
    let skopeo = Skopeo::NotAsked;
    let (policy, host) = (bed.by_alice(), bed.registry.host());
    let other = bed.push("v3/other");
    let right = |digest: &str, bed: &Bed| bundle(&statement(digest), &bed.alice).unwrap();
    let push = |repository: &str, make: &dyn Fn(&str, &Bed) -> Value, bed: &Bed| {
        let digest = bed.push(repository);
        let attachment = referrer(MANIFEST, &digest, &make(&digest, bed));
        push_referrers(&host, repository, &digest, &[attachment]).unwrap();
        bed.at(repository, &digest)
    };
    let reference = push("v3/app", &right, bed);
    bed.row("bundle, by tag", &policy, &reference, ("taken", "bundle ecdsa-p256"), skopeo);
    let tagged = bed.at("v3/app", "1");
    bed.row(
        "bundle, image asked for by its tag",
        &policy,
        &tagged,
        (UNSIGNED, "names no repository"),
        skopeo,
    );
    let exact = json!({"type": "exactRepository", "dockerRepository": bed.registry.reference("v3/app")});
    let named = bed.policy(&[bed.signed(&[&bed.alice], &exact)]);
    bed.row("bundle, where a name is wanted", &named, &reference, (UNSIGNED, "names no repository"), skopeo);
    let wrong = |digest: &str, bed: &Bed| bundle(&statement(digest), &bed.mallory).unwrap();
    let reference = push("v3/wrong", &wrong, bed);
    bed.row("bundle of a wrong key", &policy, &reference, (UNSIGNED, "no key of the policy"), skopeo);
    let elsewhere = |_: &str, bed: &Bed| right(&other, bed);
    let reference = push("v3/elsewhere", &elsewhere, bed);
    bed.row("bundle of another digest", &policy, &reference, (UNSIGNED, "it is of sha256:"), skopeo);
    let keyless = |digest: &str, bed: &Bed| {
        let mut bundle = right(digest, bed);
        bundle["verificationMaterial"] = json!({"certificate": {"rawBytes": "MIIB"}, "tlogEntries": [{}]});
        bundle
    };
    let reference = push("v3/keyless", &keyless, bed);
    bed.row("bundle of a certificate", &policy, &reference, (UNSIGNED, "made with a certificate"), skopeo);
    let scanned = |digest: &str, bed: &Bed| {
        let mut statement = statement(digest);
        statement["predicateType"] = json!("https://cosign.sigstore.dev/attestation/vuln/v1");
        bundle(&statement, &bed.alice).unwrap()
    };
    let reference = push("v3/scanned", &scanned, bed);
    bed.row("bundle that only says something", &policy, &reference, (UNSIGNED, "does not sign it"), skopeo);
    let altered = |digest: &str, bed: &Bed| {
        let mut bundle = right(&other, bed);
        bundle["dsseEnvelope"]["payload"] = right(digest, bed)["dsseEnvelope"]["payload"].clone();
        bundle
    };
    let reference = push("v3/altered", &altered, bed);
    bed.row(
        "bundle with an altered payload",
        &policy,
        &reference,
        (UNSIGNED, "no key of the policy"),
        skopeo,
    );

    let digest = bed.pushed("v3/both", &[&bed.alice]);
    let by_bob = attachment(&digest, &statement(&digest), &bed.bob);
    push_referrers(&host, "v3/both", &digest, &[by_bob]).unwrap();
    let one = |signer: &Signer, bed: &Bed| bed.signed(&[signer], &identity("matchRepository"));
    let policy = bed.policy(&[one(&bed.alice, bed), one(&bed.bob, bed)]);
    let reference = bed.at("v3/both", &digest);
    bed.row("legacy by one key, bundle by another", &policy, &reference, ("taken", "bundle ed25519"), skopeo);
}

/// A registry that lists what refers to a digest.
fn by_list(bed: &mut Bed) {
    let skopeo = Skopeo::NotAsked;
    let policy = bed.by_alice();
    let at =
        |bed: &Bed, repository: &str, digest: &str| format!("{}@{digest}", bed.api.reference(repository));
    let put_one = |bed: &Bed, repository: &str, digest: &str, signer: &Signer| {
        let attachment = attachment(digest, &statement(digest), signer);
        put(&bed.api, repository, attachment.descriptor()["digest"].as_str().unwrap(), &attachment);
        attachment
    };
    let digest = bed.put("listed");
    let good = put_one(bed, "listed", &digest, &bed.alice);
    let asked = format!("/v2/listed/referrers/{digest}");
    bed.api.script(On::get(&asked), Times::Always, list(&[good], None));
    bed.row("bundle, by list", &policy, &at(bed, "listed", &digest), ("taken", "bundle"), skopeo);

    let digest = bed.put("pages");
    let (bad, good) =
        (put_one(bed, "pages", &digest, &bed.mallory), put_one(bed, "pages", &digest, &bed.alice));
    let asked = format!("/v2/pages/referrers/{digest}");
    bed.api.script(On::get(&format!("{asked}?last=bad")), Times::Always, list(&[good], None));
    let link = format!("<http://elsewhere.example{asked}?last=bad>; rel=\"next\"");
    bed.api.script(On::get(&asked), Times::Always, list(&[bad], Some(link)));
    bed.row(
        "bundle, on the second page of a list",
        &policy,
        &at(bed, "pages", &digest),
        ("taken", "bundle"),
        skopeo,
    );

    let digest = bed.put("endless");
    let asked = format!("/v2/endless/referrers/{digest}");
    let link = format!("<{asked}?last=more>; rel=\"next\"");
    bed.api.script(On::get(&asked), Times::Always, list(&[], Some(link)));
    let reference = at(bed, "endless", &digest);
    bed.row("a list without an end", &policy, &reference, (UNSIGNED, "no signature was found"), skopeo);
    let requests = bed.api.requests();
    // Twice: for the explanation, and for the pull.
    assert_eq!(requests.iter().filter(|seen| seen.path.starts_with(&asked)).count(), 2 * 8);
    let blobs: Vec<_> = requests.iter().filter(|seen| seen.path.contains("/endless/blobs/")).collect();
    assert!(blobs.is_empty(), "of an image that is not signed, nothing was fetched: {blobs:#?}");
}
