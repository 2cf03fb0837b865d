//! What an update does to the product beside it: a workload's latency alone, while the agent pulls an image, and while
//! podman pulls the same one, in turn, each on a fresh disk that workload and puller share.
//!
//! A request is due at a fixed time whether the one before was answered or not, and its latency counts from then: a
//! product that stands still for a second is slow for all who came in that second.

mod board;
mod client;
mod groups;
mod latency;
mod product;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coracle_test_support::registry::Registry;

pub use latency::meter;
pub use product::serve;

use crate::bench::report::{Report, median};
use crate::bench::{Contender, Disk, Ours, Podman, image};
use crate::build::mib;
use crate::{build, interrupt, setup, words};
use client::Client;
use groups::Group;
use latency::Latency;
use product::Product;

/// How often each of the three is measured.
const ROUNDS: u64 = 5;
/// Requests a second.
const RATE: u64 = 50;
/// How long the product is measured alone.
const ALONE: Duration = Duration::from_secs(10);
/// How long it is measured after a pull: what was written goes to the disk then, at the latest.
const AFTER: Duration = Duration::from_secs(5);
/// What the agent's slice may have of the memory, as the unit has it.
const MEMORY_MAX: u64 = 64 << 20;

const PARTS: [&str; 3] = ["alone", "coracle", "podman"];
/// Requests a second on a board, where nothing but an emulator runs it.
const RATE_OF_BOARD: u64 = 20;
const ROUNDS_OF_BOARD: u64 = 3;

/// `manners [--board [--package FILE]] [--json] [--rounds N] [--rate N] [--exe FILE]`.
pub fn command(given: &[String]) -> io::Result<()> {
    words::only(given, &["--rounds", "--rate", "--exe", "--package"], &["--json", "--board"])?;
    let on_board = given.iter().any(|word| word == "--board");
    let (rounds, rate) = if on_board { (ROUNDS_OF_BOARD, RATE_OF_BOARD) } else { (ROUNDS, RATE) };
    let rounds = words::number(given, "--rounds", rounds)?.max(1);
    let rate = words::number(given, "--rate", rate)?.max(1);
    setup::for_tests()?;
    setup::for_bench()?;
    let measured = if on_board {
        board::measure(rounds, rate, words::text(given, "--package").map(Path::new))?
    } else {
        here(rounds, rate, words::text(given, "--exe").map(PathBuf::from))?
    };
    measured.tell(given.iter().any(|word| word == "--json"))
}

/// On this machine.
fn here(rounds: u64, rate: u64, exe: Option<PathBuf>) -> io::Result<Measured> {
    let exe = exe.map_or_else(|| build::release(build::AMD64), Ok)?;
    interrupt::watch()?;
    let registry = Registry::start()?;
    eprintln!("making the image");
    let sample = image::publish(&registry.host(), image::LAYERS)?;
    let mut runs = vec![Vec::new(); PARTS.len()];
    for round in 0..rounds {
        for turn in 0..PARTS.len() {
            interrupt::check()?;
            // Whoever comes first is another one each time.
            let part = (turn + usize::try_from(round).unwrap_or_default()) % PARTS.len();
            let name = PARTS.get(part).copied().unwrap_or_default();
            let run = measure(name, &exe, (&registry.host(), &sample.name), rate)?;
            let (Latency { p50, p99, max, .. }, pull_s) = (run.latency, run.pull_s);
            eprintln!(
                "{} of {rounds}: {name}: p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms; pulled in {pull_s:.1} s",
                round + 1
            );
            runs.get_mut(part).into_iter().for_each(|runs: &mut Vec<Run>| runs.push(run));
        }
    }
    Ok(Measured { parts: &PARTS, runs, unpacked: mib(sample.unpacked) })
}

/// The end of a figure's name, the figure, and what it is in words.
type Figure = (&'static str, fn(&Run) -> f64, &'static str);

/// One measurement.
#[derive(Clone, Copy)]
struct Run {
    latency: Latency,
    /// Seconds; none where nothing was pulled.
    pull_s: f64,
    /// None where it was not looked at.
    peak_mib: f64,
}

/// All of them, by part.
struct Measured {
    parts: &'static [&'static str],
    runs: Vec<Vec<Run>>,
    unpacked: f64,
}

fn measure(name: &str, exe: &Path, (host, image): (&str, &str), rate: u64) -> io::Result<Run> {
    let disk = Disk::new()?;
    let group = Group::of_product()?;
    let product = Product::start(&disk.path(), &group)?;
    let bounded = Group::bounded(MEMORY_MAX)?;
    let contender: Option<Box<dyn Contender>> = match name {
        "coracle" => {
            let tables = format!("[pace]\ngroups = [\"{}\"]\n", group.path().display());
            Some(Box::new(Ours { exe: exe.into(), tables, group: Some(bounded.path().into()) }))
        }
        "podman" => Some(Box::new(Podman)),
        _ => None,
    };
    let client = Client::start(product.port(), rate)?;
    let usage = match &contender {
        None => {
            pause(ALONE)?;
            None
        }
        Some(contender) => {
            let usage = contender.pull(&disk.path(), host, image)?;
            pause(AFTER)?;
            Some(usage)
        }
    };
    Ok(Run {
        latency: Latency::of(client.stop()?),
        pull_s: usage.map_or(0.0, |usage| usage.wall.as_secs_f64()),
        peak_mib: usage.map_or(0.0, |usage| mib(usage.peak_kib * 1024)),
    })
}

/// Waits in small pieces, for an interruption ends it.
fn pause(length: Duration) -> io::Result<()> {
    let began = std::time::Instant::now();
    while began.elapsed() < length {
        interrupt::check()?;
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

impl Measured {
    fn tell(&self, json: bool) -> io::Result<()> {
        let mut report = Report::default();
        report.add(
            "manners.image_unpacked_mib",
            self.unpacked,
            "the image that is pulled, all layers as archives",
        );
        let mut p99 = Vec::new();
        for (name, runs) in self.parts.iter().zip(&self.runs) {
            let of = |figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
            p99.push(format!("{name} {:.1} ms", of(|run| run.latency.p99)));
            let figures: [Figure; 4] = [
                ("p50_ms", |run| run.latency.p50, "the median latency of the workload's requests"),
                ("p99_ms", |run| run.latency.p99, "one request in a hundred takes longer"),
                ("p999_ms", |run| run.latency.p999, "one in a thousand"),
                ("max_ms", |run| run.latency.max, "the slowest request of a round"),
            ];
            for (figure, value, meaning) in figures {
                report.add(&format!("manners.{name}.{figure}"), of(value), meaning);
            }
            if *name != "alone" {
                report.add(&format!("manners.{name}.pull_s"), of(|run| run.pull_s), "until the pull returns");
            }
            let peak = of(|run| run.peak_mib);
            if peak > 0.0 {
                report.add(&format!("manners.{name}.peak_mib"), peak, "most resident at once");
            }
        }
        report.print(json);
        let requests = self.runs.iter().flatten().map(|run| run.latency.requests).sum::<usize>();
        let rounds = self.runs.iter().map(Vec::len).min().unwrap_or_default();
        eprintln!("manners: p99 {}; {rounds} rounds, {requests} requests, all answered", p99.join(", "));
        Ok(())
    }
}
