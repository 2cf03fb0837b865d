//! One board with a broker, a registry and generations of one web server to deploy.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use coracle_test_support::emulated::{Clock, Writes};
use coracle_test_support::images::{Arch, Form, Image, Layer, Packing};
use coracle_test_support::process::free_port;
use coracle_test_support::registry::Registry;
use coracle_test_support::scratch::TempDir;
use serde_json::{Value, json};

use super::hardware::{Hardware, Kind, STATE_DISK};
use crate::broker::{Broker, Message, Publisher, ROOT, Watch};
use crate::desired::Desired;
use crate::interrupt;

/// What the board is called.
pub const DEVICE: &str = "cut";
/// For everything that takes seconds in a machine without hardware help, on a loaded host.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes that cannot be compressed in each generation, so that a download takes a moment.
const BALLAST_BYTES: usize = 3 << 20;

/// How a generation behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// It answers.
    Good,
    /// It ends as soon as it is started.
    Crashing,
}

/// Everything around the board; the fields end in this order.
pub struct Scene {
    hardware: Hardware,
    kind: Kind,
    /// What the board says.
    pub watch: Watch,
    operator: Publisher,
    _broker: Broker,
    registry: Registry,
    port: u16,
    dir: TempDir,
    boots: u32,
}

impl Scene {
    /// Starts the servers and makes the board, which is not booted yet.
    pub fn new(kind: Kind) -> io::Result<Self> {
        let (broker, registry, dir) = (Broker::start()?, Registry::start()?, TempDir::new("cut"));
        let config = format!(
            "device_id = {DEVICE:?}\naccept_tags = true\ndefault_network = \"host\"\n[trust]\nunsigned = true\n\
             [broker]\nurl = {:?}\nfirst_connect_splay_seconds = 0\n[registry]\ninsecure = [{:?}]\n",
            kind.reaches(&broker.url()),
            kind.reaches(&registry.host()),
        );
        Ok(Self {
            hardware: Hardware::make(kind, &config, &dir)?,
            kind,
            watch: broker.watch(DEVICE)?,
            operator: broker.publisher(&format!("{ROOT}/d/{DEVICE}/desired"))?,
            _broker: broker,
            registry,
            port: free_port(),
            dir,
            boots: 0,
        })
    }

    /// Switches the board on; hands back when.
    pub fn boot(&mut self, writes: Writes<'_>, clock: Clock) -> io::Result<Instant> {
        self.boots += 1;
        let console = self.dir.join(format!("console-{}", self.boots));
        self.hardware.boot(writes, clock, self.port, &console)
    }

    /// The disk of the board's state; that of an emulated one.
    pub fn disk(&self) -> PathBuf {
        self.dir.join(STATE_DISK)
    }

    /// Cuts the board's power.
    pub fn cut(&mut self) -> io::Result<()> {
        self.hardware.cut()
    }

    /// The console of this boot.
    pub fn console(&self) -> String {
        self.hardware.console()
    }

    /// Publishes a generation's image and tells the board to run it.
    pub fn deploy(&mut self, generation: u64, nature: Nature) -> io::Result<()> {
        let image = self.publish(generation, nature)?;
        let service = json!({"image": image, "network_mode": "host", "restart": "always"});
        let projects = json!({"site": {"services": {"web": service}}});
        let desired = Desired { device: DEVICE, generation, projects };
        // A machine without hardware help takes a second for what ends at once elsewhere.
        self.operator.send(&desired.envelope_under(&json!({"health": 30, "soak": 3}))).map(drop)
    }

    fn publish(&self, generation: u64, nature: Nature) -> io::Result<String> {
        let serve = format!("trap 'exit 0' TERM; httpd -f -p {} -h /www & wait", self.port);
        let command = match nature {
            Nature::Good => serve.as_str(),
            Nature::Crashing => "exit 3",
        };
        let mut image = Image::busybox(Arch::Amd64, &["sh", "-c", command])?;
        let text = answer(generation);
        image.layers.push(Layer::of_file("www/index.html", 0o644, text.as_bytes(), Packing::Gzip)?);
        image.layers.push(Layer::of_file("ballast", 0o644, &noise(generation), Packing::Gzip)?);
        let host = self.registry.host();
        let pushed = image.push(&host, "site", Some(&generation.to_string()), Form::Oci)?;
        Ok(format!("{}/site:{generation}@{}", self.kind.reaches(&host), pushed.digest))
    }

    /// The end of what the board has to say for itself.
    pub fn tail(&self) -> String {
        let console = self.console();
        let tail = console.lines().rev().take(40).collect::<Vec<_>>();
        format!("--- console ---\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }

    /// Waits for something that the board says.
    pub fn until<T>(&self, what: &str, wanted: impl FnMut(&Message) -> Option<T>) -> io::Result<T> {
        let said = self.watch.until(what, PATIENCE, wanted);
        said.map_err(|error| io::Error::other(format!("{error}\n{}", self.tail())))
    }

    /// Waits until the workload answers with the text of one of `generations`; hands back which and when.
    pub fn until_answered(&self, generations: &[u64]) -> io::Result<(u64, Instant)> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            interrupt::check()?;
            let said = call(self.port, Duration::from_secs(2)).unwrap_or_default();
            if let Some(generation) =
                generations.iter().find(|generation| said.ends_with(&answer(**generation)))
            {
                return Ok((*generation, Instant::now()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(io::Error::other(format!("none of the generations {generations:?} answers\n{}", self.tail())))
    }
}

/// What a generation tells its callers.
fn answer(generation: u64) -> String {
    format!("this is generation {generation}.")
}

/// What answers at a port of this machine's, waited for within `patience`.
pub fn call(port: u16, patience: Duration) -> io::Result<String> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    Ok(answer)
}

/// The same bytes for the same generation, and nothing that a compressor could use.
fn noise(generation: u64) -> Vec<u8> {
    let mut chance = Chance(generation | 1 << 40);
    (0..BALLAST_BYTES / 8).flat_map(|_| chance.next().to_le_bytes()).collect()
}

/// Numbers from a seed, by xorshift.
pub struct Chance(pub u64);

impl Chance {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// The status and the session in a reported state that speaks of `generation`.
pub fn status_of(said: &Message, generation: u64) -> Option<(String, Value)> {
    let ours = said.kind == "state" && said.payload["desired"]["gen"] == generation;
    let status = || said.payload["deployment"]["status"].as_str().unwrap_or_default().to_owned();
    ours.then(|| (status(), said.payload["sid"].clone()))
}
