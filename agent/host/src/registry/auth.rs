//! Who we are to a registry: anonymous, a password, or a token got for one repository.
//!
//! Invariant: a secret goes to the registry or its token server over TLS, or in plain to a registry named insecure, and
//! to no token server of another domain, unless it is kept under that one's own name;
//! a refused credential is an error, never an anonymous second try.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use reqwest::{Method, Url};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::challenge::{self, Challenge};
use super::config::RegistryConfig;
use super::credentials::Credential;
use super::endpoint::{Endpoint, Scheme};
use super::error::{Cause, Retry, cut};
use super::small::{Answer, Request, Web, check_target};

/// Bytes of a token server's answer; clouds give tokens of several KiB.
const TOKEN_ANSWER_BYTES_MAX: u64 = 64 << 10;
/// Bytes of the ping's answer; it has none that count.
const PING_BYTES_MAX: u64 = 16 << 10;
/// How long a token lasts where its server does not say (token specification).
const TOKEN_LIFE_DEFAULT: Duration = Duration::from_secs(60);
/// A token is not used in its last moments.
const TOKEN_LIFE_MARGIN: Duration = Duration::from_secs(5);
/// The longest a token is kept, whatever its server says.
const TOKEN_LIFE_MAX: Duration = Duration::from_secs(3600);
/// Authorizations kept.
const KEPT_MAX: usize = 32;

/// What goes into a request.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Authorization {
    Anonymous,
    Basic { user: String, secret: String },
    Bearer { token: String },
}

impl Authorization {
    /// The value of the header; `None` for anonymous.
    pub(super) fn header(&self) -> Option<String> {
        match self {
            Self::Anonymous => None,
            Self::Basic { user, secret } => Some(basic(user, secret)),
            Self::Bearer { token } => Some(format!("Bearer {token}")),
        }
    }
}

