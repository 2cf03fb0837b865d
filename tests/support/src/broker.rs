//! A real mosquitto on a free loopback port with a directory of its own, and a client to look at it with.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rumqttc_v5::{
    AsyncClient, Event, MqttOptions, Packet, PublishOptions, QoS, SubscribeFilter, TlsConfiguration,
    Transport,
};

use crate::certificates;
pub use crate::certificates::KeyForm;
use crate::process::{Running, free_port, run};
use crate::registry::certificate;
use crate::scratch::TempDir;
use crate::secrets::{self, Kind};

/// How long the bench's own client may take for anything.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest message the bench looks at.
const PACKET_BYTES_MAX: u32 = 1 << 20;

/// What a broker asks of its clients.
#[derive(Clone, Debug, Default)]
pub struct BrokerOptions {
    /// Speak TLS, with a certificate for 127.0.0.1 and localhost that [`Broker::ca`] signs.
    pub tls: bool,
    /// Want a certificate that [`Broker::ca`] signs, as [`Broker::client_certificate`] makes them.
    pub client_certificates: bool,
    /// Names and passwords; anyone may come where empty. The bench itself comes as the first.
    pub users: Vec<(String, String)>,
    /// Lines of the access list; everything is allowed where empty.
    pub acl: Vec<String>,
    /// More lines of mosquitto.conf.
    pub settings: Vec<String>,
    /// More variables of its environment.
    pub environment: Vec<(String, String)>,
}

/// A running broker.
#[derive(Debug)]
pub struct Broker {
    process: Running,
    port: u16,
    dir: TempDir,
    options: BrokerOptions,
}

