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
use serde_json::json;

use crate::broker::{Broker, Publisher, ROOT, Watch};

/// The group that all boards are in.
const GROUP: &str = "fleet";
/// The port that a workload answers at on a board.
pub const PORT: u16 = 8080;
/// Bytes that cannot be compressed in each generation, so that a download takes a moment.
const BALLAST_BYTES: usize = 2 << 20;

/// How a generation behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// It answers.
    Good,
    /// It ends as soon as it is started.
    Crashing,
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
    /// The digest of each generation's index.
    indexes: Mutex<Vec<(u64, String)>>,
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
            indexes: Mutex::default(),
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
        let indexes = self.indexes.lock().ok()?;
        indexes.iter().find(|(number, _)| *number == generation).map(|(_, digest)| digest.clone())
    }

    /// Publishes a generation's images under one index, and one signed document for all boards.
    pub fn deploy(&self, generation: u64, nature: Nature) -> io::Result<()> {
        let digest = self.publish(generation, nature)?;
        let port = self.registry.host().replace("127.0.0.1:", "");
        let image = format!("{HOST}:{port}/site:{generation}@{digest}");
        let service = json!({"image": image, "network_mode": "host", "restart": "always"});
        let projects = json!({"site": {"services": {"web": service}}});
        let desired = Desired { device: GROUP, generation, projects };
        // A machine without hardware help takes seconds for what ends at once elsewhere.
        let document = desired.document(&format!("g/{GROUP}"), &json!({"health": 120, "soak": 3}));
        let signed = envelope(DESIRED, document.as_bytes(), &[&self.signer])?;
        println!("--- generation {generation}, {nature:?}: index {digest}, one document for g/{GROUP}");
        self.indexes.lock().map_err(|_| io::ErrorKind::Other)?.push((generation, digest));
        let mut operator = self.operator.lock().map_err(|_| io::ErrorKind::Other)?;
        operator.send(&String::from_utf8_lossy(&signed)).map(drop)
    }

    fn publish(&self, generation: u64, nature: Nature) -> io::Result<String> {
        let serve = format!("trap 'exit 0' TERM; httpd -f -p {PORT} -h /www & wait");
        let command = match nature {
            Nature::Good => serve.as_str(),
            Nature::Crashing => "exit 3",
        };
        let mut images = Vec::new();
        for arch in &self.archs {
            let mut image = Image::busybox(*arch, &["sh", "-c", command])?;
            let text = answer(generation, *arch);
            image.layers.push(Layer::of_file("www/index.html", 0o644, text.as_bytes(), Packing::Gzip)?);
            image.layers.push(Layer::of_file("ballast", 0o644, &noise(generation), Packing::Gzip)?);
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
