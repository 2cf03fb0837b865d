//! Registries that want to know by a certificate who comes, and proxies on the way to registries.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use coracle_core::address::ProxyUrl;
use coracle_host::registry::Proxy as Way;
use coracle_test_support::certificates::{self, KeyForm};
use coracle_test_support::faults::{Asks, Fault, FaultRegistry, On, Times, tls_settings};
use coracle_test_support::process::run;
use coracle_test_support::proxy::Proxy;
use coracle_test_support::registry::{self, Registry, auth, certificate};
use coracle_test_support::scratch::TempDir;

use super::*;

const SIZE: usize = 3_000_000;

/// `certs.d` of one registry: its authority, and a certificate of this board under that name.
fn lay(certs: &Path, host: &str, from: &Path, name: &str, form: KeyForm) {
    let (certificate, key) = certificates::client(from, "board", form).unwrap();
    let own = certs.join(host);
    std::fs::create_dir_all(&own).unwrap();
    std::fs::copy(from.join("ca.crt"), own.join("ca.crt")).unwrap();
    std::fs::rename(certificate, own.join(format!("{name}.cert"))).unwrap();
    std::fs::rename(key, own.join(format!("{name}.key"))).unwrap();
}

/// A registry that does what it should not, over TLS; the board has a certificate for it, so that its blobs come by
/// our own client.
struct Bench {
    dir: TempDir,
    registry: FaultRegistry,
}

impl Bench {
    fn start() -> Self {
        let dir = TempDir::new("certified");
        certificate(&dir).unwrap();
        let registry = FaultRegistry::start_tls(tls_settings(&dir));
        lay(&dir.join("certs.d"), &registry.host(), &dir, "client", KeyForm::Pkcs8);
        Self { dir, registry }
    }

    fn config(&self) -> RegistryConfig {
        let mut config = quick(&self.registry);
        config.insecure.clear();
        config.ca_file = Some(self.dir.join("ca.crt"));
        config.certs_dir = Some(self.dir.join("certs.d"));
        config
    }

    async fn stream(
        &self,
        config: RegistryConfig,
        digest: &str,
    ) -> (Result<Transferred, RegistryError>, Vec<u8>) {
        stream(&client(config), &reference(&self.registry, "app"), &descriptor(digest, SIZE)).await
    }
}

#[tokio::test]
async fn each_fault_of_a_blob_ends_as_it_does_without_a_certificate() {
    let rows = [
        ("not found", Fault::error(404, "BLOB_UNKNOWN"), "registry answered 404 (BLOB_UNKNOWN)", 0),
        ("403", Fault::error(403, "DENIED"), "registry answered 403 (DENIED)", 0),
        ("429", Fault::retry_after(429, 7), "registry answered 429 (tried 3 times)", 0),
        ("503", Fault::status(503), "registry answered 503 (tried 3 times)", 0),
        ("416", Fault::status(416), "registry answered 416", 0),
        ("cut at once", Fault::Truncate { after: 0 }, "(tried 3 times)", 0),
        ("stall at once", Fault::Stall { after: 0 }, "nothing came for 400 ms (tried 3 times)", 0),
        ("longer, announced", Fault::Longer { extra: 5, announced: true }, "announced 3000005 bytes", 0),
        ("longer, not announced", Fault::Longer { extra: 5, announced: false }, "longer than 3000000", SIZE),
        ("shorter", Fault::Body(vec![0; 10]), "announced 10 bytes, expected 3000000", 0),
        ("endless", Fault::Endless { status: 206 }, "longer than 3000000 bytes", SIZE),
        // Its body is read to a bound and no further.
        ("endless error", Fault::Endless { status: 500 }, "registry answered 500 (tried 3 times)", 0),
        ("to plain http", Fault::redirect("http://127.0.0.1:1/"), "from https to http", 0),
        ("to a metadata address", Fault::redirect("https://169.254.169.254/"), "link-local or metadata", 0),
    ];
    for (name, fault, expected, sunk_max) in rows {
        let bench = Bench::start();
        let digest = bench.registry.put_blob(&content(SIZE));
        bench.registry.script(On::any("/blobs/"), Times::Always, fault);
        let (result, sunk) = bench.stream(bench.config(), &digest).await;
        says(&result.unwrap_err(), name, &["failed to fetch blob", expected]);
        assert!(sunk.len() <= sunk_max, "{name}: {} bytes in the sink", sunk.len());
        assert!(bench.registry.bytes_sent() < 64 << 20, "{name}: {} bytes sent", bench.registry.bytes_sent());
    }
}

