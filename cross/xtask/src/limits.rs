//! `limits`: an update within the agent's bound of memory, on a board whose kernel keeps to it: control groups of version
//! 2 with all controllers, and flash that writes slower than layers come.
//!
//! Files on their way to the disk count as the memory of whoever wrote them. The bound is that of `coracle_agent.slice`:
//! it must be met, or nothing is tried, and no process may be ended for it.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use coracle_test_support::emulated::{Boot, Clock, HOST, Machine, Scarce, Syncs, Writes, disk, kernel, pack};
use coracle_test_support::images::{Arch, Form, Image, Layer, Packing};
use coracle_test_support::registry::Registry;
use coracle_test_support::scratch::TempDir;
use serde_json::json;

use crate::broker::{Broker, ROOT};
use crate::desired::Desired;
use crate::emulated::Chance;
use crate::{interrupt, setup, words};

const DEVICE: &str = "scarce";
const SLICE: &str = "systemd/usr/lib/systemd/system/coracle_agent.slice";
/// What a slow card writes.
const WRITES_PER_S: u64 = 8 << 20;
/// MiB of each of the two large layers, where it is not said.
const MIB: u64 = 80;
/// Small files of the third.
const FILES: usize = 4000;
/// For a machine without hardware help, whose disk is slow by design.
const PATIENCE: Duration = Duration::from_secs(300);
/// The kernel goes above a bound by a part of it, for what it cannot refuse (cgroup-v2.rst, `memory.max`).
const OVER: u64 = 8;
/// MiB of the state disk beside twice the layers: the agent takes them to be larger than they are.
const ROOM_MIB: u64 = 512;

/// Updates a board, and holds what its kernel counted against the bound.
pub fn command(given: &[String]) -> io::Result<()> {
    words::only(given, &["--mib", "--bound"], &[])?;
    setup::for_boards()?;
    interrupt::watch()?;
    let mib = words::number(given, "--mib", MIB)?;
    let bound = words::number(given, "--bound", bound()?)?;
    let (broker, registry, dir) = (Broker::start()?, Registry::start()?, TempDir::new("limits"));
    let reached = |address: &str| address.replace("127.0.0.1", HOST);
    let config = format!(
        "device_id = {DEVICE:?}\ndefault_network = \"host\"\n[trust]\nunsigned = true\n[broker]\nurl = {:?}\n\
         first_connect_splay_seconds = 0\n[registry]\ninsecure = [{:?}]\n",
        reached(&broker.url()),
        reached(&registry.host()),
    );
    let (kernel, ramdisk, console) = (kernel(Arch::Amd64)?, dir.join("ramdisk"), dir.join("console"));
    pack(&kernel, &setup::agent()?, &config, Syncs::Kept, &ramdisk)?;
    let state = disk(dir.join("state.img"), 4 * mib + ROOM_MIB)?;
    let image = image(mib)?;
    let pushed = image.push(&registry.host(), "large", Some("1"), Form::Oci)?;
    let image = format!("{}/large:1@{}", reached(&registry.host()), pushed.digest);

    let (watch, mut operator) =
        (broker.watch(DEVICE)?, broker.publisher(&format!("{ROOT}/d/{DEVICE}/desired"))?);
    let scarce = Scarce { memory: Some(bound), writes: Some(WRITES_PER_S) };
    let boot = Boot {
        kernel: &kernel,
        ramdisk: &ramdisk,
        state: &state,
        writes: Writes::Unnoted,
        clock: Clock::Right,
        scarce,
        port: None,
        console: &console,
    };
    let mut board = Machine::boot(&boot)?;
    let began = Instant::now();
    let projects = json!({"site": {"services": {"large": {"image": image, "restart": "always"}}}});
    let desired = Desired { device: DEVICE, generation: 1, projects };
    operator.send(&desired.envelope_under(&json!({"health": 60, "soak": 1})))?;
    let updated = watch.until("a large update", PATIENCE, |said| {
        let state = &said.payload;
        let ours = said.kind == "state" && state["desired"]["gen"] == 1;
        let status = state["deployment"]["status"].as_str().filter(|_| ours)?;
        match status {
            "SUCCEEDED" => Some(Ok(())),
            "FAILED" | "REJECTED" | "ROLLED_BACK" => {
                Some(Err(io::Error::other(state["deployment"].to_string())))
            }
            _ => None,
        }
    });
    let updated = updated.flatten();
    let seconds = began.elapsed().as_secs_f32();
    let said = board.console();
    board.cut()?;
    if let Err(error) = updated {
        let tail = said.lines().rev().take(30).collect::<Vec<_>>();
        return Err(io::Error::other(format!(
            "{error}\n--- console ---\n{}",
            tail.into_iter().rev().collect::<Vec<_>>().join("\n")
        )));
    }
    judge(&said, bound, mib, seconds)
}

