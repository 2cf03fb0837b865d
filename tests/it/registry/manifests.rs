//! Manifests and indexes that are not what they say.

use coracle_core::oci::Document;
use coracle_core::oci::manifest::{OCI_INDEX, OCI_MANIFEST};
use coracle_test_support::faults::{Fault, FaultRegistry, On, Times};

use super::*;

/// Bytes that may lie in the sockets between a body and a client that stopped reading it.
const IN_FLIGHT: u64 = 16 << 20;

/// A manifest of an image that nobody pulls.
fn manifest() -> String {
    let config = "application/vnd.oci.image.config.v1+json";
    let descriptor = serde_json::json!({"mediaType": config, "digest": digest_of(b"config"), "size": 6});
    serde_json::json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor, "layers": []})
        .to_string()
}

struct Row {
    name: &'static str,
    fault: Fault,
    expected: &'static str,
    /// Requests for the manifest: 3 where trying again may help.
    tries: usize,
    taken_max: u64,
}

fn row(name: &'static str, fault: Fault, expected: &'static str, tries: usize) -> Row {
    Row { name, fault, expected, tries, taken_max: 64 << 10 }
}

#[tokio::test]
async fn each_fault_of_a_manifest_ends_in_an_error_that_names_it() {
    let other_digest = digest_of(b"something else");
    let header = |name: &str, value: &str| Fault::Header { name: name.to_owned(), value: value.to_owned() };
    let rows = [
        row(
            "not found",
            Fault::error(404, "MANIFEST_UNKNOWN"),
            "registry answered 404 (MANIFEST_UNKNOWN)",
            1,
        ),
        row("forbidden", Fault::status(403), "registry answered 403", 1),
        row("429 with Retry-After", Fault::retry_after(429, 7), "registry answered 429 (tried 3 times)", 3),
        row(
            "429 without",
            Fault::error(429, "TOOMANYREQUESTS"),
            "registry answered 429 (TOOMANYREQUESTS)",
            3,
        ),
        row("500", Fault::status(500), "registry answered 500 (tried 3 times)", 3),
        row("503", Fault::status(503), "registry answered 503 (tried 3 times)", 3),
        row("truncated", Fault::Truncate { after: 10 }, "the connection failed (tried 3 times)", 3),
        row("stall", Fault::Stall { after: 10 }, "nothing came for 400 ms (tried 3 times)", 3),
        row(
            "wrong announced digest",
            header("Docker-Content-Digest", &other_digest),
            "registry announced",
            1,
        ),
        row("too long", header("Content-Length", "5000000"), "longer than 4194304 bytes", 1),
        row("no redirect target", Fault::status(307), "it names no target", 1),
        Row {
            taken_max: (4 << 20) + IN_FLIGHT,
            ..row("endless", Fault::Endless { status: 200 }, "longer than 4194304 bytes", 1)
        },
        Row {
            taken_max: IN_FLIGHT,
            ..row("endless error", Fault::Endless { status: 403 }, "answered 403", 1)
        },
    ];
    for Row { name, fault, expected, tries, taken_max } in rows {
        let registry = FaultRegistry::start();
        registry.put_manifest("app", "v1", OCI_MANIFEST, manifest().as_bytes());
        registry.script(On::any("/manifests/"), Times::Always, fault);
        let error =
            client(quick(&registry)).manifest(&reference(&registry, "app:v1"), None).await.unwrap_err();
        let object = format!("failed to fetch manifest {}/app:v1 from \"{0}\": ", registry.host());
        says(&error, name, &[&object, expected]);
        let asked = registry.requests().iter().filter(|seen| seen.path.contains("/manifests/")).count();
        assert_eq!(asked, tries, "{name}");
        assert!(registry.bytes_sent() <= taken_max, "{name}: {} bytes", registry.bytes_sent());
    }
}

