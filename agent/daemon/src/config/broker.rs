//! The broker: where it is and how it is spoken to.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use coracle_core::address::{self, ProxyUrl};

/// Everything about the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BrokerSettings {
    pub(crate) url: BrokerUrl,
    pub(crate) protocol: Protocol,
    /// Start of every topic, e.g. `coracle/v1`.
    pub(crate) root: String,
    pub(crate) username: Option<String>,
    /// Read anew for each connection, so that a rotated password is found.
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) ca_file: Option<PathBuf>,
    /// The name that the broker's certificate must have, where it is not the host's.
    pub(crate) tls_name: Option<String>,
    /// SHA-256 of the keys that the broker may have; any where empty.
    pub(crate) pins: Vec<[u8; 32]>,
    /// Through which the broker is reached.
    pub(crate) proxy: Option<ProxyUrl>,
    /// Client certificate and its key: both or none.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    pub(crate) keepalive: Duration,
    pub(crate) first_connect_splay: Duration,
    /// Listen to commands for the board's groups, too.
    pub(crate) group_commands: bool,
}

/// MQTT's versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    V5,
    V311,
}

impl Protocol {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "5" | "5.0" => Ok(Self::V5),
            "3.1.1" => Ok(Self::V311),
            other => Err(format!("{other:?} is not a version; there are \"5\" and \"3.1.1\"")),
        }
    }
}

/// What lies under MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Plain,
    Tls,
}

/// Where a broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BrokerUrl {
    pub(crate) transport: Transport,
    /// A name or an address; IPv6 without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl BrokerUrl {
    /// `mqtt://host[:port]` or `mqtts://host[:port]`. The message never repeats the URL: it may hold a password.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) =
            text.split_once("://").ok_or("must be mqtt://host[:port] or mqtts://host[:port]")?;
        let (transport, usual) = match scheme {
            "mqtt" | "tcp" => (Transport::Plain, 1883),
            "mqtts" | "ssl" | "tls" => (Transport::Tls, 8883),
            "ws" | "wss" => {
                return Err("MQTT over WebSocket is not spoken; use mqtt:// or mqtts://".to_owned());
            }
            other => return Err(format!("scheme {other:?} is not known; use mqtt:// or mqtts://")),
        };
        if rest.contains('@') {
            return Err(
                "holds credentials; they belong in broker.username and broker.password_file".to_owned()
            );
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err("must end after host and port; the start of topics is broker.root".to_owned());
        }
        let (host, port) = address::split(authority)?;
        let port = address::port(port, usual)?;
        Ok(Self { transport, host: host.to_owned(), port })
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Plain => "mqtt",
            Transport::Tls => "mqtts",
        };
        write!(f, "{scheme}://{}", address::join(&self.host, self.port))
    }
}

/// Levels of the topic root; the longest topic under it has four more slashes, and AWS IoT allows seven.
const ROOT_LEVELS_MAX: usize = 3;

/// Checks a topic root.
pub(crate) fn root(text: &str) -> Result<(), String> {
    let levels: Vec<_> = text.split('/').collect();
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let good = |level: &&str| (1..=64).contains(&level.len()) && level.chars().all(legal);
    if levels.len() > ROOT_LEVELS_MAX || !levels.iter().all(good) {
        return Err(format!("must be 1 to {ROOT_LEVELS_MAX} levels of A-Z a-z 0-9 _ -, divided by '/'"));
    }
    Ok(())
}

/// The name that a certificate must have.
pub(crate) fn tls_name(text: &str) -> Result<String, String> {
    match address::split(text)? {
        (host, None) if !text.starts_with('[') => Ok(host.to_owned()),
        _ => Err("must be a name or an IPv4 address, without a port".to_owned()),
    }
}

/// A SHA-256 in hex, as `sha256sum` prints it.
pub(crate) fn pin(text: &str) -> Result<[u8; 32], String> {
    let wanted = || format!("{text:?} is not a SHA-256 in hex: 64 digits");
    if text.len() != 64 || !text.is_ascii() {
        return Err(wanted());
    }
    let mut pin = [0; 32];
    for (index, byte) in pin.iter_mut().enumerate() {
        let digits = text.get(2 * index..2 * index + 2).unwrap_or_default();
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wanted())?;
    }
    Ok(pin)
}

/// A proxy that can carry TLS to the broker.
pub(crate) fn proxy(text: &str) -> Result<ProxyUrl, String> {
    let proxy = ProxyUrl::parse(text)?;
    if proxy.secure() {
        return Err("must begin with http://: TLS goes through it to the broker, not to the proxy".to_owned());
    }
    Ok(proxy)
}
