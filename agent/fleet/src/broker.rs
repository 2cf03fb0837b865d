//! The broker, as an operator visits it: what is retained there, one document more, and what a board says of it.

use std::time::Duration;

use bytes::Bytes;
use coracle_core::retry::Loss;
use coracle_host::channel::{ChannelConfig, Presence, Protocol, TlsFiles, Visit, VisitError};
use coracle_host::console::exit::{Exit, Failure};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::args::BrokerArgs;
use crate::secret;

/// Bytes of a password file; the longest tokens in use have a few KiB.
const PASSWORD_BYTES_MAX: u64 = 16 << 10;
/// Seconds between pings, while a board is waited for.
const KEEPALIVE_S: u16 = 30;

/// A standing connection.
pub(crate) struct Broker {
    visit: Visit,
    url: String,
}

impl Broker {
    /// Connects, with these topics subscribed.
    pub(crate) async fn open(args: &BrokerArgs, topics: Vec<String>) -> Result<Self, Failure> {
        let url = args.broker.clone().unwrap_or_default();
        let config = config(args, &url, topics)?;
        let visit = Visit::begin(&config).await.map_err(|error| failed(&url, &error))?;
        Ok(Self { visit, url })
    }

    /// What is retained on `topic`, one of those subscribed; `None` where nothing is.
    pub(crate) async fn retained(&mut self, topic: &str) -> Result<Option<Bytes>, Failure> {
        let found = self.visit.retained(topic).await;
        found.map_err(|error| failed(&self.url, &error))
    }

    /// Has the broker keep `bytes` on `topic`; done when it says that it has them.
    pub(crate) async fn publish(&mut self, topic: &str, bytes: Vec<u8>) -> Result<(), Failure> {
        let published = self.visit.publish(topic, bytes).await;
        published.map_err(|error| failed(&self.url, &error))
    }

    /// What comes next on the topics; `None` when nothing came for so long.
    pub(crate) async fn next(&mut self, patience: Duration) -> Result<Option<(String, Bytes)>, Failure> {
        let next = self.visit.next(patience).await;
        next.map_err(|error| failed(&self.url, &error))
    }

    /// Takes leave.
    pub(crate) async fn close(self) {
        self.visit.end().await;
    }
}

/// Whether `args` could be followed: told before registries are asked, which takes its time.
pub(crate) fn look(args: &BrokerArgs) -> Result<(), Failure> {
    config(args, args.broker.as_deref().unwrap_or_default(), Vec::new()).map(drop)
}

fn failed(url: &str, error: &VisitError) -> Failure {
    let exit = match error.loss {
        Loss::Credentials => Exit::Configuration,
        Loss::Network | Loss::Busy | Loss::TakenOver => Exit::TryAgain,
        Loss::Protocol => Exit::Unexpected,
    };
    Failure { exit, message: format!("failed to speak with the broker at {url}: {}", error.cause) }
}

fn config(args: &BrokerArgs, url: &str, topics: Vec<String>) -> Result<ChannelConfig, Failure> {
    // An address may have a password in it, by mistake; then it is not shown.
    let named = if url.contains('@') { String::new() } else { format!(" {:?}", crate::shown(url)) };
    let wrong = |why: &str| Failure::usage(format!("the broker's address{named} {why}"));
    let (tls, host, port) =
        address(url).ok_or_else(|| wrong("must be mqtt://host[:port] or mqtts://host[:port]"))?;
    let client = match (&args.cert_file, &args.key_file) {
        (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(Failure::usage("--cert-file and --key-file belong together"));
        }
    };
    // Looked at here, where a word can be said on their modes; the channel reads them itself.
    for path in [args.password_file.as_ref(), client.as_ref().map(|(_, key)| key)].into_iter().flatten() {
        secret::read(path, PASSWORD_BYTES_MAX)?;
    }
    if !tls && (client.is_some() || args.ca_file.is_some()) {
        return Err(wrong("has certificates and no TLS: begin it with mqtts://"));
    }
    let mut chance = [0; 8];
    let drawn = SystemRandom::new().fill(&mut chance);
    drawn.map_err(|_| Failure::unexpected("the system has no random numbers"))?;
    Ok(ChannelConfig {
        host,
        port,
        tls_name: None,
        proxy: None,
        tls: tls.then(|| TlsFiles { ca: args.ca_file.clone(), client, ..TlsFiles::default() }),
        protocol: match args.mqtt.as_deref() {
            None | Some("5") => Protocol::V5,
            Some("3.1.1") => Protocol::V311,
            Some(_) => return Err(Failure::usage("--mqtt is 5 or 3.1.1")),
        },
        // Another one for each visit: two operators must not push each other out.
        client_id: format!("coraclectl-{:016x}", u64::from_be_bytes(chance)),
        username: args.username.clone(),
        password_file: args.password_file.clone(),
        keepalive_s: KEEPALIVE_S,
        first_connect_splay: Duration::ZERO,
        subscriptions: topics,
        presence: Presence::none(),
        // A visit is over before anything is renewed.
        look_every: Duration::from_secs(3600),
        reconnect_speedup: 1,
    })
}

/// Whether there is TLS, the host and the port.
fn address(url: &str) -> Option<(bool, String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let (tls, usual) = match scheme {
        "mqtt" | "tcp" => (false, 1883),
        "mqtts" | "ssl" | "tls" => (true, 8883),
        _ => return None,
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(legal) {
        return None;
    }
    let port = port.map_or(Some(usual), |port| port.parse().ok().filter(|port| *port != 0))?;
    Some((tls, host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_scheme_a_host_and_perhaps_a_port() {
        let some = |tls, host: &str, port| Some((tls, host.to_owned(), port));
        for (url, expected) in [
            ("mqtt://broker.example", some(false, "broker.example", 1883)),
            ("mqtts://broker.example/", some(true, "broker.example", 8883)),
            ("mqtt://127.0.0.1:1884", some(false, "127.0.0.1", 1884)),
            ("mqtts://[::1]:99", some(true, "::1", 99)),
            ("mqtts://[::1]", some(true, "::1", 8883)),
            ("broker.example", None),
            ("ws://broker.example", None),
            ("mqtt://user:secret@broker.example", None),
            ("mqtt://broker.example/path", None),
            ("mqtt://", None),
            ("mqtt://a:0", None),
            ("mqtt://[::1", None),
        ] {
            assert_eq!(address(url), expected, "{url}");
        }
    }
}
