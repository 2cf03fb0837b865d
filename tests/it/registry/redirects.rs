//! Redirects, and what must not follow them.

use std::sync::Arc;

use coracle_core::oci::manifest::OCI_INDEX;
use coracle_test_support::faults::{Asks, Fault, FaultRegistry, On, Times, tls_settings};
use coracle_test_support::registry::{auth, certificate};
use coracle_test_support::scratch::TempDir;

use super::*;

const SIZE: usize = 200_000;

struct Bench {
    dir: TempDir,
    registry: FaultRegistry,
    digest: String,
}

impl Bench {
    fn plain() -> Self {
        Self::with(TempDir::new("redirect"), FaultRegistry::start())
    }

    fn tls() -> Self {
        let dir = TempDir::new("redirect");
        certificate(&dir).unwrap();
        let settings: Arc<_> = tls_settings(&dir);
        Self::with(dir, FaultRegistry::start_tls(settings))
    }

    fn with(dir: TempDir, registry: FaultRegistry) -> Self {
        registry.put_index("app", "v1", &[]);
        let digest = registry.put_blob(&content(SIZE));
        Self { dir, registry, digest }
    }

    fn config(&self, tls: bool) -> RegistryConfig {
        let mut config = quick(&self.registry);
        if tls {
            config.insecure.clear();
            config.ca_file = Some(self.dir.join("ca.crt"));
        }
        config.credentials = credentials(&self.dir, &self.registry.host(), &auth());
        config
    }

    /// What a manifest and a blob end in.
    async fn fetch(&self, config: RegistryConfig) -> [Result<(), RegistryError>; 2] {
        let client = client(config);
        let tag = reference(&self.registry, "app:v1");
        let manifest = client.manifest(&tag, None).await.map(drop);
        let (blob, _) = stream(&client, &tag, &descriptor(&self.digest, SIZE)).await;
        [manifest, blob.map(drop)]
    }
}

#[tokio::test]
async fn a_redirect_to_another_host_is_followed_without_the_credentials() {
    let bench = Bench::tls();
    let storage = FaultRegistry::start_tls(tls_settings(&bench.dir));
    storage.put_index("app", "v1", &[]);
    storage.put_blob(&content(SIZE));
    bench.registry.asks(Asks::Password);
    let manifest = format!("https://{}/v2/app/manifests/v1", storage.host());
    let blob = format!("https://{}/v2/app/blobs/{}", storage.host(), bench.digest);
    bench.registry.script(On::get("/manifests/"), Times::Always, Fault::redirect(&manifest));
    bench.registry.script(On::get("/blobs/"), Times::Always, Fault::redirect(&blob));
    for result in bench.fetch(bench.config(true)).await {
        result.unwrap();
    }
    let requests = storage.requests();
    assert_eq!(requests.len(), 2);
    for seen in requests {
        assert_eq!(seen.header("authorization"), "", "{seen:?}");
    }
    let proven = "credentials stay with the registry";
    table::harmless(Family::Registry, "redirect to whoever wants credentials", proven, None);
    let asked = bench.registry.requests();
    assert!(asked.iter().any(|seen| seen.header("authorization") == format!("Basic {}", auth())));
}

#[tokio::test]
async fn a_redirect_that_would_leave_tls_or_reach_inside_is_refused() {
    let listening = FaultRegistry::start();
    listening.put_manifest("app", "v1", OCI_INDEX, b"{}");
    let plain = format!("http://{}/v2/app/manifests/v1", listening.host());
    let rows = [
        (true, plain.as_str(), "from https to http"),
        (true, "http://169.254.169.254/latest/", "from https to http"),
        (true, "https://169.254.169.254/latest/", "a link-local or metadata address"),
        (true, "ftp://127.0.0.1/", "neither http nor https"),
        (false, "http://169.254.169.254/latest/", "a link-local or metadata address"),
        (false, "http://[fe80::1]/", "a link-local or metadata address"),
    ];
    for (tls, target, expected) in rows {
        let bench = if tls { Bench::tls() } else { Bench::plain() };
        bench.registry.script(On::any("/manifests/"), Times::Always, Fault::redirect(target));
        bench.registry.script(On::any("/blobs/"), Times::Always, Fault::redirect(target));
        for (result, attempt) in bench.fetch(bench.config(tls)).await.into_iter().zip(["manifest", "blob"]) {
            let from = if tls { "https" } else { "http" };
            let name =
                format!("{attempt} redirected from {from} to {}", target.replace(&listening.host(), "http"));
            refuses(&result.unwrap_err(), &name, &[attempt, "refused to be redirected", expected]);
        }
    }
    assert!(listening.requests().is_empty(), "{:?}", listening.requests());
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let bench = Bench::plain();
    let target = format!("http://{}/v2/app/manifests/v1", bench.registry.host());
    bench.registry.script(On::any("/manifests/"), Times::Always, Fault::redirect(&target));
    let client = client(bench.config(false));
    let error = client.manifest(&reference(&bench.registry, "app:v1"), None).await.unwrap_err();
    refuses(&error, "redirects in a circle", &["too many redirects"]);
}

#[tokio::test]
async fn tls_is_spoken_and_checked_unless_the_registry_is_named_insecure() {
    let bench = Bench::tls();
    for result in bench.fetch(bench.config(true)).await {
        result.unwrap();
    }
    // Not signed by whom we trust: another authority of the same name.
    let other = TempDir::new("other-ca");
    certificate(&other).unwrap();
    let mut config = bench.config(true);
    config.ca_file = Some(other.join("ca.crt"));
    for result in bench.fetch(config).await {
        says(&result.unwrap_err(), "unknown authority", &["the registry is not believed: no authority"]);
    }
    let mut config = bench.config(true);
    config.ca_file = Some(other.join("missing.crt"));
    for result in bench.fetch(config).await {
        says(&result.unwrap_err(), "no such file", &["missing.crt", "No such file"]);
    }
    // certs.d adds a root for this registry only.
    let certs = TempDir::new("certs-d");
    let own = certs.join(bench.registry.host());
    std::fs::create_dir(&own).unwrap();
    std::fs::copy(bench.dir.join("ca.crt"), own.join("ca.crt")).unwrap();
    let mut config = bench.config(true);
    config.ca_file = Some(other.join("ca.crt"));
    config.certs_dir = Some(certs.to_path_buf());
    for result in bench.fetch(config).await {
        result.unwrap();
    }
}

#[tokio::test]
async fn plain_http_is_spoken_only_with_registries_named_insecure() {
    let bench = Bench::plain();
    let mut config = bench.config(false);
    config.insecure.clear();
    for result in bench.fetch(config).await {
        says(&result.unwrap_err(), "plain", &["the connection failed"]);
    }
    assert!(bench.registry.requests().is_empty());
}
