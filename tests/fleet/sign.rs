//! Documents become envelopes: what is refused before it is signed, thresholds, and keys in hardware.

use coracle_test_support::sign::{self, DESIRED};

use crate::bench::Desk;
use crate::keys::DOCUMENT;

fn signed_with<'a>(desk: &'a Desk, document: &'a str, key: &'a str, out: &'a str) {
    desk.good(&["sign", document, "--key", key, "--passphrase-file", "pass", "--out", out]);
}

#[test]
fn a_document_is_judged_before_it_is_signed() {
    let desk = Desk::new();
    desk.key("alice", "ed25519");
    let digest = format!("sha256:{}", "0".repeat(64));
    let service = |image: &str, rest: &str| {
        let service = format!(r#"{{"image":"{image}"{rest}}}"#);
        DOCUMENT
            .replace(r#""projects":{}"#, &format!(r#""projects":{{"p":{{"services":{{"s":{service}}}}}}}"#))
    };
    let pinned = format!("r.example/a:1@{digest}");
    for (name, text, expected) in [
        ("not JSON", "hello".to_owned(), "document: SCHEMA: document is not JSON"),
        ("another schema", DOCUMENT.replace("desired/v1", "desired/v9"), "neither the schema"),
        ("no scope", DOCUMENT.replace("d/board", "x/board"), "scope is not d/<device>"),
        ("an unknown key", DOCUMENT.replace("\"gen\"", "\"gne\""), "gen is missing"),
        ("a bare tag", service("r.example/a:1", ""), "UNPINNED: projects.p.services.s.image"),
        ("no network", service(&pinned, ""), "services.s.network_mode: is needed"),
        ("ports", service(&pinned, r#","network_mode":"host","ports":["80:80"]"#), "services.s.ports"),
    ] {
        desk.write("document", &text);
        let words =
            ["sign", "document", "--key", "alice.key", "--passphrase-file", "pass", "--out", "envelope"];
        desk.refused(&words, 65, &[expected]);
        assert!(!desk.path("envelope").exists(), "{name}");
    }
    desk.write("document", &service("r.example/a:1", ""));
    let words = ["sign", "document", "--key", "alice.key", "--passphrase-file", "pass", "--accept-tags"];
    desk.good(&[&words[..], &["--default-network", "host"]].concat());
}

#[test]
fn several_people_sign_one_after_the_other_and_nobody_twice() {
    let desk = Desk::new();
    let ids = [desk.key("alice", "ed25519"), desk.key("bob", "p256"), desk.key("carol", "ed25519")];
    desk.write("document", DOCUMENT);
    desk.write("trust.json", &{
        let key = |name: &str, id: &str| {
            format!(r#""{id}":{}"#, serde_json::json!(desk.read(&format!("{name}.pub"))))
        };
        let keys = [key("alice", &ids[0]), key("bob", &ids[1])].join(",");
        let role =
            |threshold: u8| format!(r#"{{"keys":["{}","{}"],"threshold":{threshold}}}"#, ids[0], ids[1]);
        format!(
            r#"{{"schema":"trust/v1","counter":1,"keys":{{{keys}}},"roles":{{"deploy":{},"root":{}}}}}"#,
            role(2),
            role(1)
        )
    });
    let verify = ["verify", "envelope", "--trust", "trust.json"];
    signed_with(&desk, "document", "alice.key", "envelope");
    let few = "SIGNATURE: 1 of 1 signatures of the document are good, by 1 key; deploy needs 2 keys";
    desk.refused(&verify, 65, &[few]);
    let told = desk.good(&[
        "sign",
        "envelope",
        "--key",
        "alice.key",
        "--passphrase-file",
        "pass",
        "--out",
        "envelope",
    ]);
    assert!(told.contains("signed by these keys before; 1 signature in all"), "{told}");
    signed_with(&desk, "envelope", "carol.key", "stranger");
    desk.refused(&["verify", "stranger", "--trust", "trust.json"], 65, &["1 of 2 signatures"]);
    signed_with(&desk, "envelope", "bob.key", "envelope");
    let told = desk.json(&verify);
    assert_eq!((&told["verdict"], &told["gen"]), (&"accepted".into(), &1.into()), "{told}");
    assert_eq!(told["keys"].as_array().unwrap().len(), 2, "{told}");
    // All at once is the same.
    let both = ["sign", "document", "--key", "alice.key", "--key", "bob.key", "--passphrase-file", "pass"];
    desk.good(&[&both[..], &["--out", "at-once"]].concat());
    assert_eq!(desk.json(&["verify", "at-once", "--trust", "trust.json"]), told);
}

#[test]
fn verify_says_what_the_board_says() {
    let desk = Desk::new();
    desk.key("alice", "ed25519");
    let other = sign::Signer::new(sign::Algorithm::P256).unwrap();
    desk.write("other.pub", other.pem());
    desk.write("document", DOCUMENT);
    desk.write(
        "empty",
        &String::from_utf8(sign::envelope(DESIRED, DOCUMENT.as_bytes(), &[]).unwrap()).unwrap(),
    );
    let envelope = sign::envelope(DESIRED, DOCUMENT.as_bytes(), &[&other]).unwrap();
    desk.write("other", &String::from_utf8(envelope).unwrap());
    let expired = DOCUMENT.replace("\"gen\"", "\"exp\":1700000001,\"gen\"");
    desk.write("expired.json", &expired);
    signed_with(&desk, "expired.json", "alice.key", "expired");
    let armed = DOCUMENT.replace("\"gen\"", "\"requires\":{\"platform\":[\"linux/arm/v7\"]},\"gen\"");
    desk.write("armed.json", &armed);
    signed_with(&desk, "armed.json", "alice.key", "armed");

    desk.good(&["verify", "other", "--key", "other.pub"]);
    desk.refused(&["verify", "other", "--key", "alice.pub"], 65, &["SIGNATURE: 0 of 1 signatures"]);
    desk.refused(
        &["verify", "empty", "--key", "alice.pub"],
        65,
        &["UNSIGNED: document carries no signature"],
    );
    desk.refused(&["verify", "document", "--key", "alice.pub"], 65, &["UNSIGNED", "coraclectl sign"]);
    desk.refused(
        &["verify", "expired", "--key", "alice.pub"],
        65,
        &["EXPIRED", "expired at 2023-11-14T22:13:21Z"],
    );
    desk.good(&["verify", "armed", "--key", "alice.pub"]);
    desk.good(&["verify", "armed", "--key", "alice.pub", "--platform", "linux/arm/v8"]);
    let amd64 = ["verify", "armed", "--key", "alice.pub", "--platform", "linux/amd64"];
    desk.refused(&amd64, 65, &["PLATFORM: document is for linux/arm/v7"]);
    let ended = desk.run(&[&amd64[..], &["--json"]].concat());
    let told: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, &told["error"]["code"]), (Some(65), &"PLATFORM".into()), "{told}");
    desk.refused(&["verify", "other"], 64, &["--trust"]);
    desk.refused(&["verify", "other", "--trust", "document"], 78, &["is a desired document"]);
}

/// A token in software, with a key of its own, whose public half becomes `token.pub`; what has to be set for the
/// token's library to be found.
fn token(desk: &Desk, kind: &str, public: &str) -> String {
    let dir = desk.path("").display().to_string();
    desk.write("softhsm.conf", &format!("directories.tokendir = {dir}/tokens\nlog.level = ERROR\n"));
    desk.shell("mkdir tokens");
    let set = format!("export SOFTHSM2_CONF={dir}/softhsm.conf; module=/usr/lib/softhsm/libsofthsm2.so;");
    desk.shell(&format!(
        "{set} softhsm2-util --init-token --free --label fleet --pin 1234 --so-pin 5678
         pkcs11-tool --module $module --token-label fleet --login --pin 1234 --keypairgen --key-type {kind} \
           --label deploy --id 01 > made
         {public} | openssl pkey -pubin -inform DER -pubout -out token.pub"
    ));
    set
}

#[track_caller]
fn signs_in_the_token(kind: &str, public: &str, command: &str) {
    let desk = Desk::new();
    desk.write("document", DOCUMENT);
    let set = token(&desk, kind, public);
    let command = format!("{set} {command}");
    let words = ["sign", "document", "--public-key", "token.pub", "--signer"];
    desk.good(&[&words[..], &[&command, "--out", "envelope"]].concat());
    let told = desk.good(&["verify", "envelope", "--key", "token.pub"]);
    assert!(told.contains("by 1 key"), "{told}");
    // Another key was promised: the token's signature is good and not that key's.
    desk.key("alice", "p256");
    let words = ["sign", "document", "--public-key", "alice.pub", "--signer"];
    desk.refused(&[&words[..], &[&command]].concat(), 1, &["no signature of the key"]);
}

#[test]
fn a_p256_key_in_a_token_signs_by_the_documented_command() {
    signs_in_the_token(
        "EC:prime256v1",
        "pkcs11-tool --module $module --token-label fleet --read-object --type pubkey --id 01",
        "openssl dgst -sha256 -binary > digest && pkcs11-tool --module $module --token-label fleet --login --pin 1234 \
         --sign --mechanism ECDSA --id 01 --input-file digest --output-file made && cat made",
    );
}

#[test]
fn an_ed25519_key_in_a_token_signs_by_the_documented_command() {
    signs_in_the_token(
        "EC:edwards25519",
        "(echo 302a300506032b6570032100; sed -n 's/.*EC_POINT: *0420//p' made) | tr -d '\\n' | tr a-f A-F \
         | basenc --base16 -d",
        "cat > message && pkcs11-tool --module $module --token-label fleet --login --pin 1234 \
         --sign --mechanism EDDSA --id 01 --input-file message --output-file made && cat made",
    );
}
