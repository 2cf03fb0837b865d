//! One board under systemd with a broker and a registry beside it.

use std::io;
use std::time::{Duration, Instant};

use coracle_test_support::images::{Arch, Form, Image, Layer, Packing};
use coracle_test_support::nspawn::{Board, Machine, Network, Root};
use coracle_test_support::registry::Registry;
use coracle_test_support::scratch::TempDir;
use serde_json::{Value, json};

use crate::broker::{Broker, Publisher, ROOT, Watch};
use crate::desired::Desired;
use crate::{interrupt, setup};

const DEVICE: &str = "booted";
/// For everything that takes a second or two on a quiet machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Seconds that services have to become healthy; short, for whoever watches wants to see the end.
const HEALTH_S: u64 = 30;
/// Between two looks at the board; each starts a program there.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Everything around the board; the fields end in this order.
pub struct Bench {
    machine: Option<Machine>,
    /// The board while it is off.
    pub board: Board,
    watch: Watch,
    operator: Publisher,
    _broker: Broker,
    registry: Registry,
    dir: TempDir,
    boots: u32,
}

impl Bench {
    /// A board that runs, and runs nothing yet.
    pub fn start() -> io::Result<Self> {
        let mut bench = Self::around(|config| {
            let board = Board::new(&setup::agent()?, &setup::root()?.join("systemd"), config)?;
            // A hang is to be noticed before whoever watches loses patience.
            board.write(
                "etc/systemd/system/coracle.service.d/hang.conf",
                "[Service]\nWatchdogSec=5\nRestartSec=1\n",
            )?;
            Ok(board)
        })?;
        bench.boot(Network::Loopback)?;
        Ok(bench)
    }

    /// Everything around the board that `make` makes of a configuration; it is off.
    pub fn around(make: impl FnOnce(&str) -> io::Result<Board>) -> io::Result<Self> {
        let (broker, registry, dir) = (Broker::start()?, Registry::start()?, TempDir::new("systemd"));
        let config = format!(
            "device_id = {DEVICE:?}\naccept_tags = true\ndefault_network = \"host\"\n[trust]\nunsigned = true\n\
             [store]\nscrub_after_seconds = 1\n[broker]\nurl = {:?}\nfirst_connect_splay_seconds = 0\n[registry]\ninsecure = [{:?}]\n",
            broker.url(),
            registry.host(),
        );
        Ok(Self {
            machine: None,
            board: make(&config)?,
            watch: broker.watch(DEVICE)?,
            operator: broker.publisher(&format!("{ROOT}/d/{DEVICE}/desired"))?,
            _broker: broker,
            registry,
            dir,
            boots: 0,
        })
    }

    /// Switches the board on; hands back when.
    pub fn boot(&mut self, network: Network) -> io::Result<Instant> {
        self.boot_as(network, Root::Writable)
    }

    /// The same with a root of another kind.
    pub fn boot_as(&mut self, network: Network, root: Root) -> io::Result<Instant> {
        self.boots += 1;
        let console = self.dir.join(format!("console-{}", self.boots));
        let machine = self.board.boot_as(network, root, &console)?;
        Ok(self.machine.insert(machine).since())
    }

    /// Cuts its power.
    pub fn cut(&mut self) -> io::Result<()> {
        self.machine.take().map_or(Ok(()), |mut machine| machine.cut())
    }

    /// The board, which is on.
    pub fn machine(&self) -> io::Result<&Machine> {
        self.machine.as_ref().ok_or_else(|| io::Error::other("the board is off"))
    }

    /// What a command on the board prints.
    pub fn run(&self, words: &[&str]) -> io::Result<String> {
        self.machine()?.run(words)
    }

    /// The end of the board's journal.
    pub fn journal(&self) -> String {
        self.machine.as_ref().map(|machine| machine.journal(40)).unwrap_or_default()
    }

    /// A line of the board's journal is there sooner or later.
    pub fn until<T>(&self, what: &str, mut look: impl FnMut() -> io::Result<Option<T>>) -> io::Result<T> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            interrupt::check()?;
            if let Some(found) = look()? {
                return Ok(found);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Err(io::Error::other(format!("no {what} within {PATIENCE:?}")))
    }

