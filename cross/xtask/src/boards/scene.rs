//! What a fleet has in common: a broker and a registry with TLS, images under one index, and who signs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use coracle_test_support::certificates::{self, KeyForm};
use coracle_test_support::desired::Desired;
use coracle_test_support::emulated::HOST;
use coracle_test_support::images::{Arch, Form, Image, Layer, Packing, push_index};
use coracle_test_support::process::{Running, free_port};
use coracle_test_support::registry::{Asks, Registry};
use coracle_test_support::scratch::TempDir;
use coracle_test_support::sign::{Algorithm, DESIRED, Signer, envelope};
use serde_json::{Value, json};

use crate::broker::{Broker, Publisher, ROOT, Watch};

/// The group that all boards are in.
const GROUP: &str = "fleet";
/// The port that a workload answers at on a board.
pub const PORT: u16 = 8080;
/// Bytes that cannot be compressed in each generation, so that a download takes a moment.
const BALLAST_BYTES: usize = 2 << 20;

/// What a board says of a workload that the kernel ended at the ceiling of all.
const OUT_OF_MEMORY: &str = "was killed by the kernel: out of memory, at a limit that it shares with others";

/// How a generation behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// It answers.
    Good,
    /// It ends as soon as it is started.
    Crashing,
    /// It runs, and its check passes once and never again.
    Unwell,
    /// Beside a good one, it takes all memory it can get.
    Leaking,
    /// Beside a good one, it starts processes without end.
    Forking,
}

impl Nature {
    /// Those that are taken back.
    pub const BAD: [Self; 4] = [Self::Crashing, Self::Unwell, Self::Leaking, Self::Forking];

    /// What it is called in a table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Crashing => "crashing",
            Self::Unwell => "unwell",
            Self::Leaking => "leaking",
            Self::Forking => "forking",
        }
    }

    /// Parts of the error with which a board takes it back, one of which it has; the code may differ, for a program that
    /// ends may have been seen running before.
    pub fn faults(self) -> &'static [&'static str] {
        match self {
            Self::Good => &[],
            // While it runs once more, its last exit code is forgotten.
            Self::Crashing => &["ended with exit code 3", "site.web ended 4 times in a row"],
            Self::Unwell => &["UNHEALTHY: site.web is unhealthy"],
            Self::Leaking => &[OUT_OF_MEMORY],
            // Which ceiling is met first depends on how much memory the board's processor has a process take.
            Self::Forking => &["after the kernel refused it another process", OUT_OF_MEMORY],
        }
    }

    /// What its program does.
    fn command(self) -> String {
        match self {
            Self::Good | Self::Unwell => {
                format!("trap 'exit 0' TERM; httpd -f -p {PORT} -h /www & wait")
            }
            Self::Crashing => "exit 3".to_owned(),
            Self::Leaking => "exec dd if=/dev/zero of=/dev/null bs=420M count=1".to_owned(),
            Self::Forking => "while :; do sleep 1000 & done".to_owned(),
        }
    }

    /// The services of its project: with its own `image`, and `good`, the one that is known to be.
    fn services(self, image: &str, good: &Value) -> Value {
        let web = json!({"image": image, "network_mode": "host", "restart": "always"});
        match self {
            Self::Good | Self::Crashing => json!({"web": web}),
            Self::Unwell => {
                let once = json!(["CMD-SHELL", "[ ! -e /checked ] || exit 1; touch /checked"]);
                let check = json!({"test": once, "interval": "1s", "retries": 2, "timeout": "2m"});
                let mut web = web;
                web["healthcheck"] = check;
                json!({"web": web})
            }
            Self::Leaking => json!({"web": good, "greedy": web}),
            // Nothing but the ceiling of all workloads is left to meet, and it is met once.
            Self::Forking => {
                let greedy =
                    json!({"image": image, "network_mode": "host", "restart": "no", "pids_limit": -1});
                json!({"web": good, "greedy": greedy})
            }
        }
    }
}

/// A generation that was published.
struct Published {
    generation: u64,
    index: String,
    /// Its service, where it is a good one.
    good: Option<Value>,
}

/// The servers; they end with this value.
pub struct Scene {
    operator: Mutex<Publisher>,
    broker: Broker,
    registry: Registry,
    /// The same registry without TLS, for whoever pushes.
    _door: Running,
    door_host: String,
    signer: Signer,
    archs: Vec<Arch>,
    published: Mutex<Vec<Published>>,
    /// Ends last.
    dir: TempDir,
}

impl Scene {
    /// Starts them, for boards of these architectures.
    pub fn start(archs: &[Arch]) -> io::Result<Self> {
        let dir = TempDir::new("boards");
        let registry = Registry::start_asking(Asks { tls: true, ..Asks::default() })?;
        let port = free_port();
        let door_host = format!("127.0.0.1:{port}");
        let mut door = registry.again_under(&["env"], &door_host)?;
        door.until_answering(([127, 0, 0, 1], port).into())?;
        let members = archs.iter().map(|arch| device(*arch)).collect::<Vec<_>>();
        let broker = Broker::start_secured(GROUP, &members)?;
        let operator = Mutex::new(broker.publisher(&format!("{ROOT}/g/{GROUP}/desired"))?);
        println!(
            "mosquitto listens at port {} with TLS, certificates and the documentation's access list",
            broker.port()
        );
        println!("docker-registry listens at {} with TLS", registry.host());
        Ok(Self {
            operator,
            broker,
            registry,
            _door: door,
            door_host,
            signer: Signer::new(Algorithm::Ed25519)?,
            archs: archs.to_vec(),
            published: Mutex::default(),
            dir,
        })
    }