#[tokio::test]
async fn what_is_only_temporary_is_outlived() {
    for (name, fault) in [
        ("503", Fault::status(503)),
        ("429", Fault::retry_after(429, 1)),
        ("stall", Fault::Stall { after: 0 }),
        ("truncated", Fault::Truncate { after: 20 }),
    ] {
        let registry = FaultRegistry::start();
        let digest = registry.put_manifest("app", "v1", OCI_MANIFEST, manifest().as_bytes());
        registry.script(On::get("/manifests/"), Times::Next(2), fault);
        let raw = client(quick(&registry)).manifest(&reference(&registry, "app:v1"), None).await;
        let raw = raw.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((raw.digest.to_string(), raw.media_type.as_str()), (digest, OCI_MANIFEST), "{name}");
        assert_eq!(raw.bytes, manifest().into_bytes(), "{name}");
    }
}

#[tokio::test]
async fn a_digest_or_an_entry_of_an_index_must_be_met_by_the_bytes() {
    let registry = FaultRegistry::start();
    let digest = registry.put_manifest("app", "v1", OCI_MANIFEST, manifest().as_bytes());
    let client = client(quick(&registry));
    let pinned = reference(&registry, &format!("app@{digest}"));
    assert_eq!(client.manifest(&pinned, None).await.unwrap().digest.to_string(), digest);
    let entry = descriptor(&digest, manifest().len());
    let tag = reference(&registry, "app:v1");
    assert_eq!(client.manifest(&tag, Some(&entry)).await.unwrap().bytes, manifest().into_bytes());
    let small = descriptor(&digest, 7);
    says(&client.manifest(&tag, Some(&small)).await.unwrap_err(), "size", &["expected 7"]);

    registry.script(On::get("/manifests/"), Times::Always, Fault::Body(b"{}".to_vec()));
    registry.script(
        On::get("/manifests/"),
        Times::Always,
        Fault::Header { name: "Docker-Content-Digest".to_owned(), value: digest.clone() },
    );
    let error = client.manifest(&pinned, None).await.unwrap_err();
    says(&error, "digest", &[&format!("expected {digest}"), &digest_of(b"{}")]);
}

/// The client hands on bytes; that they are no image is said by the parser, for the same fetch.
#[tokio::test]
async fn documents_that_are_no_image_are_refused_by_their_reader() {
    let entry = |kind: &str| {
        let digest = digest_of(b"x");
        serde_json::json!({"mediaType": kind, "digest": digest, "size": 1})
    };
    let both = serde_json::json!({"schemaVersion": 2, "manifests": [entry(OCI_MANIFEST)], "layers": []});
    let schema_1 = serde_json::json!({"schemaVersion": 1, "fsLayers": [], "history": []});
    for (document, expected) in [(both, "CVE-2021-41190"), (schema_1, "schema 1")] {
        let registry = FaultRegistry::start();
        registry.put_manifest("app", "v1", "application/json", document.to_string().as_bytes());
        let raw = client(quick(&registry)).manifest(&reference(&registry, "app:v1"), None).await.unwrap();
        let error = Document::parse(&raw.bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let registry = FaultRegistry::start();
    let inner = registry.put_index("app", "inner", &[]);
    let platform = serde_json::json!({"os": "plan9", "architecture": "mips"});
    registry.put_index("app", "v1", &[(OCI_INDEX, &inner, platform)]);
    let client = client(quick(&registry));
    let tag = reference(&registry, "app:v1");
    let raw = client.manifest(&tag, None).await.unwrap();
    let Document::Index(index) = Document::parse(&raw.bytes).unwrap() else { panic!("no index") };
    let nested = client.manifest(&tag, index.manifests.first()).await.unwrap();
    assert!(matches!(Document::parse(&nested.bytes), Ok(Document::Index(_))));
}

#[tokio::test]
async fn a_board_without_network_gets_an_error_and_not_a_wait() {
    let registry = FaultRegistry::start();
    let config = quick(&registry);
    let tag = reference(&registry, "app:v1");
    drop(registry);
    let error = client(config).manifest(&tag, None).await.unwrap_err();
    says(&error, "down", &["failed to fetch manifest", "the connection failed (tried 3 times)"]);
    assert!(std::error::Error::source(&error).is_some(), "the cause of the cause is there");
}
