use super::*;
use crate::oci::Digest;

fn descriptor(media_type: &str) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":7}}"#, Digest::of(b"x"))
}

fn manifest_with(extra: &str) -> String {
    let config = descriptor(OCI_CONFIG);
    let layer = descriptor("application/vnd.oci.image.layer.v1.tar+gzip");
    format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]{extra}}}"#)
}

fn index_with(extra: &str) -> String {
    format!(r#"{{"schemaVersion":2,"manifests":[{}]{extra}}}"#, descriptor(OCI_MANIFEST))
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    let error = Document::parse(text.as_bytes()).expect_err(text).to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn all_four_kinds_are_read_with_and_without_their_media_type() {
    for kind in ["", OCI_MANIFEST, DOCKER_MANIFEST] {
        let extra = if kind.is_empty() { String::new() } else { format!(r#","mediaType":"{kind}""#) };
        let document = Document::parse(manifest_with(&extra).as_bytes()).unwrap();
        let Document::Manifest(manifest) = document else { panic!("{document:?}") };
        assert_eq!((manifest.layers.len(), manifest.config.size), (1, 7));
    }
    for kind in ["", OCI_INDEX, DOCKER_LIST] {
        let extra = if kind.is_empty() { String::new() } else { format!(r#","mediaType":"{kind}""#) };
        let document = Document::parse(index_with(&extra).as_bytes()).unwrap();
        let Document::Index(index) = document else { panic!("{document:?}") };
        assert_eq!(index.manifests.len(), 1);
    }
}

#[test]
fn a_document_with_both_shapes_is_refused() {
    refused(&index_with(r#","layers":[]"#), "CVE-2021-41190");
    refused(&index_with(&format!(r#","config":{}"#, descriptor(OCI_CONFIG))), "CVE-2021-41190");
    refused(&manifest_with(r#","manifests":[]"#), "CVE-2021-41190");
}

#[test]
fn a_media_type_that_disagrees_with_the_shape_is_refused() {
    refused(&manifest_with(&format!(r#","mediaType":"{OCI_INDEX}""#)), "does not agree");
    refused(&index_with(&format!(r#","mediaType":"{DOCKER_MANIFEST}""#)), "does not agree");
    refused(&index_with(r#","mediaType":"text/html""#), "does not agree");
    let document = Document::parse(index_with("").as_bytes()).unwrap();
    assert!(document.agrees_with(OCI_INDEX).is_ok());
    assert!(document.agrees_with(OCI_MANIFEST).is_err());
}

#[test]
fn schema_1_says_so() {
    refused(r#"{"schemaVersion":1,"name":"a","fsLayers":[],"history":[],"signatures":[]}"#, "schema 1");
    refused(
        r#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v1+prettyjws"}"#,
        "schema 1",
    );
}

#[test]
fn half_a_document_is_refused() {
    refused("{}", "schemaVersion");
    refused(r#"{"schemaVersion":3}"#, "schemaVersion");
    refused(r#"{"schemaVersion":2}"#, "neither");
    refused(r#"{"schemaVersion":2,"layers":[]}"#, "neither");
    refused(&format!(r#"{{"schemaVersion":2,"config":{}}}"#, descriptor(OCI_CONFIG)), "neither");
    refused("[]", "cannot be read");
    refused("<html>", "cannot be read");
    refused(&manifest_with("").replace("\"size\":7", "\"size\":-7"), "cannot be read");
    refused(&manifest_with("").replace("sha256", "md5"), "only sha256");
}

#[test]
fn artifacts_are_not_images() {
    refused(&manifest_with("").replace(OCI_CONFIG, "application/vnd.cncf.helm.config.v1+json"), "helm");
    refused(&manifest_with(r#","artifactType":"application/sbom""#), "application/sbom");
}

#[test]
fn a_key_that_comes_twice_is_refused() {
    refused(&manifest_with(r#","layers":[]"#), "duplicate field");
    refused(&manifest_with(r#","schemaVersion":2"#), "duplicate field");
    refused(&manifest_with("").replace("\"size\":7", "\"size\":7,\"size\":8"), "duplicate field");
}

#[test]
fn entries_depth_and_length_are_bounded() {
    let entries = |count: usize, kind: &str| vec![descriptor(kind); count].join(",");
    let index = |count| format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries(count, OCI_MANIFEST));
    assert!(Document::parse(index(INDEX_ENTRIES_MAX).as_bytes()).is_ok());
    refused(&index(INDEX_ENTRIES_MAX + 1), "more than 1024 entries");
    let config = descriptor(OCI_CONFIG);
    let layers = entries(LAYERS_MAX + 1, "application/vnd.oci.image.layer.v1.tar");
    refused(&format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layers}]}}"#), "more than 512");
    // Unknown keys are skipped without recursion, however deep.
    let deep = format!(r#","x":{}{}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(Document::parse(manifest_with(&deep).as_bytes()).is_ok());
    let deep = format!(r#""annotations":{{"a":{}"#, "[".repeat(100_000));
    refused(&manifest_with("").replace("\"size\":7", &deep), "cannot be read");
    let long = " ".repeat(usize::try_from(MANIFEST_BYTES_MAX).unwrap());
    refused(&(long + "{}"), "longer than");
}

// What stood in a manifest was in the error as long as it was, which went on into the log.
#[test]
fn an_error_repeats_little_of_the_manifest() {
    let error =
        Document::parse(format!(r#"{{"schemaVersion":"{}"}}"#, "x".repeat(9000)).as_bytes()).unwrap_err();
    assert!(error.to_string().len() < 300, "{error}");
}
