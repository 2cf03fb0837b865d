//! The client: one object after another, over mirrors, retries and renewed tokens.

use bytes::Bytes;
use coracle_core::limits::{CONFIG_BYTES_MAX, MANIFEST_BYTES_MAX};
use coracle_core::oci::manifest::MEDIA_TYPES;
use coracle_core::oci::{Descriptor, Digest, Reference};
use reqwest::Method;
use tokio::sync::mpsc;

use super::auth::{Auth, Authorization};
use super::blob::{Blobs, Progress, Transfer, Transferred};
use super::config::RegistryConfig;
use super::endpoint::Endpoint;
use super::error::{Attempt, Cause, RegistryError};
use super::retry::Tries;
use super::small::{Answer, Request, Web};
use super::throttle::Throttle;
use super::trust;

/// Bytes that a connection must bring for its end not to count as a failure.
const PROGRESS_BYTES_MIN: u64 = 64 << 10;
/// Pieces of an image config on their way; a piece has at most some 400 KiB.
const CONFIG_PIECES: usize = 2;

/// Fetches from registries. Use one for the process: it keeps tokens and connections.
pub struct RegistryClient {
    config: RegistryConfig,
    web: Web,
    auth: Auth,
    blobs: Blobs,
    throttle: Throttle,
}

/// A manifest or index as it came; its digest is that of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawManifest {
    /// At most [`MANIFEST_BYTES_MAX`].
    pub bytes: Vec<u8>,
    /// Proven.
    pub digest: Digest,
    /// As the registry announced it, without parameters; empty where it did not.
    pub media_type: String,
}

/// A cause with how often and where it happened.
pub(super) struct Failed {
    registry: String,
    tries: u32,
    pub(super) cause: Cause,
}

impl Failed {
    pub(super) fn at(self, attempt: Attempt, reference: &Reference) -> RegistryError {
        RegistryError {
            attempt,
            object: reference.to_string(),
            registry: self.registry,
            tries: self.tries,
            cause: Box::new(self.cause),
        }
    }
}

/// A small document of a repository.
pub(super) struct Wanted {
    /// Below the repository: `manifests/latest`.
    pub(super) path: String,
    pub(super) accept: String,
    /// Bytes it may have.
    pub(super) limit: u64,
    /// Bytes it has.
    pub(super) size: Option<u64>,
    pub(super) digest: Option<Digest>,
}

impl Wanted {
    /// The manifest or index by its digest, where it has one, else by its tag.
    pub(super) fn manifest(reference: &Reference, size: Option<u64>, limit: u64) -> Self {
        let object = match reference.digest() {
            Some(digest) => digest.to_string(),
            None => reference.tag().unwrap_or("latest").to_owned(),
        };
        let accept = MEDIA_TYPES.join(", ");
        Self { path: format!("manifests/{object}"), accept, limit, size, digest: reference.digest().copied() }
    }
}

/// Such a document as it came.
pub(super) struct Got {
    pub(super) manifest: RawManifest,
    /// What `Link` says.
    pub(super) link: Option<String>,
}

impl RegistryClient {
    /// A client; connects nowhere yet.
    ///
    /// # Errors
    /// None today; what is wrong with certificates shows at the first registry that needs them.
    pub fn new(config: RegistryConfig) -> Result<Self, RegistryError> {
        trust::install_provider();
        Ok(Self {
            config,
            web: Web::new(),
            auth: Auth::new(),
            blobs: Blobs::new(),
            throttle: Throttle::new(),
        })
    }

    /// Holds all blobs together to so many bytes a second from now on; 0 for no bound.
    pub fn bound_speed(&self, bytes_per_second: u64) {
        self.throttle.set(bytes_per_second);
    }

    /// The manifest or index of `reference`: by its digest where it has one, else by its tag.
    /// With `expected`, an entry of an index, that entry's digest and size decide.
    ///
    /// # Errors
    /// [`RegistryError`] names the reference and registry; the bytes of a success have the digest asked for.
    pub async fn manifest(
        &self,
        reference: &Reference,
        expected: Option<&Descriptor>,
    ) -> Result<RawManifest, RegistryError> {
        let reference = match expected {
            Some(descriptor) => reference.pinned(descriptor.digest),
            None => reference.clone(),
        };
        let size = expected.map(|descriptor| descriptor.size);
        let wanted = Wanted::manifest(&reference, size, MANIFEST_BYTES_MAX);
        let got = self.over_endpoints(&reference, &wanted).await;
        got.map(|got| got.manifest).map_err(|failed| failed.at(Attempt::FetchManifest, &reference))
    }