    /// The folder of a board.
    pub fn folder(&self, arch: Arch) -> PathBuf {
        self.dir.join(arch.oci())
    }

    /// What a board says.
    pub fn watch(&self, arch: Arch) -> io::Result<Watch> {
        self.broker.watch(&device(arch))
    }

    /// The digest of a generation's index.
    pub fn index(&self, generation: u64) -> Option<String> {
        let published = self.published.lock().ok()?;
        published.iter().find(|one| one.generation == generation).map(|one| one.index.clone())
    }

    /// Publishes a generation's images under one index, and one signed document for all boards.
    pub fn deploy(&self, generation: u64, nature: Nature) -> io::Result<()> {
        let digest = self.publish(generation, nature)?;
        let port = self.registry.host().replace("127.0.0.1:", "");
        let image = format!("{HOST}:{port}/site:{generation}@{digest}");
        let mut published = self.published.lock().map_err(|_| io::ErrorKind::Other)?;
        let good = published.iter().rev().find_map(|one| one.good.clone()).unwrap_or_default();
        let services = nature.services(&image, &good);
        let good = (nature == Nature::Good).then(|| services["web"].clone());
        let desired =
            Desired { device: GROUP, generation, projects: json!({"site": {"services": services}}) };
        // A machine without hardware help takes seconds for what ends at once elsewhere; and nothing bad may pass for
        // good because its end takes longer here.
        let soak = if nature == Nature::Good { 3 } else { 120 };
        let document = desired.document(&format!("g/{GROUP}"), &json!({"health": 300, "soak": soak}));
        let signed = envelope(DESIRED, document.as_bytes(), &[&self.signer])?;
        let word = nature.word();
        println!("--- generation {generation}, {word}: index {digest}, one document for g/{GROUP}");
        published.push(Published { generation, index: digest, good });
        let mut operator = self.operator.lock().map_err(|_| io::ErrorKind::Other)?;
        operator.send(&String::from_utf8_lossy(&signed)).map(drop)
    }

    fn publish(&self, generation: u64, nature: Nature) -> io::Result<String> {
        let command = nature.command();
        let mut images = Vec::new();
        for arch in &self.archs {
            let mut image = Image::busybox(*arch, &["sh", "-c", &command])?;
            let text = answer(generation, *arch);
            image.layers.push(Layer::of_file("www/index.html", 0o644, text.as_bytes(), Packing::Gzip)?);
            // What is taken back at once need not take a moment to come.
            if nature == Nature::Good {
                let ballast = noise(generation);
                image.layers.push(Layer::of_file("ballast", 0o644, &ballast, Packing::Gzip)?);
            }
            images.push(image.push(&self.door_host, "site", None, Form::Oci)?);
        }
        push_index(&self.door_host, "site", &generation.to_string(), &images, Form::Oci)
    }

    /// Writes what a board has of its own into `to`, which mirrors its root: configuration, certificates, keys.
    pub fn provision(&self, arch: Arch, to: &Path) -> io::Result<()> {
        let (etc, trust) = (to.join("etc/coracle"), to.join("usr/share/coracle/trust.d"));
        fs::create_dir_all(&etc)?;
        fs::create_dir_all(&trust)?;
        fs::write(trust.join("deploy.pub"), self.signer.pem())?;
        let name = device(arch);
        let (certificate, key) = certificates::client(self.broker.dir(), &name, KeyForm::Pkcs8)?;
        let files = [
            (certificate, "board.crt"),
            (key, "board.key"),
            (self.broker.dir().join("ca.crt"), "broker-ca.crt"),
            (self.registry.ca(), "registry-ca.crt"),
        ];
        for (from, name) in files {
            fs::copy(from, etc.join(name))?;
        }
        let config = format!(
            "device_id = {name:?}\ngroups = [{GROUP:?}]\n\n[broker]\nurl = \"mqtts://{HOST}:{}\"\n\
             ca_file = \"/etc/coracle/broker-ca.crt\"\ncert_file = \"/etc/coracle/board.crt\"\n\
             key_file = \"/etc/coracle/board.key\"\nfirst_connect_splay_seconds = 0\n\n\
             [registry]\nca_file = \"/etc/coracle/registry-ca.crt\"\n",
            self.broker.port()
        );
        fs::write(etc.join("config.toml"), config)
    }
}

/// What a board is called.
pub fn device(arch: Arch) -> String {
    format!("board-{}", arch.oci())
}

/// What a generation tells its callers.
pub fn answer(generation: u64, arch: Arch) -> String {
    format!("generation {generation}, built for {}.", arch.platform())
}

/// The same bytes for the same generation, and nothing that a compressor could use.
fn noise(generation: u64) -> Vec<u8> {
    let mut chance = crate::emulated::Chance(generation | 1 << 40);
    (0..BALLAST_BYTES / 8).flat_map(|_| chance.next().to_le_bytes()).collect()
}
