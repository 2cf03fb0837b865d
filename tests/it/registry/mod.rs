//! The registry client against a registry that lies, stalls and drops, and against Debian's real one.

mod auth;
mod blobs;
mod certified;
mod manifests;
mod mirrors;
mod real;
mod redirects;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use bytes::Bytes;
use coracle_core::oci::{Descriptor, Digest, Reference};
use coracle_host::registry::{
    CredentialFiles, RegistryClient, RegistryConfig, RegistryError, RetryPolicy, Timeouts, Transferred,
};
use coracle_test_support::faults::FaultRegistry;
use coracle_test_support::scratch::TempDir;
use coracle_test_support::secrets::{self, Kind};
use tokio::sync::mpsc;

use crate::attacks::table::{self, Family};

/// The patience of a client in these tests: enough for a loaded machine, short where a fault waits for its end.
pub(super) const READ_TIMEOUT: Duration = Duration::from_millis(400);

/// A configuration whose delays do not slow the tests down.
pub(super) fn quick(registry: &FaultRegistry) -> RegistryConfig {
    RegistryConfig {
        insecure: vec![registry.host()],
        timeouts: Timeouts { connect: Duration::from_secs(5), read: READ_TIMEOUT, ..Timeouts::default() },
        retry: RetryPolicy {
            patience: Duration::ZERO,
            attempts: 3,
            backoff: |_| Duration::from_millis(1),
            limited_min: Duration::from_millis(1),
            retry_after_max: Duration::from_millis(1),
        },
        ..RegistryConfig::default()
    }
}

pub(super) fn client(config: RegistryConfig) -> RegistryClient {
    RegistryClient::new(config).unwrap()
}

pub(super) fn reference(registry: &FaultRegistry, name: &str) -> Reference {
    Reference::parse(&registry.reference(name)).unwrap()
}

pub(super) fn descriptor(digest: &str, size: usize) -> Descriptor {
    let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
    serde_json::from_value(serde_json::json!({"mediaType": media_type, "digest": digest, "size": size}))
        .unwrap()
}

/// Bytes that do not repeat in any piece a client may take by mistake.
pub(super) fn content(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Streams a blob and hands back what came into the sink, also after a failure.
pub(super) async fn stream(
    client: &RegistryClient,
    reference: &Reference,
    descriptor: &Descriptor,
) -> (Result<Transferred, RegistryError>, Vec<u8>) {
    let (sink, mut pieces) = mpsc::channel::<Bytes>(2);
    let collect = async {
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.recv().await {
            bytes.extend_from_slice(&piece);
        }
        bytes
    };
    tokio::join!(client.stream_blob(reference, descriptor, 0, sink, |_| ()), collect)
}

/// The same of an attack, which then has a line in the table of all.
#[track_caller]
pub(super) fn refuses(error: &RegistryError, name: &str, fragments: &[&str]) {
    says(error, name, fragments);
    table::refused(Family::Registry, name, "registry client", &error.to_string(), None);
}

/// An error says what was tried, on what, where, and why.
#[track_caller]
pub(super) fn says(error: &RegistryError, name: &str, fragments: &[&str]) {
    let text = error.to_string();
    secrets::look(Kind::Error, name, format!("{text}\n{error:?}").as_bytes());
    for fragment in fragments {
        assert!(text.contains(fragment), "{name}: {text:?} does not say {fragment:?}");
    }
    assert!(text.len() < 600, "{name}: {text}");
}

/// A credentials file with the bench's user and password for `host`.
pub(super) fn credentials(dir: &TempDir, host: &str, auth: &str) -> CredentialFiles {
    let path = dir.join("auth.json");
    std::fs::write(&path, serde_json::json!({"auths": {host: {"auth": auth}}}).to_string()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    CredentialFiles::only(path)
}

pub(super) fn digest_of(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}