    /// The whole of a small blob, an image config; proven against the descriptor's digest and size.
    ///
    /// # Errors
    /// [`RegistryError`] names the digest and registry.
    pub async fn small_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
    ) -> Result<Vec<u8>, RegistryError> {
        let failed = |cause| blob_error(reference, descriptor, cause);
        if descriptor.size > CONFIG_BYTES_MAX {
            return Err(failed(Cause::TooLong { limit: CONFIG_BYTES_MAX }));
        }
        let (sink, mut pieces) = mpsc::channel::<Bytes>(CONFIG_PIECES);
        let collect = async {
            let mut bytes = Vec::new();
            while let Some(piece) = pieces.recv().await {
                bytes.extend_from_slice(&piece);
            }
            bytes
        };
        let fetch = self.stream_blob(reference, descriptor, 0, sink, |_| ());
        let (fetched, bytes) = tokio::join!(fetch, collect);
        fetched?;
        let found = Digest::of(&bytes);
        if found == descriptor.digest {
            Ok(bytes)
        } else {
            Err(failed(Cause::Digest { expected: descriptor.digest, found }))
        }
    }

    /// Streams a blob from byte `from` into `sink`, each byte once, over as many connections as it takes.
    ///
    /// The consumer hashes: only length and order are proven here.
    /// A piece may have some 400 KiB, so a channel of two to four is enough and bounds the memory.
    ///
    /// # Errors
    /// [`RegistryError`] names the digest and registry; [`Cause::ConsumerGone`] when the receiver was dropped.
    pub async fn stream_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        from: u64,
        sink: mpsc::Sender<Bytes>,
        on_progress: impl FnMut(Progress),
    ) -> Result<Transferred, RegistryError> {
        let mut transfer = Transfer {
            digest: descriptor.digest,
            size: descriptor.size,
            offset: from,
            refetched: 0,
            throttle: &self.throttle,
            sink: &sink,
            on_progress,
        };
        // Nothing has no range.
        if descriptor.size > from {
            self.transfer(reference, &mut transfer).await.map_err(|failed| RegistryError {
                registry: failed.registry,
                tries: failed.tries,
                ..blob_error(reference, descriptor, failed.cause)
            })?;
        }
        Ok(Transferred { bytes: transfer.offset - from, refetched: transfer.refetched })
    }

    pub(super) async fn over_endpoints(&self, reference: &Reference, wanted: &Wanted) -> Result<Got, Failed> {
        let mut failed = None;
        let mut endpoints = self.endpoints(reference)?.into_iter();
        while let Some(endpoint) = endpoints.next() {
            let mut tries = Tries::new(&self.config.retry, endpoints.len() > 0);
            loop {
                let cause = match self.once(&endpoint, wanted).await {
                    Ok(got) => return Ok(got),
                    Err(cause) => cause,
                };
                if let Err(cause) = tries.again(cause, false).await {
                    failed = Some(Failed { registry: endpoint.registry, tries: tries.total, cause });
                    break;
                }
            }
        }
        Err(failed.unwrap_or_else(|| nowhere(reference)))
    }

    async fn once(&self, endpoint: &Endpoint, wanted: &Wanted) -> Result<Got, Cause> {
        let url = format!("{}/v2/{}/{}", endpoint.base(), endpoint.repository, wanted.path);
        let answer = self.authorized(endpoint, &url, wanted).await?;
        if answer.status.as_u16() != 200 {
            return Err(answer.failure(""));
        }
        let found = Digest::of(&answer.body);
        let length = u64::try_from(answer.body.len()).unwrap_or(u64::MAX);
        if let Some(expected) = wanted.size.filter(|size| *size != length) {
            return Err(Cause::Size { expected, announced: length });
        }
        if let Some(expected) = wanted.digest.filter(|digest| *digest != found) {
            return Err(Cause::Digest { expected, found });
        }
        let text = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
        // Another algorithm than ours says nothing about these bytes.
        let announced = text("docker-content-digest").and_then(|digest| Digest::parse(digest.trim()).ok());
        if announced.is_some_and(|announced| announced != found) {
            return Err(Cause::AnnouncedDigest);
        }
        let media_type = text("content-type").and_then(|value| value.split(';').next()).unwrap_or_default();
        let media_type = media_type.trim().chars().take(120).collect();
        let link = text("link").map(ToOwned::to_owned);
        Ok(Got { manifest: RawManifest { bytes: answer.body, digest: found, media_type }, link })
    }

    /// GETs a small document, with a new token where the first is refused.
    async fn authorized(&self, endpoint: &Endpoint, url: &str, wanted: &Wanted) -> Result<Answer, Cause> {
        let get = async |authorization: &Authorization| {
            let header = authorization.header();
            let request = Request {
                method: Method::GET,
                url: url.to_owned(),
                accept: Some(wanted.accept.clone()),
                authorization: header.as_deref(),
                form: None,
                range: None,
            };
            self.web.send(&self.config, endpoint, request, wanted.limit).await
        };
        let first = self.auth.authorization(&self.web, &self.config, endpoint).await?;
        let answer = get(&first).await?;
        if answer.status.as_u16() != 401 {
            return Ok(answer);
        }
        let second = self.auth.renew(&self.web, &self.config, endpoint, &first, Some(&answer)).await?;
        let answer = get(&second).await?;
        if answer.status.as_u16() != 401 {
            return Ok(answer);
        }
        self.auth.forget(endpoint).await;
        Err(Cause::Denied("it refused even a new token"))
    }

    async fn transfer<P: FnMut(Progress)>(
        &self,
        reference: &Reference,
        transfer: &mut Transfer<'_, P>,
    ) -> Result<(), Failed> {
        let mut failed = None;
        let mut endpoints = self.endpoints(reference)?.into_iter();
        while let Some(endpoint) = endpoints.next() {
            let mut tries = Tries::new(&self.config.retry, endpoints.len() > 0);
            loop {
                let before = transfer.offset;
                let cause = match self.blob_once(&endpoint, transfer).await {
                    Ok(()) => return Ok(()),
                    Err(cause) => cause,
                };
                let progress = transfer.offset - before >= PROGRESS_BYTES_MIN;
                let gone = matches!(cause, Cause::ConsumerGone);
                if let Err(cause) = tries.again(cause, progress).await {
                    let this = Failed { registry: endpoint.registry, tries: tries.total, cause };
                    if gone {
                        return Err(this);
                    }
                    failed = Some(this);
                    break;
                }
            }
        }
        Err(failed.unwrap_or_else(|| nowhere(reference)))
    }

    async fn blob_once<P: FnMut(Progress)>(
        &self,
        endpoint: &Endpoint,
        transfer: &mut Transfer<'_, P>,
    ) -> Result<(), Cause> {
        let first = self.auth.authorization(&self.web, &self.config, endpoint).await?;
        let cause = match self.blobs.fetch(&self.config, &self.web, endpoint, &first, transfer).await {
            Ok(()) => return Ok(()),
            Err(cause) => cause,
        };
        if !is_unauthorized(&cause) {
            return Err(self.explained(endpoint, &first, &transfer.digest, cause).await);
        }
        let second = self.auth.renew(&self.web, &self.config, endpoint, &first, None).await?;
        match self.blobs.fetch(&self.config, &self.web, endpoint, &second, transfer).await {
            Err(cause) if is_unauthorized(&cause) => {
                self.auth.forget(endpoint).await;
                Err(Cause::Denied("it refused even a new token"))
            }
            Err(cause) => Err(self.explained(endpoint, &second, &transfer.digest, cause).await),
            Ok(()) => Ok(()),
        }
    }

    /// The transport hides `Retry-After`, some statuses and where it was redirected: a HEAD of our own shows them.
    async fn explained(
        &self,
        endpoint: &Endpoint,
        authorization: &Authorization,
        digest: &Digest,
        cause: Cause,
    ) -> Cause {
        if !matches!(cause, Cause::Status { .. } | Cause::Connection(_) | Cause::Unbelieved(_) | Cause::NoTls)
        {
            return cause;
        }
        let url = format!("{}/v2/{}/blobs/{digest}", endpoint.base(), endpoint.repository);
        let header = authorization.header();
        let request = Request {
            method: Method::HEAD,
            url,
            accept: None,
            authorization: header.as_deref(),
            form: None,
            range: None,
        };
        let seen = self.web.look(&self.config, endpoint, request).await;
        match (seen, cause) {
            (Err(redirect @ Cause::Redirect { .. }), _) => redirect,
            // A body, which HEAD lacks, has the better words.
            (Ok(answer), Cause::Status { said, .. }) if answer.status.as_u16() >= 400 => {
                answer.failure(&said)
            }
            (Ok(_) | Err(_), cause) => cause,
        }
    }

    fn endpoints(&self, reference: &Reference) -> Result<Vec<Endpoint>, Failed> {
        let endpoints = self.config.registries.endpoints(reference, &self.config.insecure);
        endpoints.map_err(|cause| Failed { registry: reference.registry().to_owned(), tries: 1, cause })
    }
}

