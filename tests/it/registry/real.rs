//! Images made and pushed by others' tools, pulled from Debian's registry, compared with what skopeo pulls.

use std::path::Path;
use std::process::Command;

use coracle_core::oci::{Document, ImageConfig, Manifest};
use coracle_test_support::images::tools::{Content, publish};
use coracle_test_support::images::{Arch, Form};
use coracle_test_support::process::run;
use coracle_test_support::registry::{Asks, PASSWORD, Registry, USER, auth};
use coracle_test_support::scratch::TempDir;

use super::*;

fn text(index: usize) -> Content {
    let files = (0..index).map(|n| (format!("/file{n}"), format!("text {n}"))).collect();
    Content { command: vec!["/bin/sh".to_owned()], files }
}

/// Pulls the image as an agent would, down to the layers, and compares each blob with skopeo's.
async fn compare(client: &RegistryClient, tag: &Reference, layout: &Path) -> usize {
    let blob = |digest: &Digest| std::fs::read(layout.join("blobs/sha256").join(digest.hex())).unwrap();
    let index = client.manifest(tag, None).await.unwrap();
    assert_eq!(index.bytes, blob(&index.digest), "the index");
    let Document::Index(entries) = Document::parse(&index.bytes).unwrap() else { panic!("no index") };
    let mut compared = 0;
    for entry in &entries.manifests {
        let raw = client.manifest(tag, Some(entry)).await.unwrap();
        assert_eq!(raw.bytes, blob(&entry.digest), "a manifest");
        let Document::Manifest(Manifest { config, layers }) = Document::parse(&raw.bytes).unwrap() else {
            panic!("no manifest")
        };
        let bytes = client.small_blob(tag, &config).await.unwrap();
        assert_eq!(bytes, blob(&config.digest), "a config");
        let image = ImageConfig::parse(&bytes).unwrap();
        image.matches(&Manifest { config, layers: layers.clone() }).unwrap();
        assert_eq!(Some(image.platform()), entry.platform.as_ref());
        assert_eq!(image.exec.cmd, ["/bin/sh"]);
        for layer in layers {
            let (result, bytes) = stream(client, tag, &layer).await;
            assert_eq!((result.unwrap().bytes, bytes.len() as u64), (layer.size, layer.size));
            assert!(bytes == blob(&layer.digest), "a layer");
            compared += 1;
        }
    }
    compared
}

#[tokio::test]
async fn an_image_of_others_tools_is_pulled_byte_for_byte() {
    let plain = Registry::start().unwrap();
    publish(&plain.host(), "team/app:v1", Form::Oci, &[Arch::Amd64], |_| text(2)).unwrap();
    let layout = TempDir::new("skopeo");
    let from = format!("docker://{}", plain.reference("team/app:v1"));
    let to = format!("oci:{}:v1", layout.display());
    run(Command::new("skopeo").args(["copy", "-q", "--all", "--src-tls-verify=false", &from, &to])).unwrap();

    let config = RegistryConfig { insecure: vec![plain.host()], ..RegistryConfig::default() };
    let tag = Reference::parse(&plain.reference("team/app:v1")).unwrap();
    assert_eq!(compare(&client(config), &tag, &layout).await, 3);

    // The same from a registry with TLS and a password.
    let guarded = Registry::start_asking(Asks { tls: true, password: true, ..Asks::default() }).unwrap();
    let certs = TempDir::new("certs");
    std::fs::copy(guarded.ca(), certs.join("ca.crt")).unwrap();
    let to = format!("docker://{}", guarded.reference("team/app:v1"));
    let certs_dir = format!("--dest-cert-dir={}", certs.display());
    let credentials_given = format!("--dest-creds={USER}:{PASSWORD}");
    let words = ["copy", "-q", "--all", "--src-tls-verify=false", &certs_dir, &credentials_given, &from, &to];
    run(Command::new("skopeo").args(words)).unwrap();

    let dir = TempDir::new("auth");
    let mut config = RegistryConfig {
        ca_file: Some(guarded.ca()),
        credentials: credentials(&dir, &guarded.host(), &auth()),
        ..RegistryConfig::default()
    };
    let tag = Reference::parse(&guarded.reference("team/app:v1")).unwrap();
    assert_eq!(compare(&client(config.clone()), &tag, &layout).await, 3);
    config.credentials = CredentialFiles::default();
    let error = client(config).manifest(&tag, None).await.unwrap_err();
    says(&error, "no password", &["none are configured for it"]);
}
