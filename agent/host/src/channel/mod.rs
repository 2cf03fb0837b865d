//! The session with the MQTT broker, over MQTT 5 or 3.1.1 behind one interface.
//!
//! Invariants: everything kept is bounded; nothing that is retained is lost to a broken connection; every
//! connection is made from scratch (files read again, new client, all subscriptions in one SUBSCRIBE).
//! What a payload means, and how long to wait for a broker, is decided elsewhere.
//!
//! ```text
//! publish() ─> outbox ─┐                            ┌─> session ─> ChannelEvent
//!                      ├─ session (one connection) ─┤
//!              inbox <─┘                            └─> link task: polls the library, never waits for us
//! ```

mod dial;
mod inbox;
mod link;
mod outbox;
mod proofs;
mod session;
mod task;
mod tls;
mod visit;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coracle_core::address::ProxyUrl;
use coracle_core::limits::DESIRED_BYTES_MAX;
use coracle_core::retry::Loss;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

pub use outbox::{Kind, Publish, PublishError, Qos};
pub use visit::{Visit, VisitError};

/// Bytes of one incoming packet. Above a document's own bound, so that a document that is a little too long is seen
/// and reported, instead of costing the connection again and again.
pub const PACKET_BYTES_MAX: usize = 4 * DESIRED_BYTES_MAX;
/// Events that wait for the engine; incoming messages wait in the inbox, where newer ones replace older ones.
const EVENTS_MAX: usize = 4;

/// Which MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// MQTT 5.
    V5,
    /// MQTT 3.1.1; NATS and older RabbitMQ speak nothing else.
    V311,
}

/// Files of a TLS connection, read for every connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM of the authorities that may vouch for the broker; the system's where absent.
    pub ca: Option<PathBuf>,
    /// PEM of this device's certificate and its key (PKCS#8, SEC1 or PKCS#1).
    pub client: Option<(PathBuf, PathBuf)>,
    /// SHA-256 of the public keys that the broker may have, beside being vouched for; any where empty.
    pub pins: Vec<[u8; 32]>,
}

/// Makes one presence document from the id of the connection.
pub type PresenceDocument = Arc<dyn Fn(&str) -> Vec<u8> + Send + Sync>;

/// What is said of this device's presence, on one retained topic. Each is made anew for every connection.
#[derive(Clone)]
pub struct Presence {
    /// The topic, `…/up`.
    pub topic: String,
    /// Said right after the subscriptions stand.
    pub birth: PresenceDocument,
    /// Left with the broker, in case the connection breaks.
    pub will: PresenceDocument,
    /// Said before a graceful end.
    pub farewell: PresenceDocument,
    /// How long an MQTT 5 broker waits with the will. The session lives as long, since a will is due at the latest
    /// when its session ends.
    pub will_delay: Duration,
}

impl Presence {
    /// Nothing is said, and no will is left: a tool that visits the broker is no device.
    #[must_use]
    pub fn none() -> Self {
        let nothing: PresenceDocument = Arc::new(|_| Vec::new());
        let (birth, will) = (Arc::clone(&nothing), Arc::clone(&nothing));
        Self { topic: String::new(), birth, will, farewell: nothing, will_delay: Duration::ZERO }
    }

    /// Whether anything is said.
    pub(crate) fn is_said(&self) -> bool {
        !self.topic.is_empty()
    }
}

