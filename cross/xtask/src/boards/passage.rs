//! One board's way through all generations, and what it came to.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coracle_test_support::boards::{Board, Forward, Machine};
use coracle_test_support::images::Arch;
use coracle_test_support::process::free_port;
use serde_json::{Value, json};

use super::row::{Leg, Row};
use super::scene::{Nature, PORT, Scene, answer};
use crate::broker::{Message, Watch};
use crate::emulated::call;
use crate::interrupt;

/// For everything that takes seconds in a machine without hardware help, on a loaded host.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often a condition is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Lines of the console that an error has.
const TAIL: usize = 30;

/// A board on its way.
pub struct Passage {
    machine: Option<Machine>,
    pub(super) board: Arc<Board>,
    arch: Arch,
    /// The port of this machine's that leads to the board's workload.
    pub(super) port: u16,
    /// The connection, the start and the restarts of the workload, as the board last said them.
    pub(super) unmoved: Value,
    watch: Watch,
    cut_at: &'static str,
    /// What it came to so far.
    pub row: Row,
}

impl Passage {
    /// A board of the fleet, which is off.
    pub fn make(scene: &Scene, arch: Arch, package: &Path, cut_at: &'static str) -> io::Result<Self> {
        let dir = scene.folder(arch);
        let files = dir.join("files");
        scene.provision(arch, &files)?;
        let board = Arc::new(Board::make(arch, package, &[files], dir)?);
        let row = Row {
            name: arch.oci(),
            platform: String::new(),
            manifest: String::new(),
            index: String::new(),
            boot: 0.0,
            legs: Vec::new(),
            notes: Vec::new(),
            cut: None,
            trouble: None,
        };
        Ok(Self {
            machine: None,
            board,
            arch,
            port: free_port(),
            unmoved: Value::Null,
            watch: scene.watch(arch)?,
            cut_at,
            row,
        })
    }

    /// Switches it on and waits until all of it runs; hands back the seconds that took.
    fn boot(&mut self) -> io::Result<f32> {
        let mut machine = self.board.boot(&[Forward { from: self.port, to: PORT }])?;
        let told = machine.until_told(interrupt::check)?;
        let seconds = machine.boot().seconds();
        self.machine = Some(machine);
        if told.is_running() {
            return Ok(seconds);
        }
        Err(self.with_words(&io::Error::other(format!("{told:?}"))))
    }

    /// The first boot.
    pub fn switch_on(&mut self) -> io::Result<()> {
        self.row.boot = self.boot()?;
        self.row.platform = self.until("birth", |said| {
            let born = said.kind == "state" && said.payload["schema"] == "state/v1";
            born.then(|| said.payload["agent"]["platform"].as_str().unwrap_or_default().to_owned())
        })?;
        let wanted = self.arch.platform();
        // What its processor can do beyond that may be said too: `linux/amd64/v3`.
        if self.row.platform.starts_with(&wanted) {
            return Ok(());
        }
        Err(io::Error::other(format!("it says that it is {:?}, and is {wanted}", self.row.platform)))
    }

    /// Waits until the board has confirmed `generation`, and it answers.
    pub fn follow(&mut self, scene: &Scene, generation: u64) -> io::Result<()> {
        let began = Instant::now();
        let state = self.until_settled(generation)?;
        let seconds = began.elapsed().as_secs_f32();
        self.row.legs.push(Leg { generation, nature: Nature::Good, seconds, why: None });
        self.expect(&state, "SUCCEEDED", scene, generation)?;
        self.until_answered(&[generation]).map(drop)
    }

    /// Waits until the board has given up `bad`, for the reason that its nature is, and is back on `good`.
    pub fn go_back(&mut self, scene: &Scene, bad: u64, nature: Nature, good: u64) -> io::Result<()> {
        let began = Instant::now();
        let state = self.until_settled(bad)?;
        let error = &state["deployment"]["error"];
        let told = |key: &str| error[key].as_str().unwrap_or_default();
        let why = format!("{}: {}", told("code"), told("message"));
        let expected = nature.faults();
        if !expected.iter().any(|part| why.contains(part)) {
            let wanted = format!("wanted an error with one of {expected:?}; it says {state}");
            return Err(self.with_words(&io::Error::other(wanted)));
        }
        let seconds = began.elapsed().as_secs_f32();
        self.row.legs.push(Leg { generation: bad, nature, seconds, why: Some(why) });
        let known = state["bad"].as_array().into_iter().flatten().any(|entry| entry["gen"] == bad);
        if !known {
            return Err(io::Error::other(format!(
                "it does not remember that {bad} is bad: {}",
                state["bad"]
            )));
        }
        self.expect(&state, "ROLLED_BACK", scene, good)?;
        self.until_answered(&[good]).map(drop)
    }

