//! Registries that lie, babble or refuse where signatures may be: no image is taken, and nothing of it is kept.

use std::fs;

use coracle_test_support::cosign::{
    Attachment, INDEX, MANIFEST, bundle, payload, referrer, referrers, simple, simple_tag, statement,
};
use coracle_test_support::faults::{Fault, On, Times};
use serde_json::json;

use super::bed::{Bed, call, put};

/// What stands beside the image, and which request gets `fault` in place of it.
#[track_caller]
fn check(bed: &Bed, name: &str, says: &str, attach: impl FnOnce(&str) -> (String, Fault)) {
    let digest = bed.put(name);
    let (on, fault) = attach(&digest);
    bed.api.script(On::get(&on), Times::Always, fault);
    let board = bed.board(&bed.by_alice());
    let reference = format!("{}@{digest}", bed.api.reference(name));
    let (code, _, complaint) = call(&board, &["pull", "--quiet", &reference]);
    assert!(code != 0 && complaint.contains(says), "{name}: {code}: {complaint}");
    assert!(
        complaint.len() < 2000 && !complaint.trim_end().contains(char::is_control),
        "{name}: {complaint:?}"
    );
    for kept in ["layers", "blobs", "images", "signatures"] {
        let count = fs::read_dir(board.state_dir().join(kept)).unwrap().count();
        assert_eq!(count, 0, "{name}: {count} in {kept}");
    }
}

fn legacy(bed: &Bed, name: &str, digest: &str) -> Attachment {
    let signed = payload(digest, &bed.api.reference(name));
    let signature = bed.alice.over(&signed).unwrap();
    let attachment = simple(&[(signed, signature)]);
    put(&bed.api, name, &simple_tag(digest), &attachment);
    attachment
}

fn answer(body: Vec<u8>) -> Fault {
    let headers = vec![("Content-Type".to_owned(), INDEX.to_owned())];
    Fault::Answer { status: 200, headers, body }
}

#[test]
fn whatever_stands_where_signatures_may_be_lets_no_image_in() {
    let bed = Bed::new();
    let signatures = |name: &str| format!("/v2/{name}/manifests/sha256-");
    let list = |name: &str| format!("/v2/{name}/referrers/");
    let payload_of = |name: &str, digest: &str| {
        let manifest = legacy(&bed, name, digest).manifest;
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        format!("/blobs/{}", manifest["layers"][0]["digest"].as_str().unwrap())
    };
    check(&bed, "no-json", "the manifest cannot be read", |_| (signatures("no-json"), answer(b"{".to_vec())));
    check(&bed, "long", "longer than 524288 bytes", |_| (signatures("long"), answer(vec![b' '; 600_000])));
    check(&bed, "index", "its signatures under sha256-", |_| (signatures("index"), answer(referrers(&[]))));
    check(&bed, "denied", "without a Basic or Bearer", |_| (signatures("denied"), Fault::status(401)));
    check(&bed, "forbidden", "answered 403", |_| (signatures("forbidden"), Fault::status(403)));
    check(&bed, "lie", "has digest", |digest| {
        let long = payload(digest, &bed.api.reference("lie")).len();
        (payload_of("lie", digest), Fault::Body(vec![b'x'; long]))
    });
    check(&bed, "gone", "answered 404", |digest| (payload_of("gone", digest), Fault::status(404)));
    check(&bed, "babble", "what refers to it", |_| (list("babble"), answer(b"<html>".to_vec())));
    check(&bed, "esc", "what refers to it", |_| (list("esc"), answer(b"{\"\\u001b[2J\\n\":1}".to_vec())));
    check(&bed, "many", "more than 1024 entries", |digest| {
        let entry = json!({"mediaType": MANIFEST, "digest": digest, "size": 2});
        let entries: Vec<_> = std::iter::repeat_n(entry, 1025).collect();
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        (list("many"), answer(index.to_string().into_bytes()))
    });
    check(&bed, "moved", "no signature was found", |digest| {
        // The list names a manifest that the registry does not have.
        let attachment = referrer(MANIFEST, digest, &bundle(&statement(digest), &bed.alice).unwrap());
        (list("moved"), answer(referrers(&[attachment])))
    });
    check(&bed, "elsewhere", "refused to be redirected", |_| {
        (signatures("elsewhere"), Fault::redirect("http://169.254.169.254/latest/meta-data"))
    });
}