#[tokio::test]
async fn a_layer_goes_on_at_the_byte_where_it_broke() {
    for fault in [Fault::Truncate { after: 300_000 }, Fault::Stall { after: 500_000 }] {
        let bench = Bench::start();
        let whole = content(SIZE);
        let digest = bench.registry.put_blob(&whole);
        bench.registry.script(On::get("/blobs/"), Times::Next(2), fault);
        let (result, sunk) = bench.stream(bench.config(), &digest).await;
        assert_eq!(result.unwrap(), Transferred { bytes: SIZE as u64, refetched: 0 });
        assert!(sunk == whole);
        assert!(bench.registry.ranges().iter().all(|range| range.ends_with("-2999999")));
    }
    let bench = Bench::start();
    let whole = content(SIZE);
    let digest = bench.registry.put_blob(&whole);
    bench.registry.script(
        On::get("/blobs/"),
        Times::Next(1),
        Fault::IgnoreRange { cut_after: Some(1_000_000) },
    );
    bench.registry.script(On::get("/blobs/"), Times::Always, Fault::IgnoreRange { cut_after: None });
    let (result, sunk) = bench.stream(bench.config(), &digest).await;
    assert_eq!(result.unwrap(), Transferred { bytes: SIZE as u64, refetched: 1_000_000 });
    assert!(sunk == whole);
}

#[tokio::test]
async fn tokens_are_renewed_and_stay_with_their_host() {
    let bench = Bench::start();
    let whole = content(SIZE);
    let digest = bench.registry.put_blob(&whole);
    bench.registry.asks(Asks::Token { password: true });
    let mut config = bench.config();
    config.credentials = credentials(&bench.dir, &bench.registry.host(), &auth());
    let client = client(config);
    for _ in 0..2 {
        let (result, sunk) =
            stream(&client, &reference(&bench.registry, "app"), &descriptor(&digest, SIZE)).await;
        result.unwrap();
        assert!(sunk == whole);
        bench.registry.expire_tokens();
    }
    let storage = FaultRegistry::start_tls(tls_settings(&bench.dir));
    storage.put_blob(&whole);
    let target = format!("https://{}/v2/app/blobs/{digest}", storage.host());
    bench.registry.script(On::get("/blobs/"), Times::Always, Fault::redirect(&target));
    let (result, _) = stream(&client, &reference(&bench.registry, "app"), &descriptor(&digest, SIZE)).await;
    result.unwrap();
    assert!(storage.requests().iter().all(|seen| seen.header("authorization").is_empty()));
}

#[tokio::test]
async fn files_of_certs_d_that_cannot_be_used_are_told_by_name() {
    type Spoil = fn(&Path);
    let rows: [(&str, Spoil, &[&str]); 6] = [
        (
            "no key",
            |own| std::fs::remove_file(own.join("client.key")).unwrap(),
            &["client.cert", "no key", "client.key"],
        ),
        (
            "no certificate",
            |own| std::fs::remove_file(own.join("client.cert")).unwrap(),
            &["client.key", "no certificate"],
        ),
        (
            "a key for all to read",
            |own| {
                std::fs::set_permissions(own.join("client.key"), std::fs::Permissions::from_mode(0o644))
                    .unwrap();
            },
            &["chmod 600", "client.key"],
        ),
        (
            "an empty key",
            |own| std::fs::write(own.join("client.key"), "").unwrap(),
            &["client.key", "not PEM of a private key"],
        ),
        (
            "two of them",
            |own| {
                for end in ["cert", "key"] {
                    std::fs::copy(own.join(format!("client.{end}")), own.join(format!("d.{end}"))).unwrap();
                }
            },
            &["d.cert", "one certificate"],
        ),
        (
            "an authority of nothing",
            |own| std::fs::write(own.join("a.crt"), "").unwrap(),
            &["a.crt", "no certificate"],
        ),
    ];
    for (name, spoil, fragments) in rows {
        let bench = Bench::start();
        bench.registry.put_index("app", "v1", &[]);
        let digest = bench.registry.put_blob(&content(SIZE));
        let client = client(bench.config());
        let tag = reference(&bench.registry, "app:v1");
        client.manifest(&tag, None).await.unwrap();
        // While the client is in use: what is there now counts.
        spoil(&bench.dir.join("certs.d").join(bench.registry.host()));
        says(&client.manifest(&tag, None).await.unwrap_err(), name, fragments);
        let (result, _) = stream(&client, &tag, &descriptor(&digest, SIZE)).await;
        says(&result.unwrap_err(), name, fragments);
    }
}