/// Where the broker is and how to talk to it.
#[derive(Clone)]
pub struct ChannelConfig {
    /// Name or address; also the name the broker's certificate must have, unless `tls_name` is that.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The name that is asked for and that the broker's certificate must have.
    pub tls_name: Option<String>,
    /// The proxy that leads to the broker.
    pub proxy: Option<ProxyUrl>,
    /// Absent: plain TCP.
    pub tls: Option<TlsFiles>,
    /// Which MQTT.
    pub protocol: Protocol,
    /// The device id.
    pub client_id: String,
    /// User name, where the broker wants one.
    pub username: Option<String>,
    /// Holds the password; read for every connection, one line.
    pub password_file: Option<PathBuf>,
    /// Seconds between pings; varied by a tenth.
    pub keepalive_s: u16,
    /// Upper bound of the wait before the first connection.
    pub first_connect_splay: Duration,
    /// Topics and filters, all in one SUBSCRIBE with QoS 1; the presence topic is added.
    pub subscriptions: Vec<String>,
    /// What is said of this device.
    pub presence: Presence,
    /// How often the files are looked at for something new.
    pub look_every: Duration,
    /// Every wait between connections is divided by this; 1 but in tests.
    pub reconnect_speedup: u32,
}

/// What the channel tells its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelEvent {
    /// The subscriptions stand and the birth is on its way.
    Connected {
        /// Names this connection.
        sid: String,
    },
    /// A message came on a subscribed topic. One that is longer than [`DESIRED_BYTES_MAX`] is cut to a byte more,
    /// which is enough to refuse it.
    Message {
        /// Where.
        topic: String,
        /// What.
        payload: Bytes,
        /// The broker had kept it from before.
        retained: bool,
        /// Messages before this one that were not kept: they came faster than they were taken.
        missed: u32,
    },
    /// The files have something new: the connection ends, and another one begins with it at once.
    Renewing,
    /// The files have something new that cannot be used. What was read before is used on.
    Unusable {
        /// The file and what is wrong with it.
        why: String,
    },
    /// The broker did not take what was published on a topic. Told once for each in a connection; what is published
    /// there is lost.
    NotTaken {
        /// Where.
        topic: String,
        /// In the broker's words.
        why: String,
    },
    /// There is no connection.
    Disconnected {
        /// Why.
        loss: Loss,
        /// Why, in words: attempt, object and cause.
        cause: String,
        /// When it is tried again.
        retry_in: Duration,
    },
}

/// The connection to the broker; dropping the handle breaks it off without a farewell.
pub struct ChannelHandle {
    outbox: outbox::Shared,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

/// Starts what keeps a connection to the broker.
pub struct Channel;

impl Channel {
    /// Starts the task that keeps a connection; it ends with the handle.
    #[must_use]
    pub fn start(config: ChannelConfig) -> (ChannelHandle, mpsc::Receiver<ChannelEvent>) {
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let (stop, stopped) = watch::channel(false);
        let outbox = outbox::Shared::default();
        let task = tokio::spawn(task::run(Arc::new(config), outbox.clone(), events, stopped));
        (ChannelHandle { outbox, stop, task: Some(task) }, receiver)
    }
}

impl ChannelHandle {
    /// Gives a message to the outbox. It never waits: a retained message replaces an older one on its topic, the
    /// oldest of too many events is dropped, and a QoS 0 message is dropped where there is no connection.
    ///
    /// # Errors
    /// [`PublishError`] when the message is longer than a broker can be expected to take, or one topic too many.
    pub fn publish(&self, publish: Publish) -> Result<(), PublishError> {
        self.outbox.put(publish)
    }

    /// Has the presence said anew, and every subscription made anew, so that the broker hands out its retained messages
    /// again; the files are looked at, too. Nothing happens without a connection: the next one begins with both.
    pub fn refresh(&self) {
        self.outbox.refresh();
    }

    /// A way to have that done which outlives this borrow; it does nothing once the channel has ended.
    pub fn refresher(&self) -> impl Fn() + Send + 'static {
        let outbox = self.outbox.clone();
        move || outbox.refresh()
    }

    /// Says the farewell, takes leave of the broker and ends; a few seconds at most.
    pub async fn stop(mut self) {
        // Without a receiver the task is gone already.
        let _ = self.stop.send(true);
        if let Some(task) = self.task.take() {
            // It ends by itself within its own deadlines; a panic inside it is of no use to anyone here.
            let _ = task.await;
        }
    }
}

impl Drop for ChannelHandle {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// A wake-up that two tasks share.
type Bell = Arc<Notify>;
