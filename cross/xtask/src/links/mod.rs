//! `links [--short]`: the real binary pulls from a real registry over a bad link between two network namespaces, and the
//! bytes that arrived are counted by the kernel's packet filter.

mod network;

use std::io;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use coracle_test_support::agent::{Board, Settings};
use coracle_test_support::images::layer::add_file;
use coracle_test_support::images::{Arch, Form, Image, Layer, Packing};
use coracle_test_support::registry::Registry;
use serde_json::Value;

use self::network::{Network, SERVER};
use crate::{interrupt, setup, words};

/// Compressed bytes between two checkpoints: what may come again after a kill.
const INTERVAL: u64 = 8 << 20;
/// Manifests, heads of answers, and segments that came twice because their receipt was lost.
const SLACK: u64 = 96 << 10;
/// What a killed process had received and not looked at, and what came while its checkpoint was made durable.
const UNDER_WAY: u64 = 1 << 20;
/// After so long a row is given up.
const PATIENCE: Duration = Duration::from_secs(400);

/// What happens in the middle of the layer.
#[derive(Clone, Copy, Debug)]
enum Event {
    Nothing,
    /// The link is down for so many seconds.
    Cut(u64),
    /// Packets vanish for so many seconds.
    Swallowed(u64),
    /// The puller is killed, and another one started.
    Killed,
}

struct Row {
    name: &'static str,
    mbit: u32,
    loss_percent: u32,
    mib: usize,
    event: Event,
}

const fn row(name: &'static str, mbit: u32, loss_percent: u32, mib: usize, event: Event) -> Row {
    Row { name, mbit, loss_percent, mib, event }
}

const FULL: &[Row] = &[
    row("20 Mbit/s", 20, 0, 24, Event::Nothing),
    row("2 Mbit/s, 3 % loss", 2, 3, 4, Event::Nothing),
    row("2 Mbit/s, 3 % loss, down for 60 s", 2, 3, 4, Event::Cut(60)),
    row("20 Mbit/s, packets vanish for 45 s", 20, 0, 16, Event::Swallowed(45)),
    row("20 Mbit/s, killed", 20, 0, 48, Event::Killed),
    row("20 Mbit/s, 3 % loss, killed", 20, 3, 16, Event::Killed),
];

const SHORT: &[Row] = &[
    row("20 Mbit/s, 3 % loss, down for 5 s", 20, 3, 4, Event::Cut(5)),
    row("20 Mbit/s, killed", 20, 0, 16, Event::Killed),
];

/// What a pull came to.
struct Pulled {
    arrived: u64,
    layer: u64,
    refetched: u64,
    seconds: f64,
}

/// Runs every row.
pub fn command(given: &[String]) -> io::Result<()> {
    words::only(given, &[], &["--short"])?;
    let rows = if given.is_empty() { FULL } else { SHORT };
    setup::for_tests()?;
    let exe = setup::agent()?;
    interrupt::watch()?;
    let registry = Registry::start()?;
    let began = Instant::now();
    let mut good = 0;
    let mut bad = None;
    for row in rows {
        interrupt::check()?;
        match pull(row, &registry, &exe).and_then(|pulled| judge(row, &pulled)) {
            Ok(()) => good += 1,
            Err(error) => {
                println!("links: {}: BAD: {error}", row.name);
                bad = Some(error);
            }
        }
    }
    let seconds = began.elapsed().as_secs();
    println!("links: {} rows, {good} good, {} bad, in {seconds} s", rows.len(), rows.len() - good);
    bad.map_or(Ok(()), |_| Err(io::Error::other("a link was too much")))
}

fn judge(row: &Row, pulled: &Pulled) -> io::Result<()> {
    let Pulled { arrived, layer, refetched, seconds } = *pulled;
    let ratio = arrived as f64 / layer as f64;
    let (bound, words) = match row.event {
        Event::Killed => {
            ((layer / 10).max(INTERVAL + UNDER_WAY) + SLACK, "1.10, or one interval of 8 MiB again")
        }
        Event::Nothing | Event::Cut(_) | Event::Swallowed(_) => (layer / 20, "1.05"),
    };
    println!(
        "links: {}: {arrived} bytes on the wire for a layer of {layer}, ratio {ratio:.3} (bound: {words}), {refetched} \
         told as fetched twice, {seconds:.1} s",
        row.name
    );
    if arrived > layer + bound {
        return Err(io::Error::other(format!("{} bytes too many", arrived - layer - bound)));
    }
    let told = layer + refetched;
    let doubt = if matches!(row.event, Event::Killed) { UNDER_WAY } else { 0 } + SLACK + layer / 50;
    if arrived.abs_diff(told) > doubt {
        return Err(io::Error::other(format!("the pull itself tells of {told} bytes")));
    }
    Ok(())
}

