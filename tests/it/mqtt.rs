//! The session with the broker, in both protocols, against a real mosquitto.

mod broken;
mod tls;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use coracle_core::limits::DESIRED_BYTES_MAX;
use coracle_core::retry::Loss;
use coracle_host::channel::{
    Channel, ChannelConfig, ChannelEvent, ChannelHandle, Kind, PACKET_BYTES_MAX, Presence, PresenceDocument,
    Protocol, Publish, Qos,
};
use coracle_test_support::broker::{Broker, BrokerOptions, Seen};
use coracle_test_support::scratch::TempDir;
use coracle_test_support::secrets::{self, Kind as Looked};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::attacks::table::{self, Family};

const PATIENCE: Duration = Duration::from_secs(20);
const BOTH: [Protocol; 2] = [Protocol::V5, Protocol::V311];

/// A device's side of the channel, on a runtime of its own thread, so that it goes on while the test waits.
struct Device {
    runtime: Handle,
    end: Option<oneshot::Sender<()>>,
    thread: JoinHandle<()>,
    handle: Option<ChannelHandle>,
    events: mpsc::Receiver<ChannelEvent>,
}

impl Device {
    fn start(config: ChannelConfig) -> Self {
        let built = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let runtime = built.handle().clone();
        let (end, ended) = oneshot::channel();
        let thread = thread::spawn(move || drop(built.block_on(ended)));
        let (handle, events) = runtime.block_on(async { Channel::start(config) });
        Self { runtime, end: Some(end), thread, handle: Some(handle), events }
    }

    #[track_caller]
    fn event(&mut self, what: &str) -> ChannelEvent {
        let next = self.runtime.block_on(async { timeout(PATIENCE, self.events.recv()).await });
        let event = next.unwrap_or_else(|_| panic!("no event came: {what}")).expect("the channel lives");
        secrets::look(Looked::Error, "the channel", format!("{event:?}").as_bytes());
        event
    }

    #[track_caller]
    fn connected(&mut self) -> String {
        let mut causes = Vec::new();
        while causes.len() < 30 {
            match self.event("connected") {
                ChannelEvent::Connected { sid } => return sid,
                ChannelEvent::Message { .. } | ChannelEvent::Renewing | ChannelEvent::NotTaken { .. } => {}
                ChannelEvent::Unusable { why } => causes.push(why),
                ChannelEvent::Disconnected { cause, .. } => causes.push(cause),
            }
        }
        panic!("never connected: {causes:#?}");
    }

    #[track_caller]
    fn lost(&mut self) -> (Loss, String, Duration) {
        loop {
            match self.event("disconnected") {
                ChannelEvent::Disconnected { loss, cause, retry_in } => return (loss, cause, retry_in),
                ChannelEvent::Unusable { why } => panic!("unusable: {why}"),
                ChannelEvent::Message { .. }
                | ChannelEvent::Connected { .. }
                | ChannelEvent::Renewing
                | ChannelEvent::NotTaken { .. } => {}
            }
        }
    }

    #[track_caller]
    fn message(&mut self) -> (String, Bytes, bool) {
        loop {
            match self.event("message") {
                ChannelEvent::Message { topic, payload, retained, .. } => return (topic, payload, retained),
                ChannelEvent::Disconnected { cause, .. } => panic!("lost instead: {cause}"),
                ChannelEvent::Unusable { why } => panic!("unusable: {why}"),
                ChannelEvent::Connected { .. } | ChannelEvent::Renewing | ChannelEvent::NotTaken { .. } => {}
            }
        }
    }

    fn publish(&self, topic: &str, payload: &str, qos: Qos, retain: bool) {
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        let expiry = Some(Duration::from_secs(60));
        let publish = Publish { topic: topic.into(), payload, qos, retain, expiry, kind: Kind::News };
        self.handle.as_ref().unwrap().publish(publish).unwrap();
    }

    fn stop(mut self) {
        let handle = self.handle.take().unwrap();
        self.runtime.block_on(handle.stop());
        self.crash();
    }

    /// Cuts the connection as a crash would.
    fn crash(self) {
        drop((self.handle, self.end));
        self.thread.join().unwrap();
    }
}

fn said(what: &'static str) -> PresenceDocument {
    Arc::new(move |sid| format!("{what} {sid}").into_bytes())
}