    /// Cuts the board's power in the middle of the update to `new`, switches it on again, and waits until the update
    /// is done; what answers first has to be the one before or the new one.
    pub fn lose_power(&mut self, scene: &Scene, new: u64, before: u64) -> io::Result<()> {
        let wanted = self.cut_at;
        self.until(wanted, |said| {
            let ours = said.kind == "event" && said.payload["desired"]["gen"] == new;
            (ours && said.payload["to"] == wanted).then_some(())
        })?;
        if let Some(mut machine) = self.machine.take() {
            machine.cut()?;
        }
        let began = Instant::now();
        let seconds = self.boot()?;
        let first = self.until_answered(&[before, new])?;
        let state = self.until_settled(new)?;
        self.expect(&state, "SUCCEEDED", scene, new)?;
        self.until_answered(&[new])?;
        let done = began.elapsed().as_secs_f32();
        self.row.cut = Some(format!(
            "at {wanted}: running after {seconds:.1} s, with generation {first}; {new} is confirmed after {done:.1} s"
        ));
        Ok(())
    }

    /// Whether the board says `status`, and that it runs this generation's image by the one index.
    fn expect(&mut self, state: &Value, status: &str, scene: &Scene, generation: u64) -> io::Result<()> {
        let service = &state["running"]["projects"]["site"]["services"]["web"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.unmoved = json!([state["sid"], service["since"], service["restarts"]]);
        (self.row.manifest, self.row.index) = (text(&service["manifest"]), text(&service["image"]));
        let said = (text(&state["deployment"]["status"]), state["running"]["gen"].as_u64());
        // A board that was confirmed before it lost its power has nothing to do when it is back.
        let done = said.0 == status || (said.0 == "IDLE" && status == "SUCCEEDED");
        let index = scene.index(generation).unwrap_or_default();
        if done && said.1 == Some(generation) && self.row.index == index && self.row.manifest != index {
            return Ok(());
        }
        let wanted = format!("wanted {status} with generation {generation} of {index}");
        Err(self.with_words(&io::Error::other(format!("{wanted}; it says {state}"))))
    }

    /// Waits for the end of the passage of `generation`, in whichever way; hands back the board's state then.
    pub(super) fn until_settled(&self, generation: u64) -> io::Result<Value> {
        const ENDS: [&str; 7] =
            ["SUCCEEDED", "IDLE", "ROLLED_BACK", "FAILED", "BROKEN", "REJECTED", "PAUSED"];
        self.until(&format!("end of generation {generation}"), |said| {
            let ours = said.kind == "state" && said.payload["desired"]["gen"] == generation;
            let status = said.payload["deployment"]["status"].as_str().unwrap_or_default();
            (ours && ENDS.contains(&status)).then(|| said.payload.clone())
        })
    }

    fn until<T>(&self, what: &str, wanted: impl FnMut(&Message) -> Option<T>) -> io::Result<T> {
        self.watch.until(what, PATIENCE, wanted).map_err(|error| self.with_words(&error))
    }

    /// Waits until the workload answers with the text of one of `generations`; hands back which.
    fn until_answered(&self, generations: &[u64]) -> io::Result<u64> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            interrupt::check()?;
            let said = call(self.port, Duration::from_secs(10)).unwrap_or_default();
            let found = generations.iter().find(|number| said.ends_with(&answer(**number, self.arch)));
            if let Some(generation) = found {
                return Ok(*generation);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Err(self.with_words(&io::Error::other(format!("none of the generations {generations:?} answers"))))
    }

    /// An error with the last words on the board's console.
    pub(super) fn with_words(&self, error: &io::Error) -> io::Error {
        let said = self.board.said();
        let tail = said.lines().rev().take(TAIL).collect::<Vec<_>>();
        let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
        io::Error::other(format!("{error}\n--- console of {} ---\n{tail}\n---", self.row.name))
    }

    /// Switches the board off for good; hands back what it came to. Where that is a wrong end, its console is kept.
    pub fn end(mut self) -> Row {
        if self.row.trouble.is_some() {
            let kept = std::env::temp_dir().join(format!("coracle-board-{}.log", self.row.name));
            if fs::copy(self.board.console(), &kept).is_ok() {
                println!("the console of {} is kept in {}", self.row.name, kept.display());
            }
        }
        if let Some(Err(error)) = self.machine.take().map(|mut machine| machine.cut()) {
            println!("{} could not be switched off: {error}", self.row.name);
        }
        self.row
    }
}
