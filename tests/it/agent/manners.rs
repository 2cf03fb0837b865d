//! Updates give way to what runs on the board, and go on all the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::bench::{Bench, PATIENCE, broker, exe, idle};
use super::document::{Desired, site};
use super::link::big;
use coracle_test_support::agent::{Board, Settings};
use coracle_test_support::faults::FaultRegistry;
use coracle_test_support::images::{Arch, Image};
use coracle_test_support::process::eventually;
use coracle_test_support::scratch::TempDir;

/// Bytes a second over the link: a pull then takes some seconds, whatever the machine.
const SPEED: &str = "4000000";
/// Bytes that a process writes between two looks when it unpacks; what it notes beside that is less.
const UNPACKING: u64 = 4096;
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(2);

/// When the workloads of a board wait for the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    Never,
    /// For themselves, whatever an update does.
    Always,
    /// While somebody else writes.
    Then,
}

/// The files that the kernel keeps for a control group, by which its processes wait as they are told to.
struct Group {
    dir: Arc<TempDir>,
    life: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Group {
    fn new() -> Self {
        let dir = Arc::new(TempDir::new("group"));
        tell(&dir, 0);
        Self { dir, life: None }
    }

    fn path(&self) -> &Path {
        &self.dir
    }

    /// Its processes wait so while process `pid` unpacks.
    fn live(&mut self, waits: Waits, pid: u32) {
        let dir = Arc::clone(&self.dir);
        let (end, ended) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let (mut last, mut wrote, mut total) = (Instant::now(), written(pid), 0_u64);
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                let (elapsed, now) = (last.elapsed(), written(pid));
                last = Instant::now();
                let unpacks = now.saturating_sub(wrote) >= UNPACKING;
                wrote = now;
                if waits == Waits::Always || (waits == Waits::Then && unpacks) {
                    // More than the time that went by, so that a busy machine, where this comes late, makes no difference.
                    total += u64::try_from(elapsed.as_micros()).unwrap() * 20;
                }
                tell(&dir, total);
            }
        });
        self.life = Some((end, thread));
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.life.take() {
            drop(end);
            thread.join().unwrap();
        }
    }
}

fn tell(dir: &Path, total: u64) {
    let text = format!(
        "some avg10=0.00 avg60=0.00 avg300=0.00 total={total}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    );
    fs::write(dir.join("new"), text).unwrap();
    fs::rename(dir.join("new"), dir.join("io.pressure")).unwrap();
}

/// Bytes that a process wrote so far: proc(5), io.
fn written(pid: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    io.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse().ok()).unwrap_or(0)
}

/// A board on which the waits of `group` count.
fn settings(registry: &FaultRegistry, group: &Path, least: u32) -> Settings {
    let mut settings = Settings::new("manners");
    settings.insecure = vec![registry.host()];
    let group = group.display();
    settings.tables += &format!("[pace]\nleast_percent = {least}\ngroups = [\"{group}\"]\n");
    settings
}

/// Pulls beside a group that waits so: milliseconds that the pull was held up for, and what it said to a person.
fn pull(waits: Waits, least: u32, words: &[&str]) -> (u64, String) {
    let registry = FaultRegistry::start();
    registry.put_image("big", "1", &Image::new(Arch::Amd64, vec![big()], &["none"]));
    let mut group = Group::new();
    let board = Board::new(exe(), &settings(&registry, group.path(), least)).unwrap();
    let reference = registry.reference("big:1");
    let words = [&["pull", "--max-bps", SPEED], words, &[&reference]].concat();
    let pull = board.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    group.live(waits, pull.id());
    let output = pull.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert_eq!(fs::read_dir(layers(&board)).unwrap().count(), 1);
    let told: Result<Value, _> = serde_json::from_slice(&output.stdout);
    let rested = told.ok().and_then(|told| told["transfer"]["restedMs"].as_u64());
    (rested.unwrap_or(u64::MAX), said)
}

fn layers(board: &Board) -> PathBuf {
    board.state_dir().join("layers")
}

#[test]
fn a_pull_is_slow_while_workloads_wait_because_of_it_and_ends_all_the_same() {
    let (rested, _) = pull(Waits::Then, 10, &["--json"]);
    assert!((1000..u64::MAX).contains(&rested), "{rested}");
}

#[test]
fn a_person_is_told_why_a_pull_is_slow() {
    let (_, said) = pull(Waits::Then, 10, &[]);
    assert!(said.contains("slowed: workloads wait for the disk\n"), "{said}");
    assert!(said.contains("; held up for "), "{said}");
}

#[test]
fn a_pull_is_not_held_up_where_nobody_waits_or_nobody_shall_matter() {
    for (waits, least, words) in [
        (Waits::Never, 10, &["--json"][..]),
        (Waits::Then, 100, &["--json"]),
        (Waits::Then, 10, &["--json", "--full-speed"]),
    ] {
        let (rested, said) = pull(waits, least, words);
        assert_eq!(rested, 0, "{least} {words:?}: {said}");
    }
}

#[test]
fn a_pull_is_not_slowed_for_workloads_that_wait_for_themselves() {
    let (_, said) = pull(Waits::Always, 10, &[]);
    assert!(!said.contains("slowed"), "{said}");
}

#[test]
fn why_an_update_is_slow_can_be_asked_and_it_comes_to_its_end() {
    let (broker, registry, mut group) = (broker(), FaultRegistry::start(), Group::new());
    let mut image = idle("big");
    image.layers.push(big());
    registry.put_image("big", "1", &image);
    let mut settings = settings(&registry, group.path(), 10);
    settings.broker = Some(broker.url());
    let mut bench = Bench::with(&broker, settings);
    let pid = bench.board.start().unwrap().pid();
    bench.until_up();
    group.live(Waits::Then, pid);
    let policy = json!({"download": {"maxBps": SPEED.parse::<u64>().unwrap()}});
    Desired::new("manners", 1, site(&registry.reference("big:1"))).policy(&policy).send(&broker);
    eventually(PATIENCE, || {
        let why = bench.ask(&["why"]);
        if why.contains("of full speed, because workloads wait for the disk") { Ok(()) } else { Err(why) }
    });
    eventually(PATIENCE, || {
        let status = bench.ask(&["status"]);
        if status.contains(" %: workloads wait for the disk\n") { Ok(()) } else { Err(status) }
    });
    eventually(PATIENCE, || {
        let status: Value = serde_json::from_str(&bench.ask(&["status", "--json"])).unwrap();
        if status["slowed"]["resource"] == "disk" { Ok(()) } else { Err(status.to_string()) }
    });
    bench.until_state(1, "SUCCEEDED");
    let why = bench.ask(&["why"]);
    assert!(!why.contains("full speed"), "{why}");
    let status = bench.ask(&["status"]);
    assert!(!status.contains("workloads wait"), "{status}");
    let log = bench.board.agent().unwrap().output();
    assert_eq!(log.matches("the update is fetched slower, because workloads wait").count(), 1, "{log}");
}