fn config(broker: &Broker, protocol: Protocol) -> ChannelConfig {
    config_at(broker.port(), protocol)
}

fn config_at(port: u16, protocol: Protocol) -> ChannelConfig {
    ChannelConfig {
        host: "127.0.0.1".into(),
        port,
        tls_name: None,
        proxy: None,
        tls: None,
        protocol,
        client_id: "board".into(),
        username: None,
        password_file: None,
        keepalive_s: 10,
        first_connect_splay: Duration::ZERO,
        subscriptions: vec!["d/board/desired".into(), "g/all/desired".into(), "d/board/cmd/+".into()],
        presence: Presence {
            topic: "d/board/up".into(),
            birth: said("birth"),
            will: said("will"),
            farewell: said("farewell"),
            will_delay: Duration::from_secs(1),
        },
        look_every: Duration::from_millis(50),
        reconnect_speedup: 100,
    }
}

/// A file with a password that nobody else can read.
fn write_secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn open_broker() -> Broker {
    Broker::start(BrokerOptions::default()).unwrap()
}

fn is(text: String) -> impl Fn(&Seen) -> bool {
    move |seen| seen.text() == text
}

#[test]
fn presence_tells_birth_farewell_and_a_crash() {
    for protocol in BOTH {
        let broker = open_broker();
        let up = broker.watch("d/board/up").unwrap();
        let mut device = Device::start(config(&broker, protocol));
        let sid = device.connected();
        up.next(is(format!("birth {sid}"))).unwrap();
        assert_eq!(broker.retained("d/board/up").unwrap().unwrap(), format!("birth {sid}").into_bytes());
        device.stop();
        up.next(is(format!("farewell {sid}"))).unwrap();
        assert!(
            !broker.log().contains("board closed its connection"),
            "a DISCONNECT was said: {}",
            broker.log()
        );

        let mut device = Device::start(config(&broker, protocol));
        let sid = device.connected();
        up.next(is(format!("birth {sid}"))).unwrap();
        device.crash();
        up.next(is(format!("will {sid}"))).unwrap();
        assert_eq!(broker.retained("d/board/up").unwrap().unwrap(), format!("will {sid}").into_bytes());
    }
}

#[test]
fn a_retained_document_comes_with_the_connection_and_a_new_one_after_it() {
    for protocol in BOTH {
        let broker = open_broker();
        broker.publish_retained("d/board/desired", b"one").unwrap();
        broker.publish_retained("d/other/desired", b"not mine").unwrap();
        let mut device = Device::start(config(&broker, protocol));
        let connected = matches!(device.event("first"), ChannelEvent::Connected { .. });
        assert!(connected, "{protocol:?}: the connection is told before its messages");
        assert_eq!(device.message(), ("d/board/desired".into(), Bytes::from_static(b"one"), true));
        broker.publish_retained("g/all/desired", b"two").unwrap();
        assert_eq!(device.message(), ("g/all/desired".into(), Bytes::from_static(b"two"), false));
        broker.publish_retained("d/board/desired", b"").unwrap();
        assert_eq!(device.message(), ("d/board/desired".into(), Bytes::new(), false));
        device.stop();
    }
}

#[test]
fn a_broker_that_comes_back_gets_what_waited_and_is_subscribed_again() {
    for protocol in BOTH {
        let mut broker = open_broker();
        let mut device = Device::start(config(&broker, protocol));
        let first = device.connected();
        broker.process().kill().unwrap();
        let (loss, cause, _) = device.lost();
        assert_eq!(loss, Loss::Network, "{protocol:?}: {cause}");
        device.publish("d/board/state", "old", Qos::AtLeastOnce, true);
        device.publish("d/board/state", "new", Qos::AtLeastOnce, true);
        for i in 0..100 {
            device.publish("d/board/event", &format!("event {i}"), Qos::AtLeastOnce, false);
        }
        device.publish("d/board/progress", "half", Qos::AtMostOnce, false);
        broker.restart().unwrap();
        let second = device.connected();
        assert_ne!(first, second);
        device.publish("d/board/event", "last", Qos::AtLeastOnce, false);
        broker.publish_retained("d/board/desired", b"again").unwrap();
        assert_eq!(device.message().1, Bytes::from_static(b"again"));
        coracle_test_support::process::eventually(PATIENCE, || {
            broker.retained("d/board/state").unwrap().is_some_and(|state| state == b"new")
        });
        // The newest 64; one more when the first was on its way as the last came.
        let events = || {
            let log = broker.log();
            let again = log.rfind("mosquitto version").unwrap_or(0);
            log[again..].matches("'d/board/event'").count()
        };
        coracle_test_support::process::eventually(PATIENCE, || events() >= 64);
        device.stop();
        assert!(events() <= 65, "{protocol:?}: {}", events());
        assert!(!broker.log().contains("'d/board/progress'"), "{protocol:?}");
    }
}

