//! From the operator's message to the new workload's first answer, and what the agent weighs while it waits.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use coracle_test_support::agent::{Board, Settings};
use coracle_test_support::images::image::busybox_archive;
use coracle_test_support::images::{Arch, Form, Image};
use coracle_test_support::process::{free_port, run};
use coracle_test_support::registry::Registry;
use coracle_test_support::scratch::TempDir;
use serde_json::Value;

use super::report::{Report, median};
use super::usage::pss_kib;
use crate::broker::{Broker, Publisher, ROOT, Watch};
use crate::build::mib;
use crate::desired::{Desired, site};
use coracle_test_support::caller::Caller;

const DEVICE: &str = "bench";
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the agent is left alone before it is weighed: its start-up is over, its buffers are given back.
const QUIET: Duration = Duration::from_secs(10);

/// How often a runtime starts a container by itself; it is quick.
const RUNTIME_RUNS: usize = 11;

/// Measures updates between two staged images, one that has to be pulled, the runtime alone, and rest.
pub fn measure(exe: &Path, runs: usize, report: &mut Report) -> io::Result<()> {
    let (broker, registry) = (Broker::start()?, Registry::start()?);
    let port = free_port();
    let mut settings = Settings::new(DEVICE);
    settings.broker = Some(broker.url());
    settings.insecure = vec![registry.host()];
    let mut board = Board::new(exe, &settings)?;
    let watch = broker.watch(DEVICE)?;
    let operator = broker.publisher(&format!("{ROOT}/d/{DEVICE}/desired"))?;
    let pid = board.start()?.pid();
    watch.until("birth", PATIENCE, |said| (said.kind == "up" && said.payload["up"] == true).then_some(()))?;

    let mut site = Site { registry, port, operator, watch, generation: 0 };
    // The first pulls busybox; the second has one small layer to pull; from the third on everything is staged.
    let first = site.publish("a")?;
    site.update(&first, "a")?;
    let second = site.publish("b")?;
    let pulled = site.update(&second, "b")?;
    let mut staged = Vec::new();
    for round in 0..runs {
        let (image, text) = if round % 2 == 0 { (&first, "a") } else { (&second, "b") };
        let update = site.update(image, text)?;
        eprintln!(
            "update {} of {runs}: {:.0} ms, silent for {:.0} ms",
            round + 1,
            update.running_ms,
            update.silent_ms
        );
        staged.push(update);
    }
    std::thread::sleep(QUIET);
    let idle = mib(pss_kib(pid)? * 1024);

    let of = |figure: fn(&Update) -> f64| median(staged.iter().map(figure).collect());
    report.add("idle.pss_mib", idle, "the agent, connected, one project running");
    report.add(
        "ota.message_to_running_ms",
        of(|u| u.running_ms),
        "message published to first answer, image staged",
    );
    report.add(
        "ota.message_to_running_with_pull_ms",
        pulled.running_ms,
        "the same with one small layer to pull",
    );
    report.add("ota.downtime_ms", of(|u| u.silent_ms), "last answer of the old to first answer of the new");
    report.add("ota.runtime_alone_ms", runtime_alone()?, "`crun run` of `true` by itself");
    board.stop()
}

/// A workload that is updated again and again.
struct Site {
    registry: Registry,
    port: u16,
    operator: Publisher,
    watch: Watch,
    generation: u64,
}

/// What an update came to.
struct Update {
    running_ms: f64,
    silent_ms: f64,
}

impl Site {
    /// Publishes an image that answers `text`; hands back its pinned reference.
    fn publish(&self, text: &str) -> io::Result<String> {
        let image = Image::telling(Arch::Amd64, self.port, text)?;
        let pushed = image.push(&self.registry.host(), "bench/site", Some(text), Form::Oci)?;
        Ok(format!("{}@{}", self.registry.reference("bench/site"), pushed.digest))
    }

    /// Deploys it and waits until it is confirmed, calling it all the time.
    fn update(&mut self, image: &str, text: &str) -> io::Result<Update> {
        self.generation += 1;
        let (generation, caller) = (self.generation, Caller::start(self.port));
        // The old one must have been heard, or there is no silence to measure.
        let began = Instant::now();
        while generation > 1 && caller.spells().is_empty() && began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        let envelope = Desired { device: DEVICE, generation, projects: site(image) }.envelope();
        let told = self.operator.send(&envelope)?;
        self.watch.until("confirmed generation", PATIENCE, |said| {
            let state = &said.payload;
            let confirmed = ["SUCCEEDED", "IDLE"].map(Value::from).contains(&state["deployment"]["status"]);
            (said.kind == "state" && state["desired"]["gen"] == generation && confirmed).then_some(())
        })?;
        let answered =
            caller.answered(text).ok_or_else(|| io::Error::other(format!("{text:?} was never answered")))?;
        let before = caller.spells().into_iter().find(|spell| spell.answer != text);
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let silent_ms = before.map_or(f64::NAN, |old| ms(answered.from - old.until));
        Ok(Update { running_ms: ms(answered.from - told), silent_ms })
    }
}

/// What the runtime takes to run `true` in a plain bundle, in milliseconds.
fn runtime_alone() -> io::Result<f64> {
    let dir = TempDir::new("bundle");
    tar::Archive::new(&busybox_archive(Arch::Amd64)?[..]).unpack(dir.join("rootfs"))?;
    let crun = |words: &[&str]| {
        let mut command = Command::new("crun");
        command.arg("--cgroup-manager=cgroupfs").arg("--root").arg(dir.join("state")).args(words);
        command.current_dir(dir.path());
        command
    };
    run(&mut crun(&["spec"]))?;
    let spec = fs::read(dir.join("config.json"))?;
    let mut spec = serde_json::from_slice::<Value>(&spec).map_err(io::Error::other)?;
    spec["process"]["args"] = Value::from(vec!["true"]);
    spec["process"]["terminal"] = Value::from(false);
    fs::write(dir.join("config.json"), spec.to_string())?;
    let mut times = Vec::new();
    for round in 0..RUNTIME_RUNS {
        let began = Instant::now();
        run(&mut crun(&["run", &format!("bench-{}-{round}", std::process::id())]))?;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(median(times))
}
