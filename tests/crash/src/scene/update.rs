//! An agent that passes from one generation to the next and back from a bad one, then commands beside it.

use std::io;
use std::path::Path;

use coracle_test_support::agent::{Board, Settings};
use coracle_test_support::broker::{Broker, BrokerOptions, Watch};
use coracle_test_support::desired::{Desired, site};
use coracle_test_support::images::image::busybox_archive;
use coracle_test_support::images::{Arch, Form, Image, Layer, Packing};
use coracle_test_support::registry::Registry;
use nix::sys::signal::Signal;

use super::{faithful, problem, trace};
use crate::known::Known;
use crate::record::Recorder;
use crate::recording::{Promise, Recording, Segment};

/// The device.
pub const DEVICE: &str = "crash";

/// Records it; the registry stays for those who boot what is left.
///
/// # Errors
/// What did not work, or was not understood.
pub fn record(exe: &Path, registry: &Registry, dir: &Path) -> io::Result<Recording> {
    let broker = Broker::start(BrokerOptions::default())?;
    let busybox = Layer::pack(&busybox_archive(Arch::Amd64)?, Packing::Gzip)?;
    let image = |script: &str| {
        let word = Layer::of_file("word", 0o644, script.as_bytes(), Packing::Gzip)?;
        io::Result::Ok(Image::new(Arch::Amd64, vec![busybox.clone(), word], &["sh", "-c", script]))
    };
    let idle = |word: &str| image(&format!("echo {word}; trap 'exit 0' TERM; sleep 100000 & wait"));
    let mut known = Known::default();
    let mut references = Vec::new();
    for (tag, image) in
        [("one", idle("one")?), ("two", idle("two")?), ("bad", image("exit 1")?), ("mine", idle("mine")?)]
    {
        let reference = registry.reference(&format!("site:{tag}"));
        image.push(&registry.host(), "site", Some(tag), Form::Oci)?;
        let manifest = known.learn(&reference, &image).map_err(problem)?;
        references.push(format!("{}@{manifest}", registry.reference("site")));
    }

    let mut settings = Settings::new(DEVICE);
    settings.broker = Some(broker.url());
    settings.insecure = vec![registry.host()];
    let mut board = Board::new(exe, &settings)?;
    let root = board.state_dir();
    let mut recorder = Recorder::new(root.as_os_str().as_encoded_bytes());
    let said = broker.watch(&format!("coracle/v1/d/{DEVICE}/state"))?;
    let output = dir.join("agent.trace");
    let tracer = trace::words(&output);
    board.start_under(&tracer.iter().map(String::as_str).collect::<Vec<_>>())?;
    for (generation, (reference, end)) in
        (1..).zip(references.iter().zip(["SUCCEEDED", "SUCCEEDED", "ROLLED_BACK"]))
    {
        let desired = Desired { device: DEVICE, generation, projects: site(reference) };
        broker.publish_retained(&format!("coracle/v1/d/{DEVICE}/desired"), desired.envelope().as_bytes())?;
        until(&said, generation, end)?;
    }
    let agent = board.take_agent().ok_or_else(|| problem("no agent"))?;
    recorder.read(&trace::finish(agent, output, Some(Signal::SIGTERM))?).map_err(problem)?;
    let mut segments =
        vec![Segment { name: "three generations".into(), ops: 0..recorder.ops.len(), promises: Vec::new() }];

    let remembered = Promise::File("local/local.mine.json".into());
    let mine = references.last().cloned().unwrap_or_default();
    let run = ["run", "-d", "--restart", "always", "--name", "mine", &mine];
    let steps: [(&str, &[&str], Vec<Promise>); 2] =
        [("run by hand", &run, Vec::new()), ("prune", &["prune"], vec![remembered])];
    for (name, words, promises) in steps {
        let begin = recorder.ops.len();
        recorder.read(&trace::command(&board, words, dir)?).map_err(problem)?;
        segments.push(Segment { name: name.to_owned(), ops: begin..recorder.ops.len(), promises });
    }
    faithful(&recorder, &root, &dir.join("faithful"))?;
    Ok(Recording::new("update", recorder.births, recorder.ops, segments, known))
}

fn until(said: &Watch, generation: u64, status: &str) -> io::Result<()> {
    let wanted = |text: &str| {
        let state: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        state["desired"]["gen"] == generation && state["deployment"]["status"] == status
    };
    said.next(|seen| wanted(&seen.text())).map(drop)
}