    /// Publishes an image of busybox that runs this script; hands back its reference.
    pub fn image(&self, name: &str, script: &str) -> io::Result<String> {
        self.image_with(name, script, &[])
    }

    /// The same with more layers, as archives.
    pub fn image_with(&self, name: &str, script: &str, archives: &[Vec<u8>]) -> io::Result<String> {
        let mut image = Image::busybox(Arch::Amd64, &["sh", "-c", script])?;
        image.layers.push(Layer::of_file("name", 0o644, name.as_bytes(), Packing::Gzip)?);
        for archive in archives {
            image.layers.push(Layer::pack(archive, Packing::Gzip)?);
        }
        let host = self.registry.host();
        let pushed = image.push(&host, name, Some("1"), Form::Oci)?;
        Ok(format!("{host}/{name}@{}", pushed.digest))
    }

    /// Has the board run these services, and waits until they are confirmed.
    pub fn deploy(&mut self, generation: u64, services: Value) -> io::Result<()> {
        self.send(generation, services, HEALTH_S)?;
        self.until_confirmed(generation)
    }

    /// Tells the board to run these services, which have so many seconds to become healthy.
    pub fn send(&mut self, generation: u64, services: Value, health_s: u64) -> io::Result<()> {
        let projects = json!({"site": {"services": services}});
        let desired = Desired { device: DEVICE, generation, projects };
        self.operator.send(&desired.envelope_under(&json!({"health": health_s, "soak": 1}))).map(drop)
    }

    /// Waits until the board reports that it is done with a generation, and well.
    pub fn until_confirmed(&mut self, generation: u64) -> io::Result<()> {
        self.watch.until(&format!("end of generation {generation}"), PATIENCE, |said| {
            let state = &said.payload;
            let ours = said.kind == "state" && state["desired"]["gen"] == generation;
            (ours && state["deployment"]["status"] == "SUCCEEDED").then_some(())
        })
    }

    /// A workload as `coracle ps` has it; null where it is not known.
    pub fn workload(&self, id: &str) -> io::Result<Value> {
        let listed: Value = serde_json::from_str(&self.run(&["coracle", "ps", "--all", "--json"])?)?;
        let found = listed.as_array().into_iter().flatten().find(|workload| workload["id"] == id);
        Ok(found.cloned().unwrap_or_default())
    }

    /// Waits until a workload is in this state; hands it back.
    pub fn until_workload(&self, id: &str, state: &str) -> io::Result<Value> {
        let mut last = Value::Null;
        let found = self.until(&format!("{id} that is {state}"), || {
            last = self.workload(id)?;
            Ok((last["state"] == state).then(|| last.clone()))
        });
        found.map_err(|error| io::Error::other(format!("{error}; last seen: {last}")))
    }

    /// The process of a workload and the time of its start: the same pair is the same process.
    pub fn process(&self, id: &str) -> io::Result<(u64, String)> {
        let workload = self.workload(id)?;
        let running = workload["pid"].as_u64().filter(|_| workload["state"] == "running");
        let pid = running.ok_or_else(|| io::Error::other(format!("{id} does not run: {workload}")))?;
        let stat = std::fs::read_to_string(self.machine()?.path(&format!("/proc/{pid}/stat")))?;
        // proc(5): the start time is the 22nd field, the 20th after the name in parentheses.
        let ticks = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(19));
        ticks.map(|ticks| (pid, ticks.to_owned())).ok_or_else(|| io::Error::other("no start time"))
    }

    /// What systemd says of a property of a unit.
    pub fn property(&self, unit: &str, name: &str) -> io::Result<String> {
        let said = self.run(&["systemctl", "show", "--value", "--property", name, unit])?;
        Ok(said.trim().to_owned())
    }
}

/// The unit of a workload.
pub fn unit(id: &str) -> String {
    format!("coracle-workload@{id}.service")
}

/// Good where the two are equal.
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> io::Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(io::Error::other(format!("{what}: {found:?}, expected {expected:?}")))
}
