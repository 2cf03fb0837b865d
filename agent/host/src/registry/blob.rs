//! Blobs over the transport library, one closed range after another until the content is whole.
//!
//! Invariant: the sink gets each byte of the content once, in order, and never more than the descriptor's size.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use coracle_core::oci::Digest;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use oci_client::client::{
    BlobResponse, Certificate, CertificateEncoding, ClientConfig, ClientProtocol, SizedStream,
};
use oci_client::errors::{DigestError, OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use oci_client::token_cache::{RegistryToken, RegistryTokenType};
use oci_client::{Reference, RegistryOperation};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::auth::Authorization;
use super::config::{RegistryConfig, Timeouts};
use super::endpoint::{Endpoint, Scheme};
use super::error::{Cause, cut};
use super::guard::guarded;
use super::small::{self, USER_AGENT, Web};
use super::throttle::Throttle;
use super::trust;
use crate::files::Stamp;

/// Clients kept; one for each registry, repository and token in use.
const CLIENTS_MAX: usize = 4;
/// How many times its own size a blob may come again from a registry that ignores ranges.
const REFETCH_FACTOR_MAX: u64 = 3;
/// A proxy that cannot exist: nothing listens on port 0.
/// It stands for "not over plain HTTP", which the library has no setting for.
const NO_SUCH_PROXY: &str = "http://127.0.0.1:0";

/// How far a blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes in the sink, those included that were there before.
    pub bytes: u64,
    /// Bytes of the whole.
    pub size: u64,
    /// Bytes that came more than once.
    pub refetched: u64,
}

/// What a whole blob cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Transferred {
    /// Bytes of the content, each counted once.
    pub bytes: u64,
    /// Bytes that came again and were dropped.
    pub refetched: u64,
}

/// A blob on its way; lives over broken connections and changes of the endpoint.
pub(super) struct Transfer<'a, P> {
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// Bytes in the sink: where the next range starts.
    pub(super) offset: u64,
    pub(super) refetched: u64,
    pub(super) throttle: &'a Throttle,
    pub(super) sink: &'a Sender<Bytes>,
    pub(super) on_progress: P,
}

/// The bytes of a body as they come.
type Pieces = BoxStream<'static, Result<Bytes, Cause>>;

/// A body on its way, whoever opened it.
struct Opened {
    /// Whether it begins at the offset, and not at the blob's start.
    partial: bool,
    length: Option<u64>,
    pieces: Pieces,
}

/// Whether bytes come, and fast enough. Time spent elsewhere (in the sink) does not count.
pub(super) struct Pace {
    read: Duration,
    window: Duration,
    minimum_rate: u64,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    pub(super) fn new(timeouts: &Timeouts) -> Self {
        let Timeouts { read, rate_window: window, minimum_rate, .. } = *timeouts;
        Self { read, window, minimum_rate, waited: Duration::ZERO, bytes: 0 }
    }

    /// Waits for the next piece, up to the read timeout.
    pub(super) async fn next<F: Future>(&mut self, next: F) -> Result<F::Output, Cause> {
        let start = Instant::now();
        let result = tokio::time::timeout(self.read, next).await;
        self.waited += start.elapsed();
        result.map_err(|_| Cause::Stalled(self.read))
    }

    /// Counts a piece; an error when a window ended with too little in it.
    pub(super) fn took(&mut self, bytes: usize) -> Result<(), Cause> {
        self.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
        if self.waited < self.window {
            return Ok(());
        }
        let expected = self.minimum_rate.saturating_mul(self.waited.as_secs());
        if self.bytes < expected {
            return Err(Cause::TooSlow { minimum: self.minimum_rate });
        }
        self.waited = Duration::ZERO;
        self.bytes = 0;
        Ok(())
    }
}

#[derive(PartialEq, Eq)]
struct Key {
    /// Of the files that its roots came from.
    stamp: Stamp,
    registry: String,
    host: String,
    repository: String,
    scheme: Scheme,
    authorization: Authorization,
}

/// The transport's clients. Each belongs to one authorization: the library keeps the first one it is given and
/// would fall back to it, or to none, when it thinks that a later one has expired.
pub(super) struct Blobs {
    clients: Mutex<Vec<(Key, oci_client::Client)>>,
}

impl Blobs {
    pub(super) fn new() -> Self {
        Self { clients: Mutex::default() }
    }

    /// Fetches what is missing of `transfer`; on an error `transfer` says how far it came.
    pub(super) async fn fetch<P: FnMut(Progress)>(
        &self,
        config: &RegistryConfig,
        web: &Web,
        endpoint: &Endpoint,
        authorization: &Authorization,
        transfer: &mut Transfer<'_, P>,
    ) -> Result<(), Cause> {
        let missing = transfer.size.saturating_sub(transfer.offset);
        let Opened { partial, length, pieces } =
            self.open(config, web, endpoint, authorization, transfer, missing).await?;
        let skip = if partial { 0 } else { transfer.offset };
        let expected = missing + skip;
        if let Some(announced) = length.filter(|announced| *announced != expected) {
            return Err(Cause::Size { expected, announced });
        }
        transfer.take(&config.timeouts, pieces, skip).await
    }

