//! Thresholds and the keys that follow keys, up to a board that obeys the new ones.

use crate::bed::{Bed, PLATFORMS, deploy};
use crate::bench::Desk;

#[test]
fn a_trust_document_is_made_shown_and_replaced() {
    let desk = Desk::new();
    let ids = ["alice", "bob", "carol", "root", "next"].map(|name| desk.key(name, "ed25519"));
    let init = [
        "trust",
        "init",
        "--deploy",
        "alice.pub",
        "--deploy",
        "bob.pub",
        "--root",
        "root.pub",
        "--out",
        "t1",
    ];
    let too_many = [&init[..], &["--deploy-threshold", "3"]].concat();
    desk.refused(&too_many, 65, &["roles.deploy.threshold is 3, of 2 keys"]);
    desk.good(&[&init[..], &["--deploy-threshold", "2"]].concat());
    desk.refused(&init, 64, &["t1 is there already"]);
    let told = desk.json(&["trust", "show", "t1"]);
    assert_eq!((&told["counter"], &told["roles"]["deploy"]["threshold"]), (&1.into(), &2.into()), "{told:#}");

    let rotate = ["trust", "rotate", "--trust", "t1", "--passphrase-file", "pass", "--out", "t2"];
    let change = ["--add-deploy", "carol.pub", "--remove-deploy", &ids[0][..8], "--add-root", "next.pub"];
    let change = [&change[..], &["--remove-root", "root.pub"]].concat();
    let old = [&rotate[..], &change, &["--key", "root.key"]].concat();
    desk.refused(
        &old,
        65,
        &["not enough have signed, and nothing was sent", "held against the roots it names"],
    );
    desk.refused(&["verify", "t2", "--trust", "t1"], 65, &["held against the roots it names: 0 of 1"]);
    // The other root signs what the first one made.
    desk.good(&["sign", "t2", "--key", "next.key", "--passphrase-file", "pass", "--out", "t2"]);
    assert_eq!(
        desk.good(&["verify", "t2", "--trust", "t1"]).trim(),
        "accepted: the trust document of counter 2 replaces the keys"
    );
    let shown = desk.json(&["trust", "show", "t2"]);
    assert_eq!(
        (&shown["counter"], &shown["signedBy"]),
        (&2.into(), &serde_json::json!([ids[4]])),
        "{shown:#}"
    );
    let deploys = shown["roles"]["deploy"]["keys"].to_string();
    assert!(
        deploys.contains(&ids[1]) && deploys.contains(&ids[2]) && !deploys.contains(&ids[0]),
        "{deploys}"
    );
    // And on from what was signed.
    let again =
        ["trust", "rotate", "--trust", "t2", "--key", "next.key", "--passphrase-file", "pass", "--out", "t3"];
    desk.good(&[&again[..], &["--deploy-threshold", "1"]].concat());
    desk.good(&["verify", "t3", "--trust", "t2"]);
    desk.refused(&["verify", "t3", "--trust", "t1"], 65, &["held against this board's own roots"]);
    desk.refused(
        &[&again[..], &["--remove-root", "next.pub"]].concat(),
        65,
        &["roles.root.threshold is 1, of 0 keys"],
    );
    desk.refused(
        &[&again[..], &["--remove-deploy", "ffff"]].concat(),
        64,
        &["is not one key of the role deploy"],
    );
}

#[test]
fn two_people_deploy_where_two_have_to() {
    let bed = Bed::new();
    bed.offer("1", PLATFORMS);
    bed.compose("app:1", "");
    bed.desk.key("bob", "p256");
    bed.desk.shell("rm trust.d/trust.json");
    let init = ["trust", "init", "--deploy", "alice.pub", "--deploy", "bob.pub", "--deploy-threshold", "2"];
    bed.desk.good(&[&init[..], &["--root", "root.pub", "--out", "trust.d/trust.json"]].concat());
    let _board = bed.board("board");
    let words = ["site/compose.yaml", "--scope", "d/board"];
    bed.desk.refused(&deploy(&words), 65, &["by 1 key; deploy needs 2 keys"]);
    assert_eq!(bed.kept("d/board"), None);

    // One after the other, over a file.
    let ended = bed.desk.run(&deploy(&[&words[..], &["--out", "first"]].concat()));
    assert!(ended.code == Some(0) && ended.err.contains("boards would not take it yet"), "{ended:?}");
    bed.desk.refused(&["publish", "first"], 65, &["deploy needs 2 keys"]);
    bed.desk.good(&[
        "sign",
        "first",
        "--key",
        "bob.key",
        "--passphrase-file",
        "pass",
        "--default-network",
        "host",
        "--out",
        "first",
    ]);
    bed.desk.good(&["publish", "first"]);
    bed.until_state("board", |state| {
        state["deployment"]["status"] == "SUCCEEDED" && state["desired"]["gen"] == 1
    });
    bed.desk.good(&["publish", "first"]);

    // Both at once.
    let both = ["--key", "alice.key", "--key", "bob.key", "--soak", "1s", "--wait"];
    let told = bed.desk.json(&deploy(&[&words[..], &both].concat()));
    assert_eq!((&told["gen"], &told["status"]), (&2.into(), &"SUCCEEDED".into()), "{told:#}");
    bed.desk.refused(&["publish", "first"], 65, &["generation 1, revision 0, is not above generation 2"]);
}

#[test]
fn keys_are_replaced_over_the_broker_and_the_new_ones_deploy() {
    let bed = Bed::new();
    bed.offer("1", PLATFORMS);
    bed.offer("2", PLATFORMS);
    bed.desk.key("carol", "ed25519");
    bed.desk.key("next", "ed25519");
    let _board = bed.board("board");
    let words = ["site/compose.yaml", "--scope", "d/board", "--soak", "1s", "--wait"];
    bed.compose("app:1", "");
    bed.desk.good(&deploy(&words));

    let rotate = ["trust", "rotate", "--passphrase-file", "pass", "--key", "root.key", "--key", "next.key"];
    let change = ["--remove-deploy", "alice.pub", "--add-deploy", "carol.pub", "--remove-root", "root.pub"];
    let told =
        bed.desk.json(&[&rotate[..], &change, &["--add-root", "next.pub", "--out", "next.json"]].concat());
    assert_eq!((&told["counter"], &told["place"]), (&2.into(), &"coracle/v1/trust".into()), "{told:#}");
    bed.until_state("board", |state| state["agent"]["trustCounter"] == 2);

    bed.compose("app:2", "");
    let by_new_trust = [&words[..], &["--trust", "next.json"]].concat();
    bed.desk.refused(&deploy(&by_new_trust), 65, &["--gen auto builds on what is kept", "SIGNATURE"]);
    let second = [&by_new_trust[..], &["--gen", "2"]].concat();
    bed.desk.refused(&deploy(&second), 65, &["SIGNATURE: 0 of 1 signatures of the document are good"]);
    let told = bed.desk.json(&deploy(&[&second[..], &["--key", "carol.key"]].concat()));
    assert_eq!((&told["gen"], &told["status"]), (&2.into(), &"SUCCEEDED".into()), "{told:#}");
}
