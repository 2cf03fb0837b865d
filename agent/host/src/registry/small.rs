//! Documents over HTTP, and blobs where the transport library cannot: bounded bodies, visible headers, redirects by
//! our own rules.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{self, HeaderMap};
use reqwest::{Method, StatusCode, Url};

use super::blob::Pace;
use super::config::RegistryConfig;
use super::endpoint::{Endpoint, Scheme};
use super::error::{Cause, cut};
use super::trust;
use crate::files::Stamp;

/// Redirects in a row; registries use one, to their storage.
const REDIRECTS_MAX: usize = 5;
/// Bytes of an error answer that are looked at.
const ERROR_BYTES_MAX: u64 = 16 << 10;
/// Clients kept; a board uses one or two registries.
const CLIENTS_MAX: usize = 8;
pub(super) const USER_AGENT: &str = concat!("coracle/", env!("CARGO_PKG_VERSION"));

/// One request; GET and HEAD are repeated to where they are redirected.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) accept: Option<String>,
    /// The value of `Authorization`, for the host of `url` only.
    pub(super) authorization: Option<&'a str>,
    /// A form, for token servers.
    pub(super) form: Option<String>,
    /// The value of `Range`.
    pub(super) range: Option<String>,
}

/// An answer whose body was read to its bound.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// The body of a blob, or of its part.
pub(super) struct Opened {
    /// Whether it begins where it was asked to, and not at the blob's start.
    pub(super) partial: bool,
    /// What the registry announced.
    pub(super) length: Option<u64>,
    /// The bytes as they come.
    pub(super) body: reqwest::Response,
}

/// Who is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Whom {
    /// The registry itself, which may learn who this board is.
    Registry,
    /// Where it sent us.
    Another,
}

/// A client and the files it was made of, as they looked then.
struct Made {
    stamp: Stamp,
    client: reqwest::Client,
}

/// Clients by registry: each has its own roots.
pub(super) struct Web {
    clients: Mutex<HashMap<(String, Scheme, Whom), Made>>,
}

impl Web {
    pub(super) fn new() -> Self {
        Self { clients: Mutex::default() }
    }

    /// Sends `request` on behalf of `endpoint`; a success body may have `limit` bytes, others are cut.
    pub(super) async fn send(
        &self,
        config: &RegistryConfig,
        endpoint: &Endpoint,
        request: Request<'_>,
        limit: u64,
    ) -> Result<Answer, Cause> {
        let response = self.follow(config, endpoint, &request).await?;
        read(config, response, limit).await
    }

    /// Opens the body of a blob; an answer other than success is a failure.
    pub(super) async fn open(
        &self,
        config: &RegistryConfig,
        endpoint: &Endpoint,
        request: Request<'_>,
    ) -> Result<Opened, Cause> {
        let response = self.follow(config, endpoint, &request).await?;
        match response.status().as_u16() {
            status @ (200 | 206) => {
                Ok(Opened { partial: status == 206, length: response.content_length(), body: response })
            }
            _ => Err(read(config, response, ERROR_BYTES_MAX).await?.failure("")),
        }
    }

    /// The answer to `request` where redirects within the rules end.
    async fn follow(
        &self,
        config: &RegistryConfig,
        endpoint: &Endpoint,
        request: &Request<'_>,
    ) -> Result<reqwest::Response, Cause> {
        let mut url = parse_url(&request.url)?;
        let origin = url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let response = self.send_once(config, endpoint, request, &url, whom(&origin, &url)).await?;
            match redirect_target(&url, response.status(), response.headers())? {
                Some(next) if request.form.is_none() => {
                    check_target(endpoint, &url, &next).await?;
                    url = next;
                }
                _ => return Ok(response),
            }
        }
        Err(refused(&url, "too many redirects"))
    }

    /// Sends `request` and follows nothing: what a blob would be answered, without the blob.
    pub(super) async fn look(
        &self,
        config: &RegistryConfig,
        endpoint: &Endpoint,
        request: Request<'_>,
    ) -> Result<Answer, Cause> {
        let url = parse_url(&request.url)?;
        let response = self.send_once(config, endpoint, &request, &url, Whom::Registry).await?;
        if let Some(next) = redirect_target(&url, response.status(), response.headers())? {
            check_target(endpoint, &url, &next).await?;
        }
        read(config, response, ERROR_BYTES_MAX).await
    }

    async fn send_once(
        &self,
        config: &RegistryConfig,
        endpoint: &Endpoint,
        request: &Request<'_>,
        url: &Url,
        whom: Whom,
    ) -> Result<reqwest::Response, Cause> {
        let scheme = if url.scheme() == "https" { Scheme::Https } else { Scheme::Http };
        let client = self.client(config, &endpoint.registry, scheme, whom)?;
        let mut builder = client.request(request.method.clone(), url.clone());
        if let Some(accept) = &request.accept {
            builder = builder.header(header::ACCEPT, accept);
        }
        if let Some(authorization) = request.authorization.filter(|_| whom == Whom::Registry) {
            builder = builder.header(header::AUTHORIZATION, authorization);
        }
        if let Some(range) = &request.range {
            builder = builder.header(header::RANGE, range);
        }
        if let Some(form) = &request.form {
            builder =
                builder.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.clone());
        }
        let wait = config.timeouts.connect + config.timeouts.read;
        match tokio::time::timeout(wait, builder.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(Cause::of_request(error)),
            Err(_) => Err(Cause::Stalled(wait)),
        }
    }

    fn client(
        &self,
        config: &RegistryConfig,
        registry: &str,
        scheme: Scheme,
        whom: Whom,
    ) -> Result<reqwest::Client, Cause> {
        let key = (registry.to_owned(), scheme, whom);
        // Looked at before they are read: what changes in between is seen at the next request.
        let stamp = match scheme {
            Scheme::Http => Stamp::default(),
            Scheme::Https => trust::stamp(config, registry),
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = clients.get(&key).filter(|made| made.stamp == stamp) {
            return Ok(made.client.clone());
        }
        let client = build(config, registry, scheme, whom)?;
        if clients.len() >= CLIENTS_MAX {
            clients.clear();
        }
        clients.insert(key, Made { stamp, client: client.clone() });
        Ok(client)
    }
}