#[test]
fn refused_credentials_are_called_so_and_read_again() {
    for protocol in BOTH {
        let broker = Broker::start(BrokerOptions {
            users: vec![("bench".into(), "b".into()), ("board".into(), secrets::BROKER_PASSWORD.into())],
            ..Default::default()
        })
        .unwrap();
        let dir = TempDir::new("password");
        let password_file = dir.join("password");
        write_secret(&password_file, "wrong\n");
        let username = Some("board".into());
        let config = ChannelConfig {
            username,
            password_file: Some(password_file.clone()),
            reconnect_speedup: 10_000,
            ..config(&broker, protocol)
        };
        let mut device = Device::start(config);
        let (loss, cause, retry_in) = device.lost();
        assert_eq!(loss, Loss::Credentials, "{protocol:?}: {cause}");
        assert!(retry_in >= Duration::from_millis(90), "15 minutes, ten thousand times faster: {retry_in:?}");
        write_secret(&password_file, &format!("{}\n", secrets::BROKER_PASSWORD));
        device.connected();
        device.stop();
    }
}

#[test]
fn what_an_access_list_keeps_from_the_broker_is_told_once_for_each_topic() {
    let lines = ["user bench", "topic readwrite #", "user board", "topic read #", "topic write d/board/up"];
    let broker = Broker::start(BrokerOptions {
        users: vec![("bench".into(), "b".into()), ("board".into(), secrets::BROKER_PASSWORD.into())],
        acl: lines.map(String::from).to_vec(),
        ..Default::default()
    })
    .unwrap();
    let dir = TempDir::new("password");
    let password_file = Some(dir.join("password"));
    write_secret(&dir.join("password"), secrets::BROKER_PASSWORD);
    let username = Some("board".into());
    let mut device =
        Device::start(ChannelConfig { username, password_file, ..config(&broker, Protocol::V5) });
    device.connected();
    let refused = |device: &mut Device| {
        let event = device.event("not taken");
        let ChannelEvent::NotTaken { topic, why } = event else { panic!("{event:?}") };
        (topic, why)
    };
    device.publish("d/board/event", "1", Qos::AtLeastOnce, false);
    assert_eq!(refused(&mut device), ("d/board/event".into(), "NotAuthorized".into()));
    device.publish("d/board/event", "2", Qos::AtLeastOnce, false);
    device.publish("d/board/state", "3", Qos::AtLeastOnce, true);
    assert_eq!(refused(&mut device).0, "d/board/state", "the second one of a topic is not told of");
    device.stop();
}

#[test]
fn a_document_that_is_too_long_costs_neither_memory_nor_the_connection() {
    for protocol in BOTH {
        let broker = open_broker();
        broker.publish_retained("d/board/desired", &vec![b'x'; PACKET_BYTES_MAX / 2]).unwrap();
        let mut device = Device::start(config(&broker, protocol));
        assert_eq!(device.message().1.len(), DESIRED_BYTES_MAX + 1, "{protocol:?}: enough to refuse it");
        broker.publish_retained("g/all/desired", b"fine").unwrap();
        assert_eq!(device.message().1, Bytes::from_static(b"fine"), "{protocol:?}");
        device.stop();
    }
}

