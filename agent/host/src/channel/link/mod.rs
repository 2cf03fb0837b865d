//! One connection through the library: what is common to both protocols.
//!
//! The library is polled in a task of its own that waits for nobody; it is told what to send through its client.

#[cfg(feature = "mqtt-v4")]
mod v311;
mod v5;

use std::sync::Arc;
use std::time::Duration;

use coracle_core::limits::MESSAGE_CHARS_MAX;
use coracle_core::retry::Loss;
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::dial::Way;
use super::inbox::Inbox;
use super::{ChannelConfig, Protocol, Publish};

/// Characters of the words on a lost connection.
const CAUSE_CHARS_MAX: usize = 300;
/// How long a connection may take, TLS included: seconds of arithmetic on the smallest boards.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Unacknowledged messages that the library makes room for; the session sends one at a time.
const INFLIGHT: u16 = 8;
/// Requests that wait in the library's queue.
const REQUESTS: usize = 8;

/// What the broker said, as far as the session cares.
#[derive(Debug)]
pub(super) enum Said {
    /// CONNACK with success.
    Connected,
    /// SUBACK; how many filters were refused.
    Subscribed { refused: usize },
    /// PUBACK.
    Acknowledged,
    /// PUBACK that the broker did not take the message, and why; MQTT 3.1.1 has none.
    NotTaken(String),
    /// PINGRESP, or a message that now lies in the inbox.
    Alive,
    /// The end; nothing follows.
    Lost(Lost),
}

impl Said {
    /// Nothing to act upon, unless it is the end.
    pub(super) fn or_lost(self) -> Result<(), Lost> {
        match self {
            Self::Lost(lost) => Err(lost),
            Self::Connected
            | Self::Subscribed { .. }
            | Self::Acknowledged
            | Self::NotTaken(_)
            | Self::Alive => Ok(()),
        }
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) loss: Loss,
    pub(super) cause: String,
}

impl Lost {
    /// Libraries put what the broker sent into their words: only so much of it, on one line, reaches a log.
    pub(super) fn new(loss: Loss, cause: impl AsRef<str>) -> Self {
        let shown = cause.as_ref().chars().take(MESSAGE_CHARS_MAX);
        Self { loss, cause: shown.map(|c| if c.is_control() { ' ' } else { c }).collect() }
    }
}

/// The parts of a connection that are made anew for each.
pub(super) struct Terms {
    pub(super) keepalive_s: u16,
    pub(super) will: Vec<u8>,
    pub(super) password: Option<Vec<u8>>,
    pub(super) tls: Option<Arc<ClientConfig>>,
}

/// What the library is told to be the broker's host: the name that its certificate must have, and that is asked for.
/// Where the port is found is the way's.
fn host(config: &ChannelConfig) -> String {
    config.tls_name.clone().unwrap_or_else(|| config.host.clone())
}

fn way(config: &ChannelConfig) -> Way {
    Way { host: config.host.clone(), port: config.port, proxy: config.proxy.clone() }
}

/// An error with its causes, each once, fit for a line: a library may repeat all that the broker sent.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let next = cause.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = cause.source();
    }
    text.chars().filter(|c| !c.is_control()).take(CAUSE_CHARS_MAX).collect()
}

/// The library's client of either protocol.
enum Client {
    V5(rumqttc_v5::AsyncClient),
    #[cfg(feature = "mqtt-v4")]
    V311(rumqttc_v4::AsyncClient),
}

/// One connection; dropping it cuts it.
pub(super) struct Link {
    client: Client,
    task: JoinHandle<()>,
    said: mpsc::UnboundedReceiver<Said>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Link {
    /// Begins to connect; the first thing said is [`Said::Connected`] or [`Said::Lost`].
    pub(super) fn open(config: &ChannelConfig, terms: Terms, inbox: Inbox) -> Result<Self, Lost> {
        // Unbounded, but one sender's worth: the broker can only answer what was asked, and messages go to the inbox.
        let (sender, said) = mpsc::unbounded_channel();
        let client = config.tls.as_ref().and_then(|files| files.client.as_ref());
        let own = client.map(|(certificate, _)| certificate.clone());
        match config.protocol {
            Protocol::V5 => {
                let (client, events) = v5::open(config, terms)?;
                let task = tokio::spawn(v5::drive(events, inbox, sender, own));
                Ok(Self { client: Client::V5(client), task, said })
            }
            #[cfg(feature = "mqtt-v4")]
            Protocol::V311 => {
                let (client, events) = v311::open(config, terms)?;
                let task = tokio::spawn(v311::drive(events, inbox, sender, own));
                Ok(Self { client: Client::V311(client), task, said })
            }
            #[cfg(not(feature = "mqtt-v4"))]
            Protocol::V311 => Err(Lost::new(Loss::Protocol, "this build does not speak MQTT 3.1.1")),
        }
    }

    /// What the broker says next; may be dropped and asked again.
    pub(super) async fn said(&mut self) -> Said {
        let gone = || Said::Lost(Lost::new(Loss::Network, "the connection's task ended"));
        self.said.recv().await.unwrap_or_else(gone)
    }

    /// Sends one SUBSCRIBE with all filters.
    pub(super) fn subscribe(&self, filters: &[String]) -> Result<(), Lost> {
        match &self.client {
            Client::V5(client) => v5::subscribe(client, filters),
            #[cfg(feature = "mqtt-v4")]
            Client::V311(client) => v311::subscribe(client, filters),
        }
    }

    /// Sends one message.
    pub(super) fn publish(&self, publish: &Publish) -> Result<(), Lost> {
        match &self.client {
            Client::V5(client) => v5::publish(client, publish),
            #[cfg(feature = "mqtt-v4")]
            Client::V311(client) => v311::publish(client, publish),
        }
    }

    /// Sends DISCONNECT, which takes the will back; [`Said::Lost`] follows when it is on its way.
    pub(super) fn disconnect(&self) {
        // A connection that is gone already needs no leave.
        match &self.client {
            Client::V5(client) => drop(client.try_disconnect_now()),
            #[cfg(feature = "mqtt-v4")]
            Client::V311(client) => drop(client.try_disconnect_now()),
        }
    }
}

fn refused(error: impl std::error::Error) -> Lost {
    Lost::new(Loss::Network, format!("the connection takes nothing more: {error}"))
}
