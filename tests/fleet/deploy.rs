//! From a Compose file to a container on a board, and everything that is refused on the way.

use coracle_test_support::broker::{BrokerOptions, KeyForm};
use coracle_test_support::process::eventually;

use crate::bed::{Bed, PATIENCE, PLATFORMS, deploy};

#[test]
fn a_compose_file_becomes_what_a_board_runs() {
    let bed = Bed::new();
    let digest = bed.offer("1", PLATFORMS);
    bed.offer("2", PLATFORMS);
    let board = bed.board("board");
    bed.compose(
        "app:${VERSION:?say which}",
        "    restart: ${RESTART:-unless-stopped}\n    env_file: web.env\n    environment:\n      - HELD\n",
    );
    bed.desk.write("site/.env", "VERSION=1\n");
    bed.desk.write("site/web.env", "WORD=\"from ${VERSION}\"\n");
    let words = deploy(&["site/compose.yaml", "--scope", "d/board", "--exp", "30d", "--soak", "1s"]);

    let told = bed.desk.json(&[&words[..], &["--wait"]].concat());
    assert_eq!((&told["gen"], &told["status"]), (&1.into(), &"SUCCEEDED".into()), "{told:#}");
    let service = &told["projects"]["site"]["services"]["web"];
    assert_eq!(service["image"], format!("{}:1@{digest}", bed.registry.reference("app")));
    assert_eq!(service["environment"].to_string(), r#"{"WORD":"from 1"}"#);
    let logs = || {
        let output = board.command(&["logs", "site.web"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    eventually(PATIENCE, || if logs().trim() == "version 1 from 1" { Ok(()) } else { Err(logs()) });

    // Its next version, shown first and then sent.
    bed.desk.write("site/.env", "VERSION=2\n");
    let before = bed.kept("d/board");
    let shown = bed.desk.run(&[&words[..], &["--dry-run"]].concat());
    assert!(
        shown.err.contains("against generation 1, revision 0:\n  site.web changed: environment, image"),
        "{shown:?}"
    );
    assert!(shown.out.contains("\"gen\": 2"), "{shown:?}");
    assert_eq!(bed.kept("d/board"), before);
    let said = bed.desk.good(&[&words[..], &["--wait"]].concat());
    assert!(
        said.contains("generation 2, revision 0, for d/board") && said.trim_end().ends_with("SUCCEEDED"),
        "{said}"
    );
    eventually(PATIENCE, || if logs().contains("version 2 from 2") { Ok(()) } else { Err(logs()) });

    // The same content with another policy is a revision, and the same devices stay first.
    let kept = bed.kept("d/board").unwrap();
    let told = bed.desk.json(&[&words[..], &["--gen", "same", "--percent", "12.5"]].concat());
    assert_eq!((&told["gen"], &told["rev"]), (&2.into(), &1.into()), "{told:#}");
    let now = bed.kept("d/board").unwrap();
    assert_eq!((&now["policy"]["seed"], &now["policy"]["percent"]), (&kept["id"], &12.5.into()), "{now:#}");
    assert_eq!(now["projects"], kept["projects"]);

    let told = bed.desk.json(&deploy(&["--nothing", "--scope", "d/board", "--wait"]));
    assert_eq!((&told["gen"], &told["changes"][0]["what"]), (&3.into(), &"removed".into()), "{told:#}");
}

#[test]
fn a_failure_on_the_board_is_the_commands_failure() {
    let bed = Bed::new();
    bed.offer("1", PLATFORMS);
    let _board = bed.board("board");
    bed.compose("app:1", "    command: [\"false\"]\n    restart: \"no\"\n");
    let words =
        ["site/compose.yaml", "--scope", "d/board", "--wait", "--attempts", "1", "--on-failure", "rollback"];
    bed.desk.refused(&deploy(&words), 1, &["the update ended"]);
}

#[test]
fn what_cannot_run_everywhere_or_be_understood_is_not_sent() {
    let bed = Bed::new();
    bed.offer("1", PLATFORMS);
    bed.offer("some", &[("amd64", None), ("arm64", None)]);
    let check = |image: &str, lines: &str, words: &[&str], code: i32, expected: &[&str]| {
        bed.compose(image, lines);
        let words = [&["site/compose.yaml", "--scope", "d/board"], words].concat();
        bed.desk.refused(&deploy(&words), code, expected);
        assert_eq!(bed.kept("d/board"), None, "{image} {lines}");
    };
    let offers = "it has nothing for linux/arm/v7; it offers linux/amd64, linux/arm64";
    check("app:some", "", &[], 65, &["projects.site.services.web.image", offers]);
    check("app:none", "", &[], 65, &["failed to fetch manifest", "app:none", "404"]);
    check("App:1", "", &[], 65, &["services.web.image", "lower-case"]);
    check("app:1", "    ports: [\"80:80\"]\n", &[], 65, &["compose.yaml: line 4: services.web.ports: "]);
    check(
        "app:1",
        "    depends_on:\n      - db\n",
        &[],
        65,
        &["line 4: services.web.depends_on", "no service \"db\""],
    );
    check("app:1", "    user: x\n    user: y\n", &[], 65, &["line 5: \"user\" stands twice"]);
    check("app:1", "    mode: 0755\n", &[], 65, &["line 4: 0755 is read as octal by some"]);
    check(
        "app:1",
        "    user: ${WHO:?tell who}\n",
        &[],
        65,
        &["line 4: the variable WHO is needed: tell who"],
    );
    check("app:1", "    user: $9\n", &[], 65, &["line 4", "no interpolation"]);
    check("app:1", "    env_file: none.env\n", &[], 64, &["none.env"]);
    check("app:1", "", &["--project", "a/b"], 65, &["project \"a/b\" is not valid"]);
    check("app:1", "", &["--percent", "101"], 65, &["policy.percent is not 0 to 100"]);
    check("app:1", "", &["--window", "Fry 23:30 60m"], 65, &["policy.windows[0].days"]);
    check("app:1", "", &["--gen", "same"], 65, &["nothing is kept"]);
    check("app:1", "", &["--scope", "x/board"], 64, &[]);
    check("app:1", "", &["--exp", "soon"], 64, &["is not a duration"]);
    check("app:1", "", &["--platform", "linux/riscv64"], 65, &["it has nothing for linux/riscv64"]);
    check("app:1", "", &["--key", "root.key"], 65, &["SIGNATURE: 0 of 1 signatures"]);
    check("app:1", "", &["--broker", "mqtt://127.0.0.1:1"], 75, &["the broker at mqtt://127.0.0.1:1"]);
    // Told before any registry is asked.
    let address = "address \"broker.example\" must be mqtt://host[:port]";
    check("app:none", "", &["--broker", "broker.example"], 64, &[address]);
    let plain = bed.registry.host().replace("127.0.0.1", "localhost");
    bed.desk.write("site/compose.yaml", &format!("services:\n  web:\n    image: {plain}/app:1\n"));
    let words = ["site/compose.yaml", "--scope", "d/board"];
    bed.desk.refused(&deploy(&words), 75, &["the registry does not speak TLS", "--insecure-registry names"]);
    bed.desk.secret("pass", "wrong\n");
    check("app:1", "", &[], 78, &["alice.key does not open: the passphrase is wrong"]);
    let group = ["site/compose.yaml", "--scope", "g/eu", "--wait"];
    bed.desk.refused(&deploy(&group), 64, &["--wait follows one device"]);
}

#[test]
fn a_document_that_boards_would_refuse_for_its_numbers_is_not_sent() {
    let bed = Bed::new();
    bed.offer("1", PLATFORMS);
    bed.compose("app:1", "");
    let with = |words: &[&'static str]| deploy(&[&["site/compose.yaml", "--scope", "g/eu"], words].concat());
    bed.desk.good(&with(&["--gen", "5"]));
    let kept = bed.kept("g/eu");
    bed.desk.refused(
        &with(&["--gen", "5"]),
        65,
        &["generation 5, revision 0, is not above generation 5", "REPLAY"],
    );
    bed.desk.refused(&with(&["--gen", "4", "--rev", "9"]), 65, &["is not above"]);
    assert_eq!(bed.kept("g/eu"), kept);
    let told = bed.desk.json(&with(&[]));
    assert_eq!(told["gen"], 6, "{told:#}");

    // Somebody else's word on the topic is no ground to build on.
    let topic = "coracle/v1/g/eu/desired";
    for (strange, why) in [("hello", "envelope is not DSSE"), ("{}", "envelope is not DSSE")] {
        bed.broker.publish_retained(topic, strange.as_bytes()).unwrap();
        bed.desk.refused(&with(&[]), 65, &["cannot be verified", why, "--gen N"]);
    }
    bed.desk.key("mallory", "ed25519");
    bed.desk.write(
        "mallory.json",
        r#"{"schema":"desired/v1","id":"m","scope":"g/eu","gen":90,"iat":1,"projects":{}}"#,
    );
    let sign =
        ["sign", "mallory.json", "--key", "mallory.key", "--passphrase-file", "pass", "--out", "mallory"];
    bed.desk.good(&sign);
    bed.broker.publish_retained(topic, bed.desk.read("mallory").as_bytes()).unwrap();
    bed.desk.refused(&with(&[]), 65, &["cannot be verified (SIGNATURE: 0 of 1"]);
    let said = bed.desk.good(&with(&["--gen", "7"]));
    assert!(said.contains("against generation 90, revision 0, NOT VERIFIED"), "{said}");
    assert_eq!(bed.kept("g/eu").unwrap()["gen"], 7);
}

#[test]
fn a_broker_with_tls_certificates_and_either_protocol_is_spoken_to() {
    let options = BrokerOptions { tls: true, client_certificates: true, ..BrokerOptions::default() };
    let bed = Bed::with(options);
    bed.offer("1", PLATFORMS);
    bed.compose("app:1", "");
    let (certificate, key) = bed.broker.client_certificate("operator", KeyForm::Pkcs8).unwrap();
    let (ca, cert, key) = (bed.broker.ca(), certificate.display().to_string(), key.display().to_string());
    let ca = ca.display().to_string();
    let tls = ["site/compose.yaml", "--scope", "g/eu", "--ca-file", &ca];
    bed.desk.refused(&deploy(&tls), 78, &["the broker at mqtts://localhost", "certificate"]);
    let full = [&tls[..], &["--cert-file", &cert, "--key-file", &key]].concat();
    for (number, mqtt) in [(1, "5"), (2, "3.1.1")] {
        let told = bed.desk.json(&deploy(&[&full[..], &["--mqtt", mqtt]].concat()));
        assert_eq!(told["gen"], number, "{told:#}");
    }
    bed.desk.shell(&format!("chmod 644 {key}"));
    bed.desk.refused(&deploy(&full), 78, &["run: chmod 600"]);
}

#[test]
fn an_account_that_may_not_write_is_told_so() {
    let options = BrokerOptions {
        users: vec![("bench".into(), "b".into()), ("reader".into(), "r".into())],
        acl: vec![
            "user bench".into(),
            "topic readwrite #".into(),
            "user reader".into(),
            "topic read #".into(),
        ],
        ..BrokerOptions::default()
    };
    let bed = Bed::with(options);
    bed.offer("1", PLATFORMS);
    bed.compose("app:1", "");
    bed.desk.secret("reader", "r\n");
    bed.desk.secret("wrong", "w\n");
    let with = |password: &'static str, mqtt: &'static str| {
        let account = ["--username", "reader", "--password-file", password, "--mqtt", mqtt];
        deploy(&[&["site/compose.yaml", "--scope", "g/eu"], &account[..]].concat())
    };
    for mqtt in ["5", "3.1.1"] {
        bed.desk.refused(&with("reader", mqtt), 78, &["may this account write there?"]);
        bed.desk.refused(&with("wrong", mqtt), 78, &["refused the connection"]);
    }
    assert_eq!(bed.kept("g/eu"), None);
}