impl Broker {
    /// Starts a broker; it ends with the value.
    pub fn start(options: BrokerOptions) -> io::Result<Self> {
        let dir = TempDir::new("broker");
        if options.tls {
            certificate(&dir)?;
        }
        let mut passwords = String::new();
        for (name, password) in &options.users {
            passwords += &format!("{name}:{password}\n");
        }
        fs::write(dir.join("passwords"), passwords)?;
        if !options.users.is_empty() {
            run(Command::new("mosquitto_passwd").arg("-U").arg(dir.join("passwords")))?;
        }
        fs::write(dir.join("acl"), options.acl.join("\n") + "\n")?;
        // Somebody else may take the port between our look and the broker's start.
        let mut tries = 0;
        loop {
            let port = free_port();
            match launch(&dir, port, &options) {
                Ok(process) => return Ok(Self { process, port, dir, options }),
                Err(_) if tries < 3 => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Ends it, without a word to its clients, and starts it again on the same port. Nothing is retained over it.
    pub fn restart(&mut self) -> io::Result<()> {
        self.process.kill()?;
        self.process = launch(&self.dir, self.port, &self.options)?;
        Ok(())
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `mqtt://127.0.0.1:PORT`, or `mqtts://localhost:PORT`.
    pub fn url(&self) -> String {
        if self.options.tls {
            format!("mqtts://localhost:{}", self.port)
        } else {
            format!("mqtt://127.0.0.1:{}", self.port)
        }
    }

    /// The certificate that signed its own, when it speaks TLS.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// Everything it logged.
    pub fn log(&self) -> String {
        self.process.output()
    }

    /// Its process, to stop or kill it.
    pub fn process(&mut self) -> &mut Running {
        &mut self.process
    }

    /// Makes a certificate for `name` and its key, as [`certificates::client`] does.
    pub fn client_certificate(&self, name: &str, key: KeyForm) -> io::Result<(PathBuf, PathBuf)> {
        certificates::client(&self.dir, name, key)
    }

    /// Where its certificates are, with the authority that made them.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Publishes a retained message, as an operator would; an empty one takes the topic's message away.
    pub fn publish_retained(&self, topic: &str, payload: &[u8]) -> io::Result<()> {
        self.publish(topic, payload, true)
    }

    /// Publishes a message with QoS 1 and waits until the broker has it.
    pub fn publish(&self, topic: &str, payload: &[u8], retain: bool) -> io::Result<()> {
        let watch = self.connect(None)?;
        let options = PublishOptions::new(QoS::AtLeastOnce).retain(retain);
        watch.client.try_publish(topic, payload.to_vec(), options).map_err(io::Error::other)?;
        watch.until(|seen| seen.acknowledged > 0).map(drop)
    }

    /// Subscribes to `filter` and keeps what comes.
    pub fn watch(&self, filter: &str) -> io::Result<Watch> {
        let watch = self.connect(Some(filter))?;
        watch.until(|seen| seen.acknowledged > 0)?;
        Ok(watch)
    }

    /// The retained message of `topic`, where there is one now.
    pub fn retained(&self, topic: &str) -> io::Result<Option<Vec<u8>>> {
        let watch = self.connect(Some(topic))?;
        watch.until(|seen| seen.acknowledged > 0)?;
        // The broker sends a retained message after its SUBACK and before the answer to what comes later.
        watch
            .client
            .try_publish("bench/marker", "", PublishOptions::new(QoS::AtLeastOnce))
            .map_err(io::Error::other)?;
        let seen = watch.until(|seen| seen.acknowledged > 1)?;
        Ok(seen
            .messages
            .into_iter()
            .next_back()
            .map(|message| message.payload)
            .filter(|payload| !payload.is_empty()))
    }

    fn connect(&self, filter: Option<&str>) -> io::Result<Watch> {
        let host = if self.options.tls { "localhost" } else { "127.0.0.1" };
        let mut options = MqttOptions::new(format!("bench-{:08x}", nonce()), (host, self.port));
        options.set_max_packet_size(Some(PACKET_BYTES_MAX));
        if let Some((name, password)) = self.options.users.first() {
            options.set_credentials(name.clone(), password.clone());
        }
        if self.options.tls {
            let client_auth = if self.options.client_certificates {
                let (certificate, key) = self.client_certificate("bench", KeyForm::Pkcs8)?;
                Some((fs::read(certificate)?, fs::read(key)?))
            } else {
                None
            };
            let ca = fs::read(self.ca())?;
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Simple {
                ca,
                alpn: None,
                client_auth,
            }));
        }
        Watch::start(options, filter)
    }
}

/// A message the bench saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// The broker had kept it from before.
    pub retained: bool,
}

impl Seen {
    /// The payload as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

#[derive(Clone, Debug, Default)]
struct Sight {
    messages: VecDeque<Seen>,
    /// Those that nobody held against the planted secrets yet.
    unlooked: Vec<(String, Vec<u8>)>,
    acknowledged: usize,
    failed: Option<String>,
}

/// A client that keeps what comes on a topic; a thread of its own that ends with the value.
pub struct Watch {
    client: AsyncClient,
    sight: Arc<(Mutex<Sight>, Condvar)>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watch {
    fn start(options: MqttOptions, filter: Option<&str>) -> io::Result<Self> {
        let (client, mut events) =
            AsyncClient::builder(options).capacity(16).try_build().map_err(io::Error::other)?;
        if let Some(filter) = filter {
            let filters = [SubscribeFilter::new(filter, QoS::AtLeastOnce)];
            client.try_subscribe_many(filters).map_err(io::Error::other)?;
        }
        let sight = Arc::new((Mutex::new(Sight::default()), Condvar::new()));
        let shown = Arc::clone(&sight);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    let event = events.poll().await;
                    let ended = event.is_err();
                    let (lock, bell) = &*shown;
                    note(event, &mut lock.lock().unwrap_or_else(PoisonError::into_inner));
                    bell.notify_all();
                    if ended {
                        return;
                    }
                }
            });
        });
        Ok(Self { client, sight, thread: Some(thread) })
    }

    fn until(&self, done: impl Fn(&Sight) -> bool) -> io::Result<Sight> {
        let (lock, bell) = &*self.sight;
        let began = Instant::now();
        let mut sight = lock.lock().unwrap_or_else(PoisonError::into_inner);
        while !done(&sight) {
            let left = PATIENCE.checked_sub(began.elapsed());
            if let Some(error) = &sight.failed {
                return Err(io::Error::other(format!("the bench's client: {error}")));
            }
            let Some(left) = left else {
                return Err(io::Error::other(format!(
                    "nothing of the kind came; seen: {:?}",
                    sight.messages
                )));
            };
            sight = bell.wait_timeout(sight, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(sight.clone())
    }

    /// Waits for a message that is `wanted`, and forgets it and all before it.
    pub fn next(&self, wanted: impl Fn(&Seen) -> bool) -> io::Result<Seen> {
        self.until(|sight| sight.messages.iter().any(&wanted))?;
        let mut sight = self.sight.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(seen) = sight.messages.pop_front() {
            if wanted(&seen) {
                return Ok(seen);
            }
        }
        Err(io::Error::other("somebody else took it"))
    }

    /// What came and was not taken yet.
    pub fn messages(&self) -> Vec<Seen> {
        let sight = self.sight.0.lock().unwrap_or_else(PoisonError::into_inner);
        sight.messages.iter().cloned().collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.client.try_disconnect_now();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // Here and not where they come: a panic belongs into the thread of the test.
        let unlooked =
            std::mem::take(&mut self.sight.0.lock().unwrap_or_else(PoisonError::into_inner).unlooked);
        for (topic, payload) in unlooked {
            secrets::look(Kind::Message, &topic, &payload);
        }
    }
}

fn note(event: Result<Event, rumqttc_v5::ConnectionError>, sight: &mut Sight) {
    match event {
        Ok(Event::Incoming(Packet::Publish(publish))) => {
            let topic = String::from_utf8_lossy(&publish.topic).into_owned();
            let payload = publish.payload.to_vec();
            sight.unlooked.push((topic.clone(), payload.clone()));
            sight.messages.push_back(Seen { topic, payload, retained: publish.retain });
        }
        Ok(Event::Incoming(Packet::PubAck(_) | Packet::SubAck(_))) => sight.acknowledged += 1,
        Ok(_) => {}
        Err(error) => sight.failed = Some(error.to_string()),
    }
}

fn nonce() -> u32 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    // The standard library's own random keys are all the chance a name needs.
    u32::try_from(RandomState::new().build_hasher().finish() >> 32).unwrap_or(0)
}

