//! What these tests stand on: a broker, and boards whose agents it talks to.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::OnceLock;
use std::time::Duration;

use coracle_test_support::agent::{Board, Settings};
use coracle_test_support::broker::{Broker, BrokerOptions, Watch};
use coracle_test_support::images::image::busybox_archive;
use coracle_test_support::images::{Arch, Form, Image, Layer, Packing};
use coracle_test_support::process::eventually;
use coracle_test_support::registry::Registry;
use serde_json::Value;

use super::document::Desired;

/// What anything may take here: most of it takes a second, but tests share a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The real binary.
pub(super) fn exe() -> &'static Path {
    crate::attacks::table::exe()
}

/// A broker that anyone may speak to.
pub(crate) fn broker() -> Broker {
    Broker::start(BrokerOptions::default()).unwrap()
}

/// A board, its agent, and everything that the agent said.
pub(super) struct Bench {
    pub(super) board: Board,
    pub(super) settings: Settings,
    said: Watch,
}

impl Bench {
    /// A board of that device id at `broker`, taking images from `registry`; its agent runs.
    pub(super) fn start(broker: &Broker, registry: &str, device: &str) -> Self {
        let mut bench = Self::new(broker, registry, device);
        bench.board.start().unwrap();
        bench.until_up();
        bench
    }

    /// The same, its agent not yet started.
    pub(super) fn new(broker: &Broker, registry: &str, device: &str) -> Self {
        let mut settings = Settings::new(device);
        settings.broker = Some(broker.url());
        settings.insecure = vec![registry.to_owned()];
        Self::with(broker, settings)
    }

    /// The same with settings of its own.
    pub(super) fn with(broker: &Broker, settings: Settings) -> Self {
        let said = broker.watch(&format!("coracle/v1/d/{}/+", settings.device)).unwrap();
        Self { board: Board::new(exe(), &settings).unwrap(), settings, said }
    }

    /// Everything said on one topic, oldest first.
    pub(super) fn said(&self, kind: &str) -> Vec<Value> {
        let ours = |topic: &str| topic.rsplit('/').next() == Some(kind);
        let messages = self.said.messages();
        let ours = messages.iter().filter(|seen| ours(&seen.topic));
        ours.map(|seen| serde_json::from_slice(&seen.payload).unwrap_or(Value::Null)).collect()
    }

    /// Waits for something on a topic, whenever it was said.
    #[track_caller]
    pub(super) fn until_said(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(PATIENCE, || {
            let said = self.said(kind);
            said.iter().find(|value| wanted(value)).cloned().ok_or_else(|| format!("{kind}: {said:#?}"))
        })
    }

    /// Waits for a birth.
    #[track_caller]
    pub(super) fn until_up(&self) -> Value {
        self.until_said("up", |up| up["up"] == true)
    }

    /// Waits for a state of that status that speaks of that generation.
    #[track_caller]
    pub(super) fn until_state(&self, generation: u64, status: &str) -> Value {
        self.until_said("state", |state| {
            state["desired"]["gen"] == generation && state["deployment"]["status"] == status
        })
    }

    /// Waits for a passage to that status for that reason.
    #[track_caller]
    pub(super) fn until_event(&self, to: &str, code: &str) -> Value {
        self.until_said("event", |event| event["to"] == to && event["error"]["code"] == code)
    }

    /// Publishes a document and waits until the board runs it.
    #[track_caller]
    pub(super) fn deploy(&self, broker: &Broker, desired: &Desired) -> Value {
        desired.send(broker);
        self.until_state(desired.generation, "SUCCEEDED")
    }

    /// What a command of the board prints; it must succeed.
    #[track_caller]
    pub(super) fn ask(&self, words: &[&str]) -> String {
        ask(&self.board, words)
    }

    /// Waits until a workload has written this and nothing else: it may run before it wrote, and while one takes over
    /// from another, the one that was found may be gone before it is read.
    #[track_caller]
    pub(super) fn until_log(&self, name: &str, text: &str) {
        eventually(PATIENCE, || {
            let output = command(&self.board, &["logs", name]);
            let is_it = output.status.success() && String::from_utf8_lossy(&output.stdout).trim() == text;
            if is_it { Ok(()) } else { Err(output) }
        });
    }

    /// The workloads as `coracle ps` tells them.
    #[track_caller]
    pub(super) fn ps(&self) -> Vec<Value> {
        ps(&self.board)
    }

    /// The process of a workload that runs, with the time of its start: the same pair is the same process.
    #[track_caller]
    pub(super) fn process(&self, id: &str) -> (i64, String) {
        process(&self.board, id)
    }

    /// The names in the store's folder of layers.
    pub(super) fn layers(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.board.state_dir().join("layers"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

/// Runs a command of the board to its end.
pub(super) fn command(board: &Board, words: &[&str]) -> Output {
    board.command(words).stdin(std::process::Stdio::null()).output().unwrap()
}

/// What a command of the board prints; it must succeed.
#[track_caller]
pub(super) fn ask(board: &Board, words: &[&str]) -> String {
    let output = command(board, words);
    assert!(output.status.success(), "coracle {words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The workloads as `coracle ps` tells them.
#[track_caller]
pub(super) fn ps(board: &Board) -> Vec<Value> {
    serde_json::from_str(&ask(board, &["ps", "--all", "--json"])).unwrap()
}

/// The process of a workload that runs, with the time of its start.
#[track_caller]
pub(crate) fn process(board: &Board, id: &str) -> (i64, String) {
    let workloads = ps(board);
    let found = workloads.iter().find(|workload| workload["id"] == id && workload["state"] == "running");
    let pid = found.unwrap_or_else(|| panic!("{id} does not run: {workloads:#?}"))["pid"].as_i64().unwrap();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // proc(5): the start time is the 22nd field, the 20th after the name in parentheses.
    let ticks = stat.rsplit(')').next().unwrap().split_whitespace().nth(19).unwrap();
    (pid, ticks.to_owned())
}

/// An image of busybox that says `word` and then waits until it is asked to end.
pub(crate) fn idle(word: &str) -> Image {
    // A process 1 has no default action for SIGTERM.
    let script = "trap 'exit 0' TERM; cat /word; sleep 100000 & wait";
    image(&["sh", "-c", script], word)
}

/// An image of busybox with a file of its own, so that no two words make the same image.
pub(super) fn image(command: &[&str], word: &str) -> Image {
    static BUSYBOX: OnceLock<Layer> = OnceLock::new();
    let busybox = BUSYBOX
        .get_or_init(|| Layer::pack(&busybox_archive(Arch::Amd64).unwrap(), Packing::Gzip).unwrap())
        .clone();
    let word = Layer::of_file("word", 0o644, format!("{word}\n").as_bytes(), Packing::Gzip).unwrap();
    Image::new(Arch::Amd64, vec![busybox, word], command)
}

/// Pushes an image and hands back its reference, pinned to the manifest.
pub(super) fn push(registry: &Registry, name: &str, image: &Image) -> String {
    let (repository, tag) = name.split_once(':').unwrap();
    let pushed = image.push(&registry.host(), repository, Some(tag), Form::Oci).unwrap();
    format!("{}@{}", registry.reference(name), pushed.digest)
}