#[tokio::test]
async fn a_real_registry_that_wants_certificates_is_pulled_from_with_one_and_its_renewal_counts_at_once() {
    let asks = registry::Asks { tls: true, certificate: true, ..registry::Asks::default() };
    let guarded = Registry::start_asking(asks).unwrap();
    let (certs, blob) = (TempDir::new("certs-d"), content(200_000));
    let dir = guarded.ca().parent().unwrap().to_owned();
    lay(&certs, &guarded.host(), &dir, "client", KeyForm::Sec1);
    // Pushed by skopeo, which reads the same layout.
    let open = FaultRegistry::start();
    let image = coracle_test_support::images::Image::new(
        coracle_test_support::images::Arch::Amd64,
        vec![
            coracle_test_support::images::Layer::of_file(
                "blob",
                0o644,
                &blob,
                coracle_test_support::images::Packing::Gzip,
            )
            .unwrap(),
        ],
        &["/blob"],
    );
    open.put_image("app", "v1", &image);
    let mut push = Command::new("skopeo");
    push.args(["copy", "-q", "--src-tls-verify=false", "--dest-cert-dir"]).arg(certs.join(guarded.host()));
    push.arg(format!("docker://{}", open.reference("app:v1")));
    run(push.arg(format!("docker://{}", guarded.reference("app:v1")))).unwrap();

    let mut config = RegistryConfig { certs_dir: Some(certs.to_path_buf()), ..quick(&open) };
    config.insecure.clear();
    let tag = Reference::parse(&guarded.reference("app:v1")).unwrap();
    let layer = &image.layers[0];
    let layer = descriptor(&layer.digest, layer.bytes.len());
    let pull = async |client: &RegistryClient| -> Result<Vec<u8>, RegistryError> {
        client.manifest(&tag, None).await?;
        let (result, bytes) = stream(client, &tag, &layer).await;
        result.map(|_| bytes)
    };
    let client = client(config.clone());
    assert!(pull(&client).await.unwrap() == image.layers[0].bytes);
    // Another authority's certificate takes its place, in a client that has connected already.
    let other = TempDir::new("other-ca");
    certificate(&other).unwrap();
    let own = certs.join(guarded.host());
    let (strange, strange_key) = certificates::client(&other, "board", KeyForm::Pkcs8).unwrap();
    std::fs::copy(&strange, own.join("client.cert")).unwrap();
    let error = pull(&client).await.unwrap_err();
    says(&error, "half replaced", &["client.cert", "client.key", "without the other"]);
    std::fs::copy(&strange_key, own.join("client.key")).unwrap();
    says(&pull(&client).await.unwrap_err(), "another authority's", &["the connection failed"]);
    for form in KeyForm::ALL {
        lay(&certs, &guarded.host(), &dir, "client", form);
        assert!(pull(&client).await.unwrap() == image.layers[0].bytes, "{form:?}");
    }
    std::fs::remove_file(own.join("client.cert")).unwrap();
    std::fs::remove_file(own.join("client.key")).unwrap();
    says(&pull(&client).await.unwrap_err(), "no certificate", &["the connection failed"]);
}

#[tokio::test]
async fn registries_are_reached_through_a_proxy_but_for_those_past_it() {
    let proxy = Proxy::start(Some(("planted", secrets::PROXY_PASSWORD))).unwrap();
    let way = |password: &str, past: &[&str]| Way {
        url: ProxyUrl::parse(&format!("http://planted:{password}@{}", proxy.host())).unwrap(),
        past: past.iter().map(|past| (*past).to_owned()).collect(),
    };
    for certified in [true, false] {
        let bench = Bench::start();
        bench.registry.put_index("app", "v1", &[]);
        let whole = content(SIZE);
        let digest = bench.registry.put_blob(&whole);
        let tag = reference(&bench.registry, "app:v1");
        let with = |way: Way| {
            let mut config = bench.config();
            config.proxy = Some(way);
            config.certs_dir = config.certs_dir.filter(|_| certified);
            secrets::look(Kind::Error, "the settings", format!("{config:?}").as_bytes());
            client(config)
        };
        let before = proxy.asked().len();
        let client = with(way(secrets::PROXY_PASSWORD, &["10.0.0.0/8"]));
        client.manifest(&tag, None).await.unwrap();
        let (result, sunk) = stream(&client, &tag, &descriptor(&digest, SIZE)).await;
        result.unwrap();
        assert!(sunk == whole);
        let asked = proxy.asked().split_off(before);
        let line = format!("CONNECT {} HTTP/1.1", bench.registry.host());
        assert!(
            !asked.is_empty() && asked.iter().all(|asked| asked.line == line && asked.status == 200),
            "{asked:?}"
        );
        let before = proxy.asked().len();
        let past = with(way(secrets::PROXY_PASSWORD, &["127.0.0.1"]));
        past.manifest(&tag, None).await.unwrap();
        stream(&past, &tag, &descriptor(&digest, SIZE)).await.0.unwrap();
        assert_eq!(proxy.asked().len(), before, "what goes past the proxy does not go through it");
        let stranger = with(way("wrong", &[]));
        says(&stranger.manifest(&tag, None).await.unwrap_err(), "wrong password", &["the connection failed"]);
        let (result, _) = stream(&stranger, &tag, &descriptor(&digest, SIZE)).await;
        says(&result.unwrap_err(), "wrong password", &["failed to fetch blob"]);
        assert!(proxy.asked().split_off(before).iter().all(|asked| asked.status == 407));
    }
}