    /// Opens the body, by the transport library wherever it can.
    async fn open<P>(
        &self,
        config: &RegistryConfig,
        web: &Web,
        endpoint: &Endpoint,
        authorization: &Authorization,
        transfer: &Transfer<'_, P>,
        missing: u64,
    ) -> Result<Opened, Cause> {
        let digest = transfer.digest;
        let stamp = trust::stamp(config, &endpoint.registry);
        if endpoint.scheme == Scheme::Https && trust::needs_own_client(config, &endpoint.registry)? {
            let authorization = authorization.header();
            let request = small::Request {
                method: reqwest::Method::GET,
                url: format!("{}/v2/{}/blobs/{digest}", endpoint.base(), endpoint.repository),
                accept: None,
                authorization: authorization.as_deref(),
                form: None,
                range: Some(format!("bytes={}-{}", transfer.offset, transfer.size.saturating_sub(1))),
            };
            let small::Opened { partial, length, body } = web.open(config, endpoint, request).await?;
            let broken = |error: reqwest::Error| Cause::Broken(std::io::Error::other(error.without_url()));
            let pieces = body.bytes_stream().map(move |piece| piece.map_err(broken)).boxed();
            return Ok(Opened { partial, length, pieces });
        }
        let words = digest.to_string();
        let reference =
            Reference::with_digest(endpoint.host.clone(), endpoint.repository.clone(), words.clone());
        let client = self.client(config, endpoint, authorization, &reference, stamp).await?;
        // A range even for the whole: a partial answer is not hashed by the library, and the consumer hashes anyway.
        let asked =
            client.pull_blob_stream_partial(&reference, words.as_str(), transfer.offset, Some(missing));
        let wait = config.timeouts.connect + config.timeouts.read;
        let answer = guarded(wait, asked).await?.map_err(|error| cause(error, &digest))?;
        let (SizedStream { stream, content_length: length, .. }, partial) = match answer {
            BlobResponse::Partial(stream) => (stream, true),
            BlobResponse::Full(stream) => (stream, false),
        };
        let pieces = stream.map(move |piece| piece.map_err(|error| broken(error, &digest))).boxed();
        Ok(Opened { partial, length, pieces })
    }

    async fn client(
        &self,
        config: &RegistryConfig,
        endpoint: &Endpoint,
        authorization: &Authorization,
        reference: &Reference,
        stamp: Stamp,
    ) -> Result<oci_client::Client, Cause> {
        let key = Key {
            stamp,
            registry: endpoint.registry.clone(),
            host: endpoint.host.clone(),
            repository: endpoint.repository.clone(),
            scheme: endpoint.scheme,
            authorization: authorization.clone(),
        };
        {
            let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, client)) = clients.iter().find(|(known, _)| *known == key) {
                return Ok(client.clone());
            }
        }
        let client = build(config, endpoint)?;
        let (auth, token) = match authorization {
            Authorization::Anonymous => (None, None),
            Authorization::Basic { user, secret } => (
                Some(RegistryAuth::Basic(user.clone(), secret.clone())),
                Some(RegistryTokenType::Basic(user.clone(), secret.clone())),
            ),
            Authorization::Bearer { token } => (
                Some(RegistryAuth::Bearer(token.clone())),
                Some(RegistryTokenType::Bearer(RegistryToken::Token { token: token.clone() })),
            ),
        };
        if let (Some(auth), Some(token)) = (auth, token) {
            // Both stores: with either missing the library asks the registry on its own, and on failure goes anonymous.
            client.store_auth_if_needed(reference.resolve_registry(), &auth).await;
            client.tokens.insert(reference, RegistryOperation::Pull, token).await;
        }
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= CLIENTS_MAX {
            clients.remove(0);
        }
        clients.push((key, client.clone()));
        Ok(client)
    }
}

