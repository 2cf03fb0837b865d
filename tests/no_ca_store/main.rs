//! A board without certificate authorities: the registry client works with what it is given and says what it lacks.
//!
//! The transport library panics there unless the environment was prepared, and that must happen before any thread:
//! so this is a program of its own, which starts itself again where `/etc/ssl` is hidden.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on says so by panicking"
)]

use std::path::PathBuf;
use std::process::Command;

use coracle_core::oci::{Descriptor, Digest, Reference};
use coracle_host::registry::{RegistryClient, RegistryConfig, RegistryError, prepare_environment};
use coracle_test_support::faults::{FaultRegistry, tls_settings};
use coracle_test_support::process::run;
use coracle_test_support::registry::certificate;
use coracle_test_support::scratch::TempDir;

const CONTENT: &[u8] = b"a layer";
/// Hides every place where systems keep their certificates, then becomes the program again.
const HIDE: &str = "for place in /etc/ssl /etc/pki; do [ ! -d $place ] || mount -t tmpfs none $place; done; \
                    exec \"$0\" board \"$@\"";

fn main() {
    let words: Vec<String> = std::env::args().collect();
    match words.get(1).map(String::as_str) {
        Some("board") => board(&words[2..]),
        // The front door lists tests of all programs.
        Some("--list") => println!("a_board_without_certificates_pulls: test"),
        _ => bench(),
    }
}

fn bench() {
    let dir = TempDir::new("no-ca");
    certificate(&dir).unwrap();
    let plain = FaultRegistry::start();
    let tls = FaultRegistry::start_tls(tls_settings(&dir));
    for registry in [&plain, &tls] {
        registry.put_index("app", "latest", &[]);
        registry.put_blob(CONTENT);
    }
    let this = std::env::current_exe().unwrap();
    let ca = dir.join("ca.crt");
    for (name, file) in [("nothing set", None), ("a file that is not there", Some("/nonexistent"))] {
        for prepared in ["prepared", "unprepared"] {
            let mut command = Command::new("unshare");
            command.args(["--mount", "--propagation", "private", "sh", "-ec", HIDE]).arg(&this);
            command.args([prepared, &plain.host(), &tls.host()]).arg(&ca);
            command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
            if let Some(file) = file {
                command.env("SSL_CERT_FILE", file).env("SSL_CERT_DIR", file);
            }
            let output = run(&mut command).unwrap_or_else(|error| panic!("{name}, {prepared}: {error}"));
            println!("{name}, {prepared}: {}", output.trim());
        }
    }
}

/// What runs on the board: words are whether to prepare, both registries, the CA of the second.
fn board(words: &[String]) {
    assert!(!std::path::Path::new("/etc/ssl/certs").exists(), "certificates are hidden");
    let prepared = words[0] == "prepared";
    if prepared {
        prepare_environment().unwrap();
        // Once is enough, and twice does no harm.
        prepare_environment().unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (plain, tls) = (&words[1], &words[2]);
        let insecure = RegistryConfig { insecure: vec![plain.clone()], ..RegistryConfig::default() };
        let with_ca = RegistryConfig { ca_file: Some(PathBuf::from(&words[3])), ..RegistryConfig::default() };
        if prepared {
            assert_eq!(pull(plain, insecure).await.unwrap(), CONTENT);
            assert_eq!(pull(tls, with_ca).await.unwrap(), CONTENT);
        } else {
            // Not as it should be used: an error all the same, and no panic.
            let error = pull(plain, insecure).await.unwrap_err().to_string();
            assert!(error.contains("TLS is not available"), "{error}");
        }
        let error = pull(tls, RegistryConfig::default()).await.unwrap_err().to_string();
        assert!(error.contains("no CA certificates"), "{error}");
    });
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    println!("{}", peak.split_whitespace().collect::<Vec<_>>().join(" "));
}

async fn pull(host: &str, config: RegistryConfig) -> Result<Vec<u8>, RegistryError> {
    let client = RegistryClient::new(config)?;
    let reference = Reference::parse(&format!("{host}/app")).unwrap();
    client.manifest(&reference, None).await?;
    let descriptor: Descriptor = serde_json::from_value(serde_json::json!({
        "mediaType": "application/vnd.oci.image.layer.v1.tar",
        "digest": Digest::of(CONTENT),
        "size": CONTENT.len(),
    }))
    .unwrap();
    client.small_blob(&reference, &descriptor).await
}
