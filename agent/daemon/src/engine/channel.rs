//! From the board's settings to a session with the broker: topics, presence, files.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coracle_core::deployment::Generation;
use coracle_core::reported::{self, Presence};
use coracle_host::channel::{ChannelConfig, Presence as Said, Protocol, TlsFiles};
use coracle_host::clock;

use crate::config::{self, BrokerSettings, Settings, Transport, Trust};

/// How long a broker with MQTT 5 waits before it tells that a board is gone: a short loss is no news.
const WILL_DELAY: Duration = Duration::from_secs(30);

/// How often the files of certificates, key and password are looked at while a connection stands.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What a birth tells of the newest document; kept up to date by the outbox.
pub(crate) type Have = Arc<Mutex<Option<Generation>>>;

/// The topics of one device.
#[derive(Debug, Clone)]
pub(super) struct Topics {
    base: String,
}

impl Topics {
    pub(super) fn new(root: &str, device: &str) -> Self {
        Self { base: format!("{root}/d/{device}") }
    }

    /// One of the device's own topics.
    pub(super) fn own(&self, name: &str) -> String {
        format!("{}/{name}", self.base)
    }
}

/// How the agent talks to its broker.
pub(crate) fn channel_config(settings: &Settings, broker: &BrokerSettings, have: &Have) -> ChannelConfig {
    let device = settings.device_id.as_str();
    let topics = Topics::new(&broker.root, device);
    let of_groups = |what: &'static str| {
        settings.groups.iter().map(move |group| format!("{}/g/{group}/{what}", broker.root))
    };
    // Documents by exact topics: RabbitMQ hands out no retained message for a wildcard.
    // Keys come first: what they signed comes after them.
    let trust = (settings.trust == Trust::Signed).then(|| format!("{}/trust", broker.root));
    let mut subscriptions: Vec<String> = trust.into_iter().collect();
    subscriptions.extend([topics.own("desired"), topics.own("cmd/+")]);
    subscriptions.extend(of_groups("desired"));
    if broker.group_commands {
        subscriptions.extend(of_groups("cmd/+"));
    }
    ChannelConfig {
        host: broker.url.host.clone(),
        port: broker.url.port,
        tls: (broker.url.transport == Transport::Tls).then(|| TlsFiles {
            ca: broker.ca_file.clone(),
            client: broker.identity.clone(),
            pins: broker.pins.clone(),
        }),
        tls_name: broker.tls_name.clone(),
        proxy: broker.proxy.clone(),
        protocol: match broker.protocol {
            config::Protocol::V5 => Protocol::V5,
            config::Protocol::V311 => Protocol::V311,
        },
        client_id: device.to_owned(),
        username: broker.username.clone(),
        password_file: broker.password_file.clone(),
        keepalive_s: u16::try_from(broker.keepalive.as_secs()).unwrap_or(u16::MAX),
        first_connect_splay: broker.first_connect_splay,
        subscriptions,
        presence: presence(topics.own("up"), Arc::clone(have)),
        look_every: LOOK_EVERY,
        reconnect_speedup: 1,
    }
}

fn presence(topic: String, have: Have) -> Said {
    let boot = std::fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id")).unwrap_or_default();
    let birth = move |sid: &str| {
        let have = have.lock().ok().and_then(|have| have.clone());
        let (boot, ts) = (Some(boot.trim_end()), Some(clock::wall()));
        reported::written(&Presence { up: true, sid, boot, have: have.as_ref(), why: None, ts })
    };
    let down = |why: &'static str| {
        move |sid: &str| {
            reported::written(&Presence { up: false, sid, boot: None, have: None, why: Some(why), ts: None })
        }
    };
    Said {
        topic,
        birth: Arc::new(birth),
        will: Arc::new(down("will")),
        farewell: Arc::new(down("stop")),
        will_delay: WILL_DELAY,
    }
}
