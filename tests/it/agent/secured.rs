//! Registries and brokers that want to be trusted, and to trust.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::bench::{Bench, command, exe, idle};
use super::document::{Desired, now, site};
use coracle_test_support::agent::{Board, Settings};
use coracle_test_support::broker::{Broker, BrokerOptions, KeyForm};
use coracle_test_support::faults::FaultRegistry;
use coracle_test_support::images::Form;
use coracle_test_support::process::run;
use coracle_test_support::registry::{Asks, PASSWORD, Registry, USER};
use coracle_test_support::scratch::TempDir;
use coracle_test_support::sign::{self, Algorithm, DESIRED, Signer, TRUST};

/// Pushes an image through skopeo, which knows passwords and certificates.
fn push(registry: &Registry, dir: &TempDir) {
    let open = Registry::start().unwrap();
    idle("secret").push(&open.host(), "app", Some("1"), Form::Oci).unwrap();
    let certs = dir.join("certs");
    fs::create_dir(&certs).unwrap();
    fs::copy(registry.ca(), certs.join("ca.crt")).unwrap();
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["copy", "-q", "--src-tls-verify=false", "--dest-creds", &format!("{USER}:{PASSWORD}")]);
    skopeo.arg("--dest-cert-dir").arg(&certs).arg(format!("docker://{}", open.reference("app:1")));
    run(skopeo.arg(format!("docker://{}", registry.reference("app:1")))).unwrap();
}

#[test]
fn a_registry_with_tls_and_a_password_is_pulled_from_by_whoever_knows_both() {
    let registry = Registry::start_asking(Asks { tls: true, password: true, ..Asks::default() }).unwrap();
    let dir = TempDir::new("secured");
    push(&registry, &dir);
    let auth = dir.join("auth.json");
    let pull = |password: &str, ca: bool| {
        let pair = STANDARD.encode(format!("{USER}:{password}"));
        fs::write(&auth, json!({"auths": {registry.host(): {"auth": pair}}}).to_string()).unwrap();
        fs::set_permissions(&auth, fs::Permissions::from_mode(0o600)).unwrap();
        let mut settings = Settings::new("secured");
        settings.tables += &format!("[registry]\nauth_file = {auth:?}\n");
        if ca {
            settings.tables += &format!("ca_file = {:?}\n", registry.ca());
        }
        let board = Board::new(exe(), &settings).unwrap();
        let output = command(&board, &["pull", "-q", &registry.reference("app:1")]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(pull(PASSWORD, true), (Some(0), String::new()));
    let (code, said) = pull("wrong", true);
    assert!(code != Some(0) && said.contains("credentials"), "{said}");
    assert!(!said.contains("wrong") && !said.contains(PASSWORD), "a password was told: {said}");
    let (code, said) = pull(PASSWORD, false);
    assert!(code != Some(0) && said.to_lowercase().contains("certificate"), "{said}");
}

#[test]
fn a_board_with_a_certificate_is_updated_over_tls_and_learns_of_new_keys() {
    let options = BrokerOptions {
        tls: true,
        client_certificates: true,
        // What the documentation gives to boards, and the bench everything.
        acl: [include_str!("../../../agent/docs/mosquitto/acl"), "user bench", "topic readwrite #"]
            .map(str::to_owned)
            .to_vec(),
        ..BrokerOptions::default()
    };
    let (broker, registry) = (Broker::start(options).unwrap(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    let (certificate, key) = broker.client_certificate("secured", KeyForm::Pkcs8).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let mut settings = Settings::new("secured");
    settings.insecure = vec![registry.host()];
    let [alice, carol, root] = [(); 3].map(|()| Signer::new(Algorithm::P256).unwrap());
    let keys = TempDir::new("keys");
    fs::write(keys.join("trust.json"), sign::trust(1, (&[&alice], 1), (&[&root], 1)).to_string()).unwrap();
    settings.tables = format!("[trust]\nkeys_dir = {:?}\n", keys.path());
    settings.tables += &format!(
        "[broker]\nurl = \"{}\"\nca_file = {:?}\ncert_file = {certificate:?}\nkey_file = {key:?}\n\
         first_connect_splay_seconds = 0\n",
        broker.url(),
        broker.ca()
    );
    let mut bench = Bench::with(&broker, settings);
    bench.board.start().unwrap();
    bench.until_up();
    let desired = Desired::new("secured", 1, site(&registry.reference("app:1")));
    let bytes = sign::envelope(DESIRED, desired.document().to_string().as_bytes(), &[&alice]).unwrap();
    broker.publish_retained(&desired.topic(), &bytes).unwrap();
    let state = bench.until_state(1, "SUCCEEDED");
    assert_eq!(state["agent"]["trustCounter"], 1, "{state:#}");
    bench.process("site.web");
    let next = sign::trust(2, (&[&carol], 1), (&[&root], 1)).to_string();
    let bytes = sign::envelope(TRUST, next.as_bytes(), &[&root]).unwrap();
    broker.publish_retained("coracle/v1/trust", &bytes).unwrap();
    bench.until_said("state", |state| state["agent"]["trustCounter"] == 2);
    let replies = broker.watch("coracle/v1/d/secured/reply/+").unwrap();
    let command = json!({"schema": "command/v1", "id": "a", "iat": now(), "exp": now() + 60});
    broker.publish("coracle/v1/d/secured/cmd/refresh", command.to_string().as_bytes(), false).unwrap();
    replies.next(|seen| seen.text().contains("\"ok\":true")).unwrap();
}
