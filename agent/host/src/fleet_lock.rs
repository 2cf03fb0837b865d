//! A client of the FleetLock protocol (coreos/airlock, "FleetLock protocol", v1): a server hands out turns, so that only
//! so many boards of a group are down at once.
//!
//! Both requests may be repeated: asking for a turn that one has, and giving back one that one has not, succeed.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::tls;

/// What one request may take; the server decides by looking at a table.
const REQUEST_MAX: Duration = Duration::from_secs(20);
/// Bytes of an answer that are looked at.
const ANSWER_BYTES_MAX: usize = 4 << 10;
/// Characters of the server's words that are passed on.
const WORDS_MAX: usize = 120;

/// Where turns come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetLockConfig {
    /// `http://` or `https://`, without the path of the protocol.
    pub url: String,
    /// PEM file of the authorities that vouch for the server; the board's own where absent.
    pub ca_file: Option<PathBuf>,
    /// This board, unique in its group.
    pub id: String,
    /// Who shares the turns.
    pub group: String,
}

/// A server's word on a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It is this board's turn, until it is given back.
    Granted,
    /// It is not; why, in the server's words.
    Denied(String),
}

/// Why a request could not be made.
#[derive(Debug, thiserror::Error)]
#[error("failed to {attempt} at {url}")]
pub struct FleetLockError {
    attempt: &'static str,
    url: String,
    source: Cause,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    #[error("the request failed")]
    Web(#[source] reqwest::Error),
    #[error("no answer within {} s", REQUEST_MAX.as_secs())]
    Late,
}

#[derive(Serialize)]
struct Body<'a> {
    client_params: Params<'a>,
}

#[derive(Serialize)]
struct Params<'a> {
    id: &'a str,
    group: &'a str,
}

/// The client. It keeps no connection: turns are asked for rarely.
#[derive(Debug, Clone)]
pub struct FleetLock {
    config: FleetLockConfig,
}

impl FleetLock {
    /// A client that has asked for nothing yet.
    #[must_use]
    pub fn new(config: FleetLockConfig) -> Self {
        Self { config }
    }

    /// Asks for a turn (`pre-reboot`).
    ///
    /// # Errors
    /// [`FleetLockError`]: the server did not answer.
    pub async fn take(&self) -> Result<Turn, FleetLockError> {
        self.post("ask for a turn", "v1/pre-reboot").await
    }

    /// Gives the turn back (`steady-state`).
    ///
    /// # Errors
    /// [`FleetLockError`]: the server did not answer.
    pub async fn give_back(&self) -> Result<Turn, FleetLockError> {
        self.post("give the turn back", "v1/steady-state").await
    }

    async fn post(&self, attempt: &'static str, path: &str) -> Result<Turn, FleetLockError> {
        let url = format!("{}/{path}", self.config.url.trim_end_matches('/'));
        let sent = tokio::time::timeout(REQUEST_MAX, self.send(&url)).await;
        sent.unwrap_or(Err(Cause::Late)).map_err(|source| FleetLockError { attempt, url, source })
    }

    async fn send(&self, url: &str) -> Result<Turn, Cause> {
        let client = self.client()?;
        let Params { id, group } = Params { id: &self.config.id, group: &self.config.group };
        let body = serde_json::to_vec(&Body { client_params: Params { id, group } }).unwrap_or_default();
        let request = client.post(url).header("fleet-lock-protocol", "true").body(body);
        let request = request.header("content-type", "application/json");
        let mut response = request.send().await.map_err(|error| Cause::Web(error.without_url()))?;
        let status = response.status();
        if status.is_success() {
            return Ok(Turn::Granted);
        }
        let mut answer = Vec::new();
        while let Ok(Some(piece)) = response.chunk().await {
            let room = ANSWER_BYTES_MAX.saturating_sub(answer.len());
            answer.extend(piece.iter().take(room));
            if answer.len() >= ANSWER_BYTES_MAX {
                break;
            }
        }
        Ok(Turn::Denied(said(&answer).unwrap_or_else(|| format!("status {}", status.as_u16()))))
    }

    fn client(&self) -> Result<reqwest::Client, Cause> {
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .user_agent(concat!("coracle/", env!("CARGO_PKG_VERSION")));
        builder = if self.config.url.starts_with("https:") {
            let roots = tls::roots(self.config.ca_file.as_deref())?;
            builder.tls_backend_preconfigured(tls::client(roots, &[], None)?)
        } else {
            builder.no_proxy().tls_certs_only([])
        };
        builder.build().map_err(Cause::Web)
    }
}

/// The `value` of the protocol's error form, else its `kind`, as one short printable line.
fn said(answer: &[u8]) -> Option<String> {
    let form = serde_json::from_slice::<serde_json::Value>(answer).ok()?;
    let words = |name: &str| form.get(name)?.as_str().filter(|words| !words.is_empty()).map(str::to_owned);
    let words = words("value").or_else(|| words("kind"))?;
    Some(words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_servers_words() {
        assert_eq!(
            said(br#"{"kind":"failed_lock","value":"all\nslots taken"}"#).as_deref(),
            Some("all slots taken")
        );
        assert_eq!(said(br#"{"kind":"failed_lock"}"#).as_deref(), Some("failed_lock"));
        assert_eq!(said(b"<html>"), None);
    }
}