impl<P: FnMut(Progress)> Transfer<'_, P> {
    /// Passes a stream on to the sink, but for its first `skip` bytes, which are there already.
    async fn take(&mut self, timeouts: &Timeouts, mut pieces: Pieces, mut skip: u64) -> Result<(), Cause> {
        let mut pace = Pace::new(timeouts);
        loop {
            let piece = match pace.next(pieces.next()).await {
                Ok(Some(Ok(piece))) => piece,
                Ok(Some(Err(cause))) => return Err(cause),
                Ok(None) => break,
                // A connection that stays open after the last byte owes nothing.
                Err(_) if self.offset == self.size => break,
                Err(cause) => return Err(cause),
            };
            pace.took(piece.len())?;
            let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            let known = skip.min(length);
            skip -= known;
            self.refetched += known;
            if self.refetched > self.size.saturating_mul(REFETCH_FACTOR_MAX) {
                return Err(Cause::Refetched { refetched: self.refetched });
            }
            let fresh = length - known;
            if fresh > self.size.saturating_sub(self.offset) {
                return Err(Cause::TooLong { limit: self.size });
            }
            if fresh > 0 {
                let start = usize::try_from(known).unwrap_or(usize::MAX).min(piece.len());
                self.sink.send(piece.slice(start..)).await.map_err(|_| Cause::ConsumerGone)?;
                self.offset += fresh;
            }
            (self.on_progress)(Progress { bytes: self.offset, size: self.size, refetched: self.refetched });
            self.throttle.pass(piece.len()).await;
        }
        if self.offset == self.size {
            Ok(())
        } else {
            Err(Cause::Truncated { expected: self.size, found: self.offset })
        }
    }
}

fn build(config: &RegistryConfig, endpoint: &Endpoint) -> Result<oci_client::Client, Cause> {
    let failed = |error: &dyn std::fmt::Display| Cause::Tls(error.to_string());
    // The library's builder panics where this one fails: without any store of certificates.
    reqwest::Client::builder().build().map_err(|error| failed(&error))?;
    let variable = |names: [&str; 2]| names.into_iter().find_map(|name| std::env::var(name).ok());
    let host = endpoint.host.rsplit_once(':').map_or(endpoint.host.as_str(), |(host, _)| host);
    let (roots, https_proxy, no_proxy, protocol) = match endpoint.scheme {
        Scheme::Https => {
            let roots = trust::trust(config, &endpoint.registry)?.roots;
            let (proxy, past) = match &config.proxy {
                Some(proxy) => (Some(proxy.url.secret()), Some(proxy.past())),
                None => {
                    let proxy = variable(["HTTPS_PROXY", "https_proxy"]);
                    let proxy = proxy.or_else(|| variable(["ALL_PROXY", "all_proxy"]));
                    (proxy, variable(["NO_PROXY", "no_proxy"]))
                }
            };
            (roots, proxy, past, ClientProtocol::Https)
        }
        Scheme::Http => {
            let own = host.trim_matches(['[', ']']).to_owned();
            (trust::Roots::new(), None, Some(own), ClientProtocol::Http)
        }
    };
    let certificate = |data| Certificate { encoding: CertificateEncoding::Der, data };
    let settings = ClientConfig {
        protocol,
        tls_certs_only: roots.into_iter().map(certificate).collect(),
        platform_resolver: None,
        connect_timeout: Some(config.timeouts.connect),
        user_agent: USER_AGENT,
        https_proxy,
        // Redirects to plain HTTP, and to other hosts over it, end here.
        http_proxy: Some(NO_SUCH_PROXY.to_owned()),
        no_proxy,
        ..ClientConfig::default()
    };
    oci_client::Client::try_from(settings).map_err(|error| failed(&error))
}

/// The library's errors in our words; its own may be as long as the registry likes.
fn cause(error: OciDistributionError, digest: &Digest) -> Cause {
    let status = |status, said: &str| Cause::Status { status, retry_after: None, said: cut(said) };
    #[expect(clippy::wildcard_enum_match_arm, reason = "a library's enum: most of it belongs to pushing")]
    match error {
        OciDistributionError::UnauthorizedError { .. } => status(401, ""),
        OciDistributionError::ServerError { code, .. } => status(code, ""),
        OciDistributionError::RegistryError { envelope, .. } => {
            let first = envelope.errors.first();
            let said = first.map_or("", |first| first.message.as_str());
            // The library drops the status of an answer in the specification's error form.
            match first.map(|first| &first.code) {
                Some(OciErrorCode::Toomanyrequests) => status(429, said),
                Some(OciErrorCode::Unauthorized) => status(401, said),
                Some(OciErrorCode::Denied) => status(403, said),
                Some(OciErrorCode::BlobUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound) => {
                    status(404, said)
                }
                Some(_) | None => status(400, said),
            }
        }
        OciDistributionError::RequestError(error) => Cause::of_request(error),
        OciDistributionError::IoError(error) => broken(error, digest),
        OciDistributionError::DigestError(_) => Cause::AnnouncedDigest,
        other => status(400, &other.to_string()),
    }
}

/// An error out of the stream: the connection's, or the library's own check of a whole answer.
fn broken(error: std::io::Error, digest: &Digest) -> Cause {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<DigestError>()) {
        Some(DigestError::VerificationError { expected, actual }) => match Digest::parse(actual) {
            Ok(found) if *expected == digest.to_string() => Cause::Digest { expected: *digest, found },
            Ok(_) | Err(_) => Cause::AnnouncedDigest,
        },
        Some(_) => Cause::AnnouncedDigest,
        None => Cause::Broken(error),
    }
}
