//! Images that are in the store, and a policy that changes.

use std::fs;

use coracle_test_support::agent::Board;
use coracle_test_support::cosign::{payload, simple, simple_tag};
use serde_json::{Value, json};

use super::bed::{Bed, call, identity, put};

fn pull(board: &Board, reference: &str) -> i32 {
    call(board, &["pull", "--quiet", reference]).0
}

#[test]
fn an_image_in_the_store_is_held_against_the_policy_of_now() {
    let bed = Bed::new();
    let digest = bed.put("app");
    let signed = payload(&digest, &bed.api.reference("app"));
    let signature = bed.alice.over(&signed).unwrap();
    put(&bed.api, "app", &simple_tag(&digest), &simple(&[(signed, signature)]));
    let reference = format!("{}@{digest}", bed.api.reference("app"));
    let file = bed.file(&bed.alice).with_file_name("held.json");
    let demand = |policy: &Value| fs::write(&file, policy.to_string()).unwrap();
    let by_alice = bed.by_alice();
    demand(&by_alice);
    let board =
        Board::new(std::path::Path::new(env!("CARGO_BIN_EXE_coracle")), &bed.settings(&file)).unwrap();
    assert_eq!(pull(&board, &reference), 0);

    // Again, and nothing is asked of the registry: the signature is beside the image.
    let asked = bed.api.requests().len();
    assert_eq!(pull(&board, &reference), 0);
    assert_eq!(call(&board, &["trust", "image", &reference]).0, 0);
    assert_eq!(bed.api.requests().len(), asked);

    // Another key is wanted: the image stays and is used no more.
    demand(&bed.policy(&[bed.signed(&[&bed.bob], &identity("matchRepository"))]));
    assert_eq!(pull(&board, &reference), 65);
    let (code, _, complaint) = call(&board, &["run", "--detach", "--pull", "never", &reference]);
    assert!(code == 65 && complaint.contains("IMAGE_SIGNATURE"), "{code}: {complaint}");
    let (_, images, _) = call(&board, &["images", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&images).unwrap().as_array().unwrap().len(), 1, "{images}");

    // No image is wanted, and there is no usable policy.
    demand(&json!({"default": [{"type": "reject"}]}));
    assert_eq!(pull(&board, &reference), 65);
    fs::write(&file, "{").unwrap();
    assert_eq!(pull(&board, &reference), 78);
    fs::remove_file(&file).unwrap();
    let (code, _, complaint) = call(&board, &["pull", "--quiet", &reference]);
    assert!(code == 78 && complaint.contains("held.json is not there"), "{code}: {complaint}");

    // What was lost is fetched again.
    demand(&by_alice);
    let kept = board.state_dir().join("signatures").join(digest.trim_start_matches("sha256:"));
    fs::write(&kept, "damaged").unwrap();
    let asked = bed.api.requests().len();
    assert_eq!(pull(&board, &reference), 0);
    let more: Vec<_> = bed.api.requests().split_off(asked).into_iter().map(|seen| seen.path).collect();
    assert_eq!(
        more.len(),
        3,
        "the manifest of signatures, its payload, and a look at what is there: {more:#?}"
    );
    let asked = bed.api.requests().len();
    assert_eq!((pull(&board, &reference), bed.api.requests().len()), (0, asked));

    // It goes with its image.
    assert_eq!(call(&board, &["prune"]).0, 0);
    assert!(!kept.exists());
}

#[test]
fn a_policy_that_others_can_write_is_none() {
    use std::os::unix::fs::PermissionsExt as _;
    let bed = Bed::new();
    let reference = bed.at("none", "1");
    for name in ["policy.json", "key"] {
        let board = bed.board(&bed.by_alice());
        let key = bed.file(&bed.alice);
        let file = if name == "key" { key } else { key.with_file_name(name) };
        let mode = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o666);
        let (code, _, complaint) = call(&board, &["pull", "--quiet", &reference]);
        assert!(code == 78 && complaint.contains("chmod go-w"), "{name}: {code}: {complaint}");
        mode(0o644);
    }
}
