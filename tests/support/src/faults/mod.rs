//! A registry in this process that does what a real one will not: it lies, stalls, drops and never ends.
//!
//! ```text
//! let registry = FaultRegistry::start();
//! let digest = registry.put_image("app", "v1", &image);
//! registry.script(On::get("/blobs/"), Times::Next(2), Fault::Truncate { after: 1000 });
//! … registry.requests() tells what was asked, registry.bytes_sent() how much left …
//! ```
//!
//! It is a test double: enough HTTP/1.1 for clients of registries, no more.

mod http;
mod script;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::acceptor::Acceptor;
use crate::images::layer::sha256;
use crate::images::{Form, Image};
use crate::registry::auth;
#[cfg(doc)]
use crate::registry::{PASSWORD, USER};
use crate::secrets;
pub use script::{Fault, On, Times};

/// Who may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asks {
    /// Anyone.
    Nothing,
    /// [`USER`] with [`PASSWORD`].
    Password,
    /// Whoever has a token of its own token server; that one wants the password too if told so.
    Token {
        /// Whether the token server wants [`USER`] with [`PASSWORD`].
        password: bool,
    },
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `GET`, `HEAD`, `POST`.
    pub method: String,
    /// With its query.
    pub path: String,
    /// All headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// What it was answered; 0 where the connection was cut before.
    pub status: u16,
}

impl Seen {
    /// The value of a header, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

#[derive(Default)]
struct Content {
    /// By `repository` and tag or digest: media type and bytes.
    manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    /// By digest.
    blobs: BTreeMap<String, Arc<Vec<u8>>>,
}

struct Shared {
    address: SocketAddr,
    scheme: &'static str,
    content: Mutex<Content>,
    asks: Mutex<Asks>,
    /// Counts up when tokens expire.
    token: AtomicU64,
    scripts: Mutex<Vec<script::Entry>>,
    requests: Mutex<Vec<Seen>>,
    bytes_sent: AtomicU64,
    stopping: Arc<AtomicBool>,
}

/// The running registry; it ends with this value.
pub struct FaultRegistry {
    shared: Arc<Shared>,
    _acceptor: Acceptor,
}

impl FaultRegistry {
    /// Starts over plain HTTP on a free loopback port.
    pub fn start() -> Self {
        Self::start_at([127, 0, 0, 1].into())
    }

    /// The same on another address of this machine.
    pub fn start_at(address: IpAddr) -> Self {
        Self::start_with(address, None)
    }

    /// Starts with TLS; `settings` are made by [`tls_settings`].
    #[cfg(feature = "protocols")]
    pub fn start_tls(settings: Arc<rustls::ServerConfig>) -> Self {
        Self::start_with([127, 0, 0, 1].into(), Some(settings))
    }

    fn start_with(address: IpAddr, tls: Option<http::Tls>) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("a free port");
        let shared = Arc::new(Shared {
            address: listener.local_addr().expect("a bound address"),
            scheme: if tls.is_some() { "https" } else { "http" },
            content: Mutex::default(),
            asks: Mutex::new(Asks::Nothing),
            token: AtomicU64::new(1),
            scripts: Mutex::default(),
            requests: Mutex::default(),
            bytes_sent: AtomicU64::new(0),
            stopping: Arc::default(),
        });
        let serving = Arc::clone(&shared);
        let acceptor = Acceptor::start(listener, Arc::clone(&shared.stopping), move |stream| {
            let (serving, tls) = (Arc::clone(&serving), tls.clone());
            std::thread::spawn(move || http::serve(&serving, stream, tls));
        });
        Self { shared, _acceptor: acceptor.expect("a bound address") }
    }

    /// `127.0.0.1:PORT`, or the other address: the registry part of its references.
    pub fn host(&self) -> String {
        self.shared.address.to_string()
    }