fn judge(said: &str, bound: u64, mib: u64, seconds: f32) -> io::Result<()> {
    let told =
        said.lines().rev().find(|line| line.contains("board: memory peak") && line.contains("oom_kill"));
    let told = told.ok_or_else(|| io::Error::other("the board never told of its memory"))?;
    let (peak, met, ended) = (figure(told, "peak")?, figure(told, "max")?, figure(told, "oom_kill")?);
    let mut bad = Vec::new();
    if ended > 0 || said.contains("the agent ended") {
        bad.push(format!("the agent was ended: {ended} times for its memory"));
    }
    if peak > bound + bound / OVER {
        bad.push(format!("{peak} bytes are far above the bound"));
    }
    if met == 0 {
        bad.push("the bound was never met, so nothing was tried".to_owned());
    }
    println!(
        "limits: {} MiB in {} layers and {FILES} files updated in {seconds:.0} s at {} MiB/s, peak {:.1} of {:.1} MiB, bound met \
         {met} times, {ended} ended, {} bad",
        2 * mib,
        3,
        WRITES_PER_S >> 20,
        mebi(peak),
        mebi(bound),
        bad.len()
    );
    if bad.is_empty() { Ok(()) } else { Err(io::Error::other(bad.join("; "))) }
}

#[expect(clippy::cast_precision_loss, reason = "tenths of MiB for people")]
fn mebi(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The number after a word.
fn figure(line: &str, name: &str) -> io::Result<u64> {
    let mut parts = line.split_whitespace().skip_while(|word| *word != name);
    let number = parts.nth(1).and_then(|number| number.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("no {name} in {line:?}")))
}

/// The hard bound of the agent's slice.
fn bound() -> io::Result<u64> {
    let slice = fs::read_to_string(setup::root()?.join(SLICE))?;
    let mib = slice
        .lines()
        .find_map(|line| line.strip_prefix("MemoryMax=")?.strip_suffix('M')?.parse::<u64>().ok());
    mib.map(|mib| mib << 20).ok_or_else(|| io::Error::other(format!("no MemoryMax= in MiB in {SLICE}")))
}

/// Two large layers that no compressor makes smaller, and one of many small files.
fn image(mib: u64) -> io::Result<Image> {
    let mut image = Image::busybox(Arch::Amd64, &["sh", "-c", "trap 'exit 0' TERM; sleep 100000 & wait"])?;
    let words = usize::try_from(mib << 17).map_err(io::Error::other)?;
    for seed in [1, 2] {
        let mut chance = Chance(seed | 1 << 40);
        let noise: Vec<u8> = (0..words).flat_map(|_| chance.next().to_le_bytes()).collect();
        image.layers.push(Layer::of_file(&format!("large-{seed}"), 0o644, &noise, Packing::Gzip)?);
    }
    let mut archive = tar::Builder::new(Vec::new());
    for number in 0..FILES {
        let text = format!("file {number}\n").repeat(80);
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, format!("small/{}/{number}", number % 64), text.as_bytes())?;
    }
    image.layers.push(Layer::pack(&archive.into_inner()?, Packing::Gzip)?);
    Ok(image)
}
