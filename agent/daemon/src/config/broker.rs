//! The broker: where it is and how it is spoken to.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

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
        let (host, port) = split(authority)?;
        let port = match port {
            None => usual,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| format!("{port:?} is not a port"))?,
        };
        Ok(Self { transport, host: host.to_owned(), port })
    }
}

fn split(authority: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("has a '[' without its ']'")?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| format!("{host:?} is not an IPv6 address"))?;
        let port = after.strip_prefix(':');
        if port.is_none() && !after.is_empty() {
            return Err("has something between ']' and the port".to_owned());
        }
        return Ok((host, port));
    }
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.is_empty() || !host.chars().all(legal) {
        return Err(format!("{host:?} is not a host name or address"));
    }
    Ok((host, port))
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Plain => "mqtt",
            Transport::Tls => "mqtts",
        };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
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
