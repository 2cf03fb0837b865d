//! Keys in files: made here and read by openssl, made by openssl and read here.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use crate::bench::{Desk, PASSPHRASE};

/// A document that any board would understand.
pub(crate) const DOCUMENT: &str =
    r#"{"schema":"desired/v1","id":"a","scope":"d/board","gen":1,"iat":1700000000,"projects":{}}"#;

#[test]
fn a_key_made_here_is_one_of_openssls() {
    for (kind, words) in [("ed25519", "ED25519"), ("p256", "prime256v1")] {
        let desk = Desk::new();
        let id = desk.key("alice", kind);
        assert!(desk.read("alice.key").starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
        let mode = |name: &str| desk.path(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("alice.key"), mode("alice.pub")), (0o600, 0o644));
        // The same public key, the same id, the kind that was asked for.
        let public = desk.shell("openssl pkey -in alice.key -passin file:pass -pubout");
        assert_eq!(public, desk.read("alice.pub"));
        let sum = desk.shell("openssl pkey -pubin -in alice.pub -outform DER | sha256sum");
        assert!(sum.starts_with(&id), "{sum} {id}");
        let text = desk.shell("openssl pkey -in alice.key -passin file:pass -noout -text");
        assert!(text.contains(words), "{text}");
        let scheme = desk.shell("openssl asn1parse -in alice.key");
        for word in ["PBES2", "PBKDF2", "hmacWithSHA256", "aes-256-cbc", ":0927C0"] {
            assert!(scheme.contains(word), "{word}: {scheme}");
        }
    }
}

#[test]
fn a_key_of_openssls_signs_here_in_each_of_its_forms() {
    for (kind, make) in [
        ("ed25519", "openssl genpkey -algorithm ed25519"),
        ("p256", "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"),
    ] {
        for seal in [
            "cat",
            "openssl pkcs8 -topk8 -passout file:pass",
            "openssl pkcs8 -topk8 -v2 aes-128-cbc -iter 10000 -passout file:pass",
            "openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA512 -passout file:pass",
            "openssl pkcs8 -topk8 -scrypt -passout file:pass",
        ] {
            let desk = Desk::new();
            desk.write("document", DOCUMENT);
            desk.shell(&format!("umask 077; {make} | tee plain.key | {seal} > bob.key"));
            desk.shell("openssl pkey -in plain.key -pubout -out bob.pub");
            let sign = ["sign", "document", "--key", "bob.key", "--out", "envelope"];
            desk.good(&[&sign[..], &["--passphrase-file", "pass"]].concat());
            let told = desk.good(&["verify", "envelope", "--key", "bob.pub"]);
            assert_eq!(
                told.trim(),
                "accepted: generation 1, revision 0, for d/board, by 1 key",
                "{kind} {seal}"
            );
        }
    }
}

#[test]
fn a_key_that_cannot_be_used_is_refused_with_what_helps() {
    let desk = Desk::new();
    desk.write("document", DOCUMENT);
    desk.key("alice", "ed25519");
    let with = |key: &'static str| ["sign", "document", "--key", key, "--passphrase-file", "pass"];

    desk.secret("other", "not it\n");
    let words = ["sign", "document", "--key", "alice.key", "--passphrase-file", "other"];
    desk.refused(&words, 78, &["alice.key does not open: the passphrase is wrong"]);
    desk.refused(
        &["sign", "document", "--key", "alice.key"],
        64,
        &["a passphrase is needed", "--passphrase-file or CORACLECTL_PASSPHRASE"],
    );
    desk.mode("alice.key", 0o644);
    desk.refused(&with("alice.key"), 78, &["mode 644", "run: chmod 600 alice.key"]);
    desk.mode("alice.key", 0o640);
    desk.refused(&with("alice.key"), 78, &["mode 640", "run: chmod 600 alice.key"]);
    desk.mode("alice.key", 0o600);
    desk.mode("pass", 0o604);
    desk.refused(&with("alice.key"), 78, &["pass can be reached by others", "chmod 600 pass"]);
    desk.mode("pass", 0o600);
    desk.secret("public.key", &desk.read("alice.pub"));
    desk.refused(&with("public.key"), 78, &["is a public key"]);
    // Others may read it, and that is not what is wrong with it.
    desk.refused(&with("alice.pub"), 78, &["alice.pub is a public key"]);
    desk.shell("umask 077; openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.key");
    desk.refused(&with("rsa.key"), 78, &["neither an Ed25519 nor an ECDSA P-256"]);
    desk.shell("umask 077; openssl ecparam -name prime256v1 -genkey -noout -out old.key");
    desk.refused(&with("old.key"), 78, &["openssl pkcs8 -topk8"]);
    desk.shell(
        "umask 077; openssl genpkey -algorithm ed25519 | openssl pkcs8 -topk8 -v2 des3 -passout file:pass > des.key",
    );
    desk.refused(&with("des.key"), 78, &["encrypted in a way that is not read here", "-v2 aes-256-cbc"]);
    desk.refused(&with("missing.key"), 64, &["failed to read missing.key"]);
    desk.refused(&["sign", "document"], 64, &["nobody signs"]);

    desk.refused(&["keygen", "--out", "alice", "--passphrase-file", "pass"], 64, &["is there already"]);
    desk.secret("empty", "\n");
    desk.refused(&["keygen", "--out", "b", "--passphrase-file", "empty"], 64, &["--no-passphrase"]);
    assert!(!desk.path("b.key").exists());
    desk.good(&["keygen", "--out", "b", "--no-passphrase"]);
    assert!(desk.read("b.key").starts_with("-----BEGIN PRIVATE KEY-----"));
    desk.good(&["sign", "document", "--key", "b.key", "--out", "envelope"]);
}