#[test]
fn a_document_beyond_all_bounds_is_never_read() {
    let broker = open_broker();
    broker.publish_retained("d/board/desired", &vec![b'x'; PACKET_BYTES_MAX * 2]).unwrap();
    // A broker of MQTT 5 knows the bound and keeps it to itself.
    let mut device = Device::start(config(&broker, Protocol::V5));
    device.connected();
    broker.publish_retained("g/all/desired", b"fine").unwrap();
    assert_eq!(device.message().1, Bytes::from_static(b"fine"));
    device.stop();
    // With 3.1.1 it costs the connection, and the device comes back more and more slowly until it is taken away.
    let mut device = Device::start(config(&broker, Protocol::V311));
    let (loss, cause, _) = device.lost();
    assert_eq!(loss, Loss::Protocol, "{cause}");
    table::refused(Family::Mqtt, "packet beyond all bounds through a real broker", "session", &cause, None);
    broker.publish_retained("d/board/desired", b"short").unwrap();
    let came = (0..50).any(|_| {
        let event = device.event("the short one");
        matches!(event, ChannelEvent::Message { payload, .. } if payload.as_ref() == b"short")
    });
    assert!(came);
    device.stop();
}

#[test]
fn a_flood_ends_with_the_newest_document() {
    for protocol in BOTH {
        let broker = open_broker();
        let mut device = Device::start(config(&broker, protocol));
        device.connected();
        // The engine does not listen meanwhile.
        for i in 0..300 {
            broker.publish("d/board/desired", format!("document {i}").as_bytes(), true).unwrap();
        }
        let mut taken = 0;
        loop {
            taken += 1;
            if device.message().1 == Bytes::from_static(b"document 299") {
                break;
            }
        }
        assert!(taken <= 10, "{protocol:?}: {taken} documents waited");
        device.stop();
    }
    let proven = "the newest is taken, no more than ten before it";
    table::harmless(Family::Mqtt, "three hundred documents while nobody listens", proven, None);
}

#[test]
fn a_stale_word_on_the_own_presence_is_repaired() {
    for protocol in BOTH {
        let broker = open_broker();
        let mut device = Device::start(config(&broker, protocol));
        let sid = device.connected();
        let up = broker.watch("d/board/up").unwrap();
        up.next(is(format!("birth {sid}"))).unwrap();
        broker.publish_retained("d/board/up", b"will of an older connection").unwrap();
        up.next(is("will of an older connection".into())).unwrap();
        up.next(is(format!("birth {sid}"))).unwrap();
        device.stop();
    }
}

#[test]
fn a_namesake_is_noticed_and_left_alone() {
    // Neither 3.1.1 nor this mosquitto says why the connection ended; what the other one leaves behind does.
    for protocol in BOTH {
        let broker = open_broker();
        let mut first = Device::start(config(&broker, protocol));
        first.connected();
        let mut second = Device::start(config(&broker, protocol));
        // Either may be the one that notices; then the other one is left alone.
        let retry_in = (0..40).find_map(|_| {
            second.connected();
            let (loss, _, retry_in) = first.lost();
            std::mem::swap(&mut first, &mut second);
            (loss == Loss::TakenOver).then_some(retry_in)
        });
        let retry_in = retry_in.unwrap_or_else(|| panic!("{protocol:?}: never noticed"));
        assert!(retry_in >= Duration::from_secs(3), "5 minutes, a hundred times faster: {retry_in:?}");
        first.crash();
        second.crash();
    }
    let proven = "an alarm, and five minutes of rest instead of a fight for the session";
    table::harmless(Family::Mqtt, "namesake who takes the session over", proven, None);
}

#[test]
fn a_broker_restored_from_an_old_copy_is_no_namesake() {
    let mut broker = open_broker();
    let mut device = Device::start(config(&broker, Protocol::V5));
    device.connected();
    broker.process().kill().unwrap();
    device.lost();
    broker.restart().unwrap();
    // Quicker than the device or not: its word is repaired, and one stranger's word alone is no alarm.
    broker.publish_retained("d/board/up", b"birth of last week").unwrap();
    let sid = device.connected();
    let birth = format!("birth {sid}").into_bytes();
    coracle_test_support::process::eventually(PATIENCE, || {
        broker.retained("d/board/up").unwrap().is_some_and(|up| up == birth)
    });
    device.stop();
}

#[test]
fn a_broker_that_falls_silent_is_given_up() {
    let mut broker = open_broker();
    let mut device = Device::start(ChannelConfig { keepalive_s: 1, ..config(&broker, Protocol::V5) });
    device.connected();
    broker.process().signal(nix::sys::signal::Signal::SIGSTOP).unwrap();
    let (loss, cause, _) = device.lost();
    assert_eq!(loss, Loss::Network, "{cause}");
    broker.process().signal(nix::sys::signal::Signal::SIGCONT).unwrap();
    device.connected();
    device.stop();
}