/// One pull over a link of its own.
fn pull(row: &Row, registry: &Registry, exe: &std::path::Path) -> io::Result<Pulled> {
    let image = format!("links-{}", row.mib);
    let layer = Layer::pack(&files(row.mib)?, Packing::Gzip)?;
    let size = layer.bytes.len() as u64;
    Image::new(Arch::Amd64, vec![layer], &["none"]).push(&registry.host(), &image, Some("1"), Form::Oci)?;
    let network = Network::new()?;
    network.shape(row.mbit, row.loss_percent)?;
    let host = format!("{SERVER}:5000");
    let wrapper = network.at_server();
    let mut server = registry.again_under(&wrapper.each_ref().map(String::as_str), &host)?;
    let mut settings = Settings::new("links");
    settings.insecure = vec![host.clone()];
    let board = Board::new(exe, &settings)?;
    let reference = format!("{host}/{image}:1");
    answers(&network, &host)?;
    let before = network.arrived()?;
    let began = Instant::now();
    let mut puller = Puller::start(&network, &board, &reference)?;
    let half = size / 2 + size / 5;
    match row.event {
        Event::Nothing => {}
        Event::Cut(seconds) => {
            puller.until(|| Ok(network.arrived()? - before >= half))?;
            network.carry(false)?;
            puller.during(Duration::from_secs(seconds))?;
            network.carry(true)?;
        }
        Event::Swallowed(seconds) => {
            puller.until(|| Ok(network.arrived()? - before >= half))?;
            network.swallow(true)?;
            puller.during(Duration::from_secs(seconds))?;
            network.swallow(false)?;
        }
        Event::Killed => {
            puller.until(|| Ok(network.arrived()? - before >= half))?;
            puller.child.kill()?;
            puller.child.wait()?;
            puller = Puller::start(&network, &board, &reference)?;
        }
    }
    let told = puller.end()?;
    let seconds = began.elapsed().as_secs_f64();
    let arrived = network.arrived()? - before;
    server.stop(Duration::from_secs(5))?;
    let number = |name: &str| told["transfer"][name].as_u64().unwrap_or_default();
    if number("layerBytes") != size {
        return Err(io::Error::other(format!("the pull tells of another layer: {told}")));
    }
    Ok(Pulled { arrived, layer: size, refetched: number("refetchedBytes"), seconds })
}

/// An archive that hardly compresses, so that the layer is as large on the wire as here.
fn files(mib: usize) -> io::Result<Vec<u8>> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64 ^ mib as u64;
    let mut noise = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut archive = tar::Builder::new(Vec::new());
    for n in 0..mib * 4 {
        let content: Vec<u8> = std::iter::repeat_with(&mut noise).take((256 << 10) / 8).flatten().collect();
        add_file(&mut archive, &format!("data-{n}"), 0o644, &content)?;
    }
    archive.into_inner()
}

/// Waits until the server at the other end of the link answers.
fn answers(network: &Network, host: &str) -> io::Result<()> {
    let [program, place] = network.at_board();
    let began = Instant::now();
    let script = format!("exec 3<>/dev/tcp/{}", host.replace(':', "/"));
    while !Command::new(&program)
        .arg(&place)
        .args(["bash", "-c", &script])
        .stderr(Stdio::null())
        .status()?
        .success()
    {
        interrupt::check()?;
        if began.elapsed() > Duration::from_secs(30) {
            return Err(io::Error::other("the registry does not answer over the link"));
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// A `coracle pull` at the board's end; ended when dropped.
struct Puller {
    child: Child,
    began: Instant,
}

impl Puller {
    fn start(network: &Network, board: &Board, reference: &str) -> io::Result<Self> {
        let inner = board.command(&["pull", "--json", reference]);
        let [program, place] = network.at_board();
        let mut command = Command::new(program);
        command.arg(place).arg(inner.get_program()).args(inner.get_args());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        Ok(Self { child, began: Instant::now() })
    }

    /// Waits for something while it pulls.
    fn until(&mut self, mut seen: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
        while !seen()? {
            self.check()?;
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn during(&mut self, time: Duration) -> io::Result<()> {
        let began = Instant::now();
        self.until(|| Ok(began.elapsed() >= time))
    }

    fn check(&mut self) -> io::Result<()> {
        interrupt::check()?;
        if let Some(status) = self.child.try_wait()? {
            let mut said = String::new();
            if let Some(stderr) = &mut self.child.stderr {
                io::Read::read_to_string(stderr, &mut said)?;
            }
            return Err(io::Error::other(format!("the pull ended too early with {status}: {said}")));
        }
        if self.began.elapsed() > PATIENCE {
            return Err(io::Error::other("the pull takes too long"));
        }
        Ok(())
    }

    /// What it says in the end.
    fn end(&mut self) -> io::Result<Value> {
        let mut status = None;
        while status.is_none() {
            interrupt::check()?;
            status = self.child.try_wait()?;
            if status.is_none() && self.began.elapsed() > PATIENCE {
                return Err(io::Error::other("the pull takes too long"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        let (mut told, mut said) = (String::new(), String::new());
        if let (Some(stdout), Some(stderr)) = (&mut self.child.stdout, &mut self.child.stderr) {
            io::Read::read_to_string(stdout, &mut told)?;
            io::Read::read_to_string(stderr, &mut said)?;
        }
        serde_json::from_str(&told).map_err(|_| io::Error::other(format!("the pull failed: {said}")))
    }
}

impl Drop for Puller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