fn build(
    config: &RegistryConfig,
    registry: &str,
    scheme: Scheme,
    whom: Whom,
) -> Result<reqwest::Client, Cause> {
    let failed = |error: reqwest::Error| Cause::Tls(error.to_string());
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(config.timeouts.connect)
        .pool_max_idle_per_host(1)
        .pool_idle_timeout(Duration::from_secs(20))
        .user_agent(USER_AGENT);
    match scheme {
        // A registry named insecure is near: a proxy is not asked, and no authority.
        Scheme::Http => builder = builder.no_proxy().tls_certs_only([]),
        Scheme::Https => {
            let mut trust = trust::trust(config, registry)?;
            trust.identity = trust.identity.filter(|_| whom == Whom::Registry);
            let settings = trust::client_config(&trust)?;
            builder = builder.tls_backend_preconfigured(settings);
            if let Some(proxy) = &config.proxy {
                // Its message could repeat the address, and with it the credentials.
                let made = reqwest::Proxy::https(proxy.url.secret())
                    .map_err(|_| Cause::Tls(format!("the proxy {} cannot be used", proxy.url)))?;
                builder = builder.proxy(made.no_proxy(reqwest::NoProxy::from_string(&proxy.past())));
            }
        }
    }
    builder.build().map_err(failed)
}

async fn read(config: &RegistryConfig, mut response: reqwest::Response, limit: u64) -> Result<Answer, Cause> {
    let (status, headers) = (response.status(), response.headers().clone());
    let limit = if status.is_success() { limit } else { ERROR_BYTES_MAX };
    if status.is_success() && response.content_length().is_some_and(|announced| announced > limit) {
        return Err(Cause::TooLong { limit });
    }
    let mut body = Vec::new();
    let mut pace = Pace::new(&config.timeouts);
    loop {
        let piece =
            match pace.next(async { response.chunk().await.map_err(|error| error.without_url()) }).await {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) => break,
                // An error answer counts even where its body breaks off.
                Ok(Err(_)) | Err(_) if !status.is_success() => break,
                Ok(Err(error)) => return Err(Cause::Connection(error)),
                Err(cause) => return Err(cause),
            };
        let room = limit.saturating_sub(u64::try_from(body.len()).unwrap_or(u64::MAX));
        if u64::try_from(piece.len()).unwrap_or(u64::MAX) > room {
            if status.is_success() {
                return Err(Cause::TooLong { limit });
            }
            break;
        }
        body.extend_from_slice(&piece);
        pace.took(piece.len())?;
    }
    Ok(Answer { status, headers, body })
}

impl Answer {
    /// This answer as a failure; `words` from elsewhere where its own body has none.
    pub(super) fn failure(&self, words: &str) -> Cause {
        let own = said(&self.body);
        Cause::Status {
            status: self.status.as_u16(),
            retry_after: retry_after(&self.headers),
            said: if own.is_empty() { words.to_owned() } else { own },
        }
    }
}

/// Seconds only: a date would need a clock that boards do not have.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// The first message of the distribution specification's error form.
fn said(body: &[u8]) -> String {
    let errors = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    let first = errors.get("errors").and_then(|errors| errors.get(0));
    let words = |name: &str| first.and_then(|first| first.get(name)).and_then(|value| value.as_str());
    cut(words("message").or_else(|| words("code")).unwrap_or_default())
}

fn parse_url(text: &str) -> Result<Url, Cause> {
    Url::parse(text).map_err(|_| Cause::Challenge("an address that is none"))
}

fn refused(url: &Url, rule: &'static str) -> Cause {
    Cause::Redirect { to: cut(&url.origin().ascii_serialization()), rule }
}