fn is_unauthorized(cause: &Cause) -> bool {
    matches!(cause, Cause::Status { status: 401, .. })
}

fn blob_error(reference: &Reference, descriptor: &Descriptor, cause: Cause) -> RegistryError {
    RegistryError {
        attempt: Attempt::FetchBlob,
        object: descriptor.digest.to_string(),
        registry: reference.registry().to_owned(),
        tries: 1,
        cause: Box::new(cause),
    }
}

/// There is always at least the registry itself; said for the compiler.
fn nowhere(reference: &Reference) -> Failed {
    Failed { registry: reference.registry().to_owned(), tries: 0, cause: Cause::Blocked }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_futures_can_be_spawned() {
        fn spawnable<T: Send>(_: &T) {}
        let client = RegistryClient::new(RegistryConfig::default()).unwrap();
        let reference = Reference::parse("a").unwrap();
        let descriptor: Descriptor = serde_json::from_value(serde_json::json!({
            "mediaType": "", "digest": Digest::of(b""), "size": 0
        }))
        .unwrap();
        spawnable(&client.manifest(&reference, None));
        spawnable(&client.small_blob(&reference, &descriptor));
        spawnable(&client.stream_blob(&reference, &descriptor, 0, mpsc::channel(1).0, |_| ()));
    }
}
