//! Boards that are named after a certificate, with certificates as openssl makes them.

use std::process::Command;

use coracle_test_support::process::run;
use coracle_test_support::scratch::TempDir;
use serde_json::Value;

use super::bench::exe;

/// What `coracle check-config` makes of a board whose certificate openssl made with these words: its id, or why it waits.
#[track_caller]
fn check(words: &[&str], expected: Result<&str, &str>) {
    let dir = TempDir::new("named");
    let (certificate, key) = (dir.join("board.crt"), dir.join("board.key"));
    let making =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    let mut openssl = Command::new("openssl");
    openssl.args(making).args(words).arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    run(&mut openssl).unwrap();
    let config = format!(
        "device_id_from = \"certificate\"\n[broker]\nurl = \"mqtts://broker.example\"\ncert_file = {certificate:?}\n\
         key_file = {key:?}\n"
    );
    std::fs::write(dir.join("config.toml"), config).unwrap();
    let mut checked = Command::new(exe());
    checked.arg("--config").arg(dir.join("config.toml")).args(["check-config", "--json"]);
    let told: Value = serde_json::from_str(&run(&mut checked).unwrap()).unwrap();
    match expected {
        Ok(id) => {
            assert_eq!(told["settings"][0]["value"], id, "{words:?}: {told:#}");
            assert_eq!(told["waits"], Value::Null, "{words:?}");
        }
        Err(why) => {
            let waits = told["waits"].as_str().unwrap_or_default();
            assert!(
                waits.starts_with("there is no device id: ") && waits.contains(why),
                "{words:?}: {waits:?}"
            );
        }
    }
}

#[test]
fn a_certificate_names_a_board_by_its_one_common_name_or_the_board_waits() {
    let not_one = "cannot be one: device id";
    let longest = format!("/CN={}", "x".repeat(64));
    for (words, expected) in [
        (&["-subj", "/CN=board-7"][..], Ok("board-7")),
        (&["-subj", "/O=acme/CN=board_8/OU=eu"], Ok("board_8")),
        // Brokers go by the subject's name, and not by its alternatives.
        (&["-subj", "/CN=board-7", "-addext", "subjectAltName=DNS:other.example"], Ok("board-7")),
        (&["-subj", "/O=acme", "-addext", "subjectAltName=DNS:board-7"], Err("without a common name")),
        (&["-subj", &longest], Ok(&longest[4..])),
        (&["-subj", "/CN=a/CN=b"], Err("several common names")),
        (&["-subj", "/CN=board 7"], Err(not_one)),
        // What would be a level or a wildcard of a topic.
        (&["-subj", "/CN=eu\\/board"], Err(not_one)),
        (&["-subj", "/CN=#"], Err(not_one)),
        (&["-subj", "/CN=a.b"], Err(not_one)),
        (&["-utf8", "-subj", "/CN=brücke"], Err(not_one)),
    ] {
        check(words, expected);
    }
}