fn same_host(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host_str() == b.host_str()
        && a.port_or_known_default() == b.port_or_known_default()
}

fn whom(registry: &Url, url: &Url) -> Whom {
    if same_host(registry, url) { Whom::Registry } else { Whom::Another }
}

fn redirect_target(from: &Url, status: StatusCode, headers: &HeaderMap) -> Result<Option<Url>, Cause> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
    let target = location.and_then(|location| from.join(location).ok());
    target.map(Some).ok_or_else(|| refused(from, "it names no target"))
}

/// Whether whoever answers at `from` may send the board to `to`: the rules of [`rule_broken`], and the same for what the
/// target's name resolves to.
pub(super) async fn check_target(endpoint: &Endpoint, from: &Url, to: &Url) -> Result<(), Cause> {
    if let Some(rule) = rule_broken(endpoint.scheme, from, to) {
        return Err(refused(to, rule));
    }
    let Some(host) = to.host_str().filter(|_| !same_host(from, to)) else { return Ok(()) };
    let host = host.trim_matches(['[', ']']).to_owned();
    let port = to.port_or_known_default().unwrap_or(443);
    // A name that does not resolve fails at the connection, with a better word.
    let Ok(addresses) = tokio::net::lookup_host((host, port)).await else { return Ok(()) };
    for address in addresses {
        if let Some(rule) = address_refused(address.ip(), is_loopback(from)) {
            return Err(refused(to, rule));
        }
    }
    Ok(())
}

/// Which rule a redirect breaks, as far as the addresses themselves show.
fn rule_broken(registry: Scheme, from: &Url, to: &Url) -> Option<&'static str> {
    match to.scheme() {
        "https" => {}
        "http" if from.scheme() == "https" => return Some("from https to http"),
        "http" if registry == Scheme::Http => {}
        "http" => return Some("plain http is for registries named insecure"),
        _ => return Some("neither http nor https"),
    }
    if !to.username().is_empty() || to.password().is_some() {
        return Some("it holds credentials");
    }
    let host = to.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host.parse().ok().and_then(|address| address_refused(address, is_loopback(from)))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Addresses behind which the board's own services and a cloud's metadata sit.
fn address_refused(address: IpAddr, from_loopback: bool) -> Option<&'static str> {
    const METADATA_V6: &str = "fd00:ec2::254";
    let address = address.to_canonical();
    let (link_local, unspecified) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.is_unspecified()),
        IpAddr::V6(v6) => (v6.is_unicast_link_local() || METADATA_V6.parse() == Ok(v6), v6.is_unspecified()),
    };
    if link_local || unspecified {
        Some("a link-local or metadata address")
    } else if address.is_loopback() && !from_loopback {
        Some("the board itself")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(registry: Scheme, from: &str, to: &str, expected: Option<&str>) {
        let rule = rule_broken(registry, &Url::parse(from).unwrap(), &Url::parse(to).unwrap());
        assert_eq!(rule, expected, "{from} -> {to}");
    }

    #[test]
    fn redirects_stay_safe_whatever_the_registry_says() {
        let https = "https://r.example/v2/";
        check(Scheme::Https, https, "https://cdn.example/x?sig=1", None);
        check(Scheme::Https, https, "https://10.0.0.7/x", None);
        check(Scheme::Https, https, "http://cdn.example/x", Some("from https to http"));
        check(Scheme::Https, https, "ftp://cdn.example/x", Some("neither http nor https"));
        check(Scheme::Https, https, "https://u:p@cdn.example/x", Some("it holds credentials"));
        for address in
            ["169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "0.0.0.0"]
        {
            check(
                Scheme::Https,
                https,
                &format!("https://{address}/x"),
                Some("a link-local or metadata address"),
            );
        }
        check(Scheme::Https, https, "https://127.0.0.1/x", Some("the board itself"));
        check(Scheme::Http, "http://127.0.0.1:5000/v2/", "http://127.0.0.1:5001/x", None);
        check(Scheme::Http, "http://r.example/v2/", "http://[::1]/x", Some("the board itself"));
        check(
            Scheme::Https,
            "http://token.example/t",
            "http://b.example/",
            Some("plain http is for registries named insecure"),
        );
    }

    #[test]
    fn an_error_answer_is_reduced_to_a_line() {
        assert_eq!(said(br#"{"errors":[{"code":"DENIED","message":"no\nway"}]}"#), "noway");
        assert_eq!(said(br#"{"errors":[{"code":"DENIED"}]}"#), "DENIED");
        assert_eq!(said(b"<html>"), "");
        assert_eq!(
            said(format!(r#"{{"errors":[{{"message":"{}"}}]}}"#, "x".repeat(9000)).as_bytes()).len(),
            160
        );
    }

    #[test]
    fn retry_after_is_read_where_it_is_seconds() {
        for (value, expected) in
            [("7", Some(7)), (" 7 ", Some(7)), ("-1", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, value.parse().unwrap());
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{value}");
        }
    }
}