fn launch(dir: &Path, port: u16, options: &BrokerOptions) -> io::Result<Running> {
    let at = dir.display();
    // As root mosquitto would become a user that cannot read the directory.
    let mut lines = vec![
        format!("listener {port} 127.0.0.1"),
        "user root".into(),
        "persistence false".into(),
        "log_type all".into(),
        "set_tcp_nodelay true".into(),
    ];
    if options.tls {
        lines.push(format!("cafile {at}/ca.crt\ncertfile {at}/server.crt\nkeyfile {at}/server.key"));
    }
    if options.client_certificates {
        lines.push("require_certificate true\nuse_identity_as_username true".into());
    }
    if options.users.is_empty() {
        lines.push("allow_anonymous true".into());
    } else {
        lines.push(format!("allow_anonymous false\npassword_file {at}/passwords"));
    }
    if !options.acl.is_empty() {
        lines.push(format!("acl_file {at}/acl"));
    }
    lines.extend(options.settings.iter().cloned());
    let settings = dir.join("mosquitto.conf");
    fs::write(&settings, lines.join("\n") + "\n")?;
    let mut command = Command::new("mosquitto");
    command.arg("-c").arg(&settings).envs(options.environment.iter().cloned());
    let mut process = Running::start("mosquitto", &mut command, &dir.join("mosquitto.log"))?;
    process.until_answering(([127, 0, 0, 1], port).into())?;
    Ok(process)
}