#[test]
fn a_passphrase_may_come_from_the_environment() {
    let desk = Desk::new();
    desk.write("document", DOCUMENT);
    desk.key("alice", "ed25519");
    let mut command = desk.command(&["sign", "document", "--key", "alice.key"]);
    assert!(command.env("CORACLECTL_PASSPHRASE", PASSPHRASE).output().unwrap().status.success());
}

/// Reads what a terminal shows until it shows `wanted`.
fn until(terminal: &mut impl std::io::Read, shown: &mut String, wanted: &str) {
    let from = shown.len();
    let mut byte = [0];
    while !shown[from..].contains(wanted) {
        assert_eq!(terminal.read(&mut byte).unwrap(), 1, "{shown:?} and no {wanted:?}");
        shown.push(char::from(byte[0]));
    }
}

/// Runs the tool at a terminal of its own, and types each answer when its question is shown; what the terminal showed.
fn at_a_terminal(desk: &Desk, words: &[&str], answers: &[(&str, &str)]) -> (Option<i32>, String) {
    let own = desk.command(words);
    let words = own.get_args().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ");
    let line = format!("{} {words}", own.get_program().to_str().unwrap());
    let mut script = Command::new("script");
    script.args(["-qefc", &line, "/dev/null"]).current_dir(desk.path("")).env_remove("CORACLECTL_PASSPHRASE");
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut keyboard, mut terminal) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut shown = String::new();
    for (question, answer) in answers {
        until(&mut terminal, &mut shown, question);
        keyboard.write_all(format!("{answer}\n").as_bytes()).unwrap();
    }
    terminal.read_to_string(&mut shown).unwrap();
    (child.wait().unwrap().code(), shown)
}

#[test]
fn at_a_terminal_a_passphrase_is_asked_for_and_never_shown() {
    let desk = Desk::new();
    desk.write("document", DOCUMENT);
    let (new, again) = ("new passphrase of alice.key: ", "the same again: ");
    let keygen = ["keygen", "--out", "alice"];
    let (code, shown) = at_a_terminal(&desk, &keygen, &[(new, "sesame"), (again, "sesami")]);
    assert_eq!(code, Some(64), "{shown}");
    assert!(shown.contains("the two passphrases differ") && !desk.path("alice.key").exists(), "{shown}");
    let (code, shown) = at_a_terminal(&desk, &keygen, &[(new, "sesame"), (again, "sesame")]);
    assert_eq!((code, shown.contains("sesame")), (Some(0), false), "{shown}");
    let sign = ["sign", "document", "--key", "alice.key", "--out", "envelope"];
    let asked = "passphrase of alice.key: ";
    let (code, shown) = at_a_terminal(&desk, &sign, &[(asked, "sesame")]);
    assert_eq!((code, shown.contains("sesame")), (Some(0), false), "{shown}");
    let (code, shown) = at_a_terminal(&desk, &sign, &[(asked, "simsim")]);
    assert_eq!((code, shown.contains("simsim")), (Some(78), false), "{shown}");
}