fn basic(user: &str, secret: &str) -> String {
    let pair = format!("{user}:{secret}");
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

struct Kept {
    authorization: Authorization,
    until: Option<Instant>,
}

/// The authorizations in use, by host and repository.
pub(super) struct Auth {
    // Held while a token is fetched: transfers that start together need one token, not one each.
    kept: Mutex<HashMap<(String, String), Kept>>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Auth {
    pub(super) fn new() -> Self {
        Self { kept: Mutex::default() }
    }

    /// What to send to `endpoint`; asks it what it wants where that is not known.
    pub(super) async fn authorization(
        &self,
        web: &Web,
        config: &RegistryConfig,
        endpoint: &Endpoint,
    ) -> Result<Authorization, Cause> {
        let mut kept = self.kept.lock().await;
        if let Some(known) = kept.get(&key(endpoint))
            && known.until.is_none_or(|until| Instant::now() < until)
        {
            return Ok(known.authorization.clone());
        }
        let ping = ping(web, config, endpoint).await?;
        let new = answer_challenge(web, config, endpoint, &ping).await?;
        Ok(keep(&mut kept, endpoint, new))
    }

    /// A new authorization after `refused` was answered 401, by the challenge of that answer or else of a ping.
    pub(super) async fn renew(
        &self,
        web: &Web,
        config: &RegistryConfig,
        endpoint: &Endpoint,
        refused: &Authorization,
        answer: Option<&Answer>,
    ) -> Result<Authorization, Cause> {
        let mut kept = self.kept.lock().await;
        // Another transfer may have been here meanwhile.
        if let Some(known) = kept.get(&key(endpoint)).filter(|known| known.authorization != *refused) {
            return Ok(known.authorization.clone());
        }
        kept.remove(&key(endpoint));
        if matches!(refused, Authorization::Basic { .. }) {
            return Err(Cause::Denied("it refused the user name and password"));
        }
        let new = match answer {
            Some(answer) => answer_challenge(web, config, endpoint, answer).await?,
            None => {
                let ping = ping(web, config, endpoint).await?;
                answer_challenge(web, config, endpoint, &ping).await?
            }
        };
        if new.authorization == Authorization::Anonymous {
            return Err(Cause::Denied("it does not say which"));
        }
        Ok(keep(&mut kept, endpoint, new))
    }

    /// Forgets what was refused twice.
    pub(super) async fn forget(&self, endpoint: &Endpoint) {
        self.kept.lock().await.remove(&key(endpoint));
    }
}

fn key(endpoint: &Endpoint) -> (String, String) {
    (endpoint.host.clone(), endpoint.repository.clone())
}

fn keep(kept: &mut HashMap<(String, String), Kept>, endpoint: &Endpoint, new: Kept) -> Authorization {
    if kept.len() >= KEPT_MAX {
        kept.clear();
    }
    let authorization = new.authorization.clone();
    kept.insert(key(endpoint), new);
    authorization
}

async fn ping(web: &Web, config: &RegistryConfig, endpoint: &Endpoint) -> Result<Answer, Cause> {
    let url = format!("{}/v2/", endpoint.base());
    let request =
        Request { method: Method::GET, url, accept: None, authorization: None, form: None, range: None };
    let answer = web.send(config, endpoint, request, PING_BYTES_MAX).await?;
    // Other failures of the ping say nothing of the repository; patience is asked for all requests.
    match answer.status.as_u16() {
        429 | 500..=599 => Err(answer.failure("")),
        _ => Ok(answer),
    }
}

/// What to send after `answer`: nothing where it was no 401.
async fn answer_challenge(
    web: &Web,
    config: &RegistryConfig,
    endpoint: &Endpoint,
    answer: &Answer,
) -> Result<Kept, Cause> {
    if answer.status.as_u16() != 401 {
        return Ok(Kept { authorization: Authorization::Anonymous, until: None });
    }
    let headers = answer.headers.get_all(reqwest::header::WWW_AUTHENTICATE);
    let challenge = challenge::best(headers.iter().filter_map(|value| value.to_str().ok()))
        .ok_or(Cause::Challenge("401 without a Basic or Bearer challenge"))?;
    let credential = config.credentials.find(&endpoint.registry, &endpoint.name()).await?;
    match (challenge, credential) {
        (Challenge::Basic, Some(Credential::Password { user, secret })) => {
            Ok(Kept { authorization: Authorization::Basic { user, secret }, until: None })
        }
        (Challenge::Basic, Some(Credential::Identity(_))) => {
            Err(Cause::Denied("it wants a user name and password, an identity token is configured"))
        }
        (Challenge::Basic, None) => Err(Cause::Denied("none are configured for it")),
        (Challenge::Bearer { realm, service }, credential) => {
            fetch_token(web, config, endpoint, &realm, service.as_deref(), credential).await
        }
    }
}

async fn fetch_token(
    web: &Web,
    config: &RegistryConfig,
    endpoint: &Endpoint,
    realm: &str,
    service: Option<&str>,
    credential: Option<Credential>,
) -> Result<Kept, Cause> {
    let mut url = check_realm(endpoint, realm)?;
    check_target(
        endpoint,
        &Url::parse(&endpoint.base()).map_err(|_| Cause::Challenge("it has no address"))?,
        &url,
    )
    .await?;
    let host = cut(url.host_str().unwrap_or_default());
    let credential = match credential {
        Some(_) if !akin(host_of(&endpoint.host), &host) => {
            // Whoever keeps credentials under the token server's own name means them for it.
            let own = config.credentials.find(&host, &host).await?;
            let refused = || Cause::Token {
                realm: host.clone(),
                why: format!(
                    "it is no relative of {:?} and gets none of its credentials; put them under {host:?} into \
                     auth.json where that is right",
                    endpoint.registry
                ),
                retry: Retry::Never,
            };
            Some(own.ok_or_else(refused)?)
        }
        other => other,
    };
    let scope = format!("repository:{}:pull", endpoint.repository);
    let mut parameters = vec![("scope", scope.as_str())];
    parameters.extend(service.map(|service| ("service", service)));
    let mut authorization = None;
    let mut form = None;
    let configured = credential.is_some();
    match credential {
        Some(Credential::Identity(token)) => {
            parameters.extend([("grant_type", "refresh_token"), ("client_id", "coracle")]);
            parameters.push(("refresh_token", &token));
            form = Some(encode(&url, &parameters));
        }
        Some(Credential::Password { user, secret }) => {
            url.query_pairs_mut().extend_pairs(&parameters).append_pair("account", &user);
            authorization = Some(basic(&user, &secret));
        }
        None => {
            url.query_pairs_mut().extend_pairs(&parameters);
        }
    }
    let method = if form.is_some() { Method::POST } else { Method::GET };
    let request = Request {
        method,
        url: url.to_string(),
        accept: None,
        authorization: authorization.as_deref(),
        form,
        range: None,
    };
    let failed = |why: String, retry| Cause::Token { realm: host.clone(), why, retry };
    let answer = web.send(config, endpoint, request, TOKEN_ANSWER_BYTES_MAX).await.map_err(|cause| {
        let retry = cause.retry();
        failed(cause.to_string(), retry)
    })?;
    match answer.status.as_u16() {
        200 => read_token(&answer.body).map_err(|why| failed(why.to_owned(), Retry::Never)),
        401 | 403 if configured => Err(failed("it refused the credentials".to_owned(), Retry::Never)),
        401 | 403 => Err(failed("it wants credentials and none are configured".to_owned(), Retry::Never)),
        status => Err(failed(format!("it answered {status}"), answer.failure("").retry())),
    }
}

/// Whether a token server may have the credentials of a registry: the same host, one of the same domain, or one below it.
/// Registries that are served from a domain of their own have their token servers in it (`registry-1.docker.io` and
/// `auth.docker.io`, `registry.gitlab.com` and `gitlab.com`).
fn akin(registry: &str, realm: &str) -> bool {
    let (registry, realm) = (registry.to_ascii_lowercase(), realm.to_ascii_lowercase());
    let is_address = |host: &str| host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    if registry == realm || is_address(&registry) || is_address(&realm) {
        return registry == realm;
    }
    let parent = registry.split_once('.').map(|(_, parent)| parent).filter(|parent| parent.contains('.'));
    let domain = parent.unwrap_or(&registry);
    realm == domain || realm.strip_suffix(domain).is_some_and(|before| before.ends_with('.'))
}

/// A realm gets credentials: it must be worth them.
fn check_realm(endpoint: &Endpoint, realm: &str) -> Result<Url, Cause> {
    let url = Url::parse(realm).map_err(|_| Cause::Challenge("its realm is no address"))?;
    let plain_allowed = endpoint.scheme == Scheme::Http;
    match url.scheme() {
        "https" => {}
        "http" if plain_allowed => {}
        "http" => return Err(Cause::Challenge("its realm is not https")),
        _ => return Err(Cause::Challenge("its realm is neither http nor https")),
    }
    if !url.username().is_empty() || url.password().is_some() || url.host_str().is_none() {
        return Err(Cause::Challenge("its realm is no plain address"));
    }
    Ok(url)
}

/// Without the port.
fn host_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn encode(url: &Url, parameters: &[(&str, &str)]) -> String {
    let mut scratch = url.clone();
    scratch.query_pairs_mut().clear().extend_pairs(parameters);
    scratch.query().unwrap_or_default().to_owned()
}

fn read_token(body: &[u8]) -> Result<Kept, &'static str> {
    let answer: TokenAnswer = serde_json::from_slice(body).map_err(|_| "its answer is not a token")?;
    let token = answer.token.filter(|token| !token.is_empty()).or(answer.access_token);
    let token = token.filter(|token| !token.is_empty()).ok_or("its answer holds no token")?;
    // The transport panics on a token that cannot be a header.
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("its token has characters that no header may have");
    }
    let life = answer.expires_in.map_or(TOKEN_LIFE_DEFAULT, Duration::from_secs).min(TOKEN_LIFE_MAX);
    let until = Instant::now() + life.saturating_sub(TOKEN_LIFE_MARGIN);
    Ok(Kept { authorization: Authorization::Bearer { token }, until: Some(until) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_realm_is_https_unless_the_registry_is_named_insecure() {
        let endpoint = |scheme| Endpoint {
            registry: "r.example".to_owned(),
            host: "r.example".to_owned(),
            repository: "a".to_owned(),
            scheme,
        };
        for (scheme, realm, good) in [
            (Scheme::Https, "https://auth.example/token", true),
            (Scheme::Https, "http://auth.example/token", false),
            (Scheme::Http, "http://auth.example/token", true),
            (Scheme::Http, "file:///etc/passwd", false),
            (Scheme::Https, "https://user:word@auth.example/", false),
            (Scheme::Https, "/token", false),
        ] {
            assert_eq!(check_realm(&endpoint(scheme), realm).is_ok(), good, "{realm}");
        }
    }

    #[test]
    fn credentials_stay_in_the_family() {
        for (registry, realm, kin) in [
            ("registry-1.docker.io", "auth.docker.io", true),
            ("registry.gitlab.com", "gitlab.com", true),
            ("ghcr.io", "GHCR.io", true),
            ("quay.io", "sso.quay.io", true),
            ("hub.example.co.uk", "auth.example.co.uk", true),
            ("a.example.com", "b.example.org", false),
            ("example.com", "evilexample.com", false),
            ("ghcr.io", "evil.io", false),
            ("registry", "registry", true),
            ("registry", "evil", false),
            ("registry", "a.registry", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("10.0.0.1", "9.0.0.1", false),
            ("[::1]", "[::1]", true),
        ] {
            assert_eq!(akin(registry, realm), kin, "{registry} {realm}");
        }
    }

    #[test]
    fn tokens_are_read_in_both_spellings_and_nothing_else_is_a_token() {
        for (body, expected) in [
            (r#"{"token":"a.b"}"#, Ok("a.b")),
            (r#"{"access_token":"x","expires_in":300}"#, Ok("x")),
            (r#"{"token":"","access_token":"x"}"#, Ok("x")),
            (r#"{"token":"a\nb"}"#, Err("its token has characters that no header may have")),
            (r#"{"token":null}"#, Err("its answer holds no token")),
            ("<html>", Err("its answer is not a token")),
        ] {
            let token = read_token(body.as_bytes()).map(|kept| kept.authorization.header());
            assert_eq!(token, expected.map(|token| Some(format!("Bearer {token}"))), "{body}");
        }
    }
}