    /// `127.0.0.1:PORT/NAME`.
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.host())
    }

    /// What it asks of its clients from now on.
    pub fn asks(&self, asks: Asks) {
        *self.shared.asks.lock().expect("asks") = asks;
    }

    /// Makes all tokens given so far worthless.
    pub fn expire_tokens(&self) {
        self.shared.token.fetch_add(1, Ordering::SeqCst);
    }

    /// Stores a blob; hands back its digest.
    pub fn put_blob(&self, bytes: &[u8]) -> String {
        let digest = sha256(bytes);
        self.put_blob_as(&digest, bytes);
        digest
    }

    /// Stores bytes under a digest that need not be theirs.
    pub fn put_blob_as(&self, digest: &str, bytes: &[u8]) {
        let mut content = self.shared.content.lock().expect("content");
        content.blobs.insert(digest.to_owned(), Arc::new(bytes.to_vec()));
    }

    /// Stores a manifest under its digest and a tag; hands back the digest.
    pub fn put_manifest(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) -> String {
        let digest = sha256(bytes);
        let mut content = self.shared.content.lock().expect("content");
        for name in [tag, digest.as_str()] {
            let key = (repository.to_owned(), name.to_owned());
            content.manifests.insert(key, (media_type.to_owned(), bytes.to_vec()));
        }
        digest
    }

    /// Stores a manifest under a tag or a digest that need not be its own.
    pub fn put_manifest_as(&self, repository: &str, name: &str, media_type: &str, bytes: &[u8]) {
        let mut content = self.shared.content.lock().expect("content");
        let key = (repository.to_owned(), name.to_owned());
        content.manifests.insert(key, (media_type.to_owned(), bytes.to_vec()));
    }

    /// Stores an image with its config, layers and manifest; hands back the manifest's digest.
    pub fn put_image(&self, repository: &str, tag: &str, image: &Image) -> String {
        for layer in &image.layers {
            self.put_blob(&layer.bytes);
        }
        let config = image.config().to_string().into_bytes();
        self.put_blob(&config);
        let manifest = image.manifest(Form::Oci, &config).to_string();
        self.put_manifest(repository, tag, "application/vnd.oci.image.manifest.v1+json", manifest.as_bytes())
    }

    /// Stores an index of entries: media type, digest of something stored before, `platform` object.
    pub fn put_index(
        &self,
        repository: &str,
        tag: &str,
        entries: &[(&str, &str, serde_json::Value)],
    ) -> String {
        let size = |digest: &str| {
            let content = self.shared.content.lock().expect("content");
            let found = content.manifests.get(&(repository.to_owned(), digest.to_owned()));
            found.map_or(2, |(_, bytes)| bytes.len())
        };
        let entries: Vec<_> = entries
            .iter()
            .map(|(media_type, digest, platform)| {
                json!({"mediaType": media_type, "digest": digest, "size": size(digest), "platform": platform})
            })
            .collect();
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": entries}).to_string();
        self.put_manifest(repository, tag, media_type, index.as_bytes())
    }

    /// From now on answers what `on` describes with `fault`, so many times; earlier scripts come first.
    pub fn script(&self, on: On, times: Times, fault: Fault) {
        self.shared.scripts.lock().expect("scripts").push(script::Entry { on, times, fault });
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.requests.lock().expect("requests").clone()
    }

    /// The `Range` headers of the GETs of blobs so far.
    pub fn ranges(&self) -> Vec<String> {
        let of_blobs = |seen: &Seen| seen.method == "GET" && seen.path.contains("/blobs/");
        self.requests()
            .iter()
            .filter(|seen| of_blobs(seen))
            .map(|seen| seen.header("range").to_owned())
            .collect()
    }

    /// Bytes of bodies that went out, error bodies included.
    pub fn bytes_sent(&self) -> u64 {
        self.shared.bytes_sent.load(Ordering::SeqCst)
    }
}

impl Shared {
    /// What the token server gives at the moment.
    fn current_token(&self) -> String {
        format!("{}-{}", secrets::TOKEN, self.token.load(Ordering::SeqCst))
    }

    /// Whether the password is in a `Basic` header.
    fn password_given(header: &str) -> bool {
        header == format!("Basic {}", auth())
    }
}

/// TLS with the certificate that [`crate::registry::certificate`] wrote into `dir`.
#[cfg(feature = "protocols")]
pub fn tls_settings(dir: &std::path::Path) -> Arc<rustls::ServerConfig> {
    use rustls::pki_types::pem::PemObject;
    let certificate =
        rustls::pki_types::CertificateDer::from_pem_file(dir.join("server.crt")).expect("server.crt");
    let key = rustls::pki_types::PrivateKeyDer::from_pem_file(dir.join("server.key")).expect("server.key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let settings = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider's versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("certificate and key that belong together");
    Arc::new(settings)
}
