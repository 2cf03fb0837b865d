//! The whole story on one machine: an operator, a broker, a registry, a board, two generations of a workload.
//!
//! What the board takes is signed by the operator's own tool, and a document that nobody signed is shown to be refused.
//! Everything listens on loopback ports that were free, lives in directories of its own, and ends with the command.

mod operator;

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use coracle_test_support::agent::{Board, Settings};
use coracle_test_support::caller::Caller;
use coracle_test_support::images::busybox::busybox;
use coracle_test_support::images::tools::{Content, publish};
use coracle_test_support::images::{Arch, Form, web_server};
use coracle_test_support::process::{free_port, run};
use coracle_test_support::registry::Registry;
use serde_json::Value;

use crate::broker::{Broker, Message, ROOT, Watch};
use crate::desired::{Desired, site};
use crate::{interrupt, namespace, setup};
use operator::Operator;

const DEVICE: &str = "demo";

/// For everything that the agent is asked to do; it takes a second or two.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells what happens, with the seconds since the build.
struct Story(Instant);

impl Story {
    fn tell(&self, text: &str) {
        println!("{:6.2} s  {text}", self.0.elapsed().as_secs_f32());
    }
}

/// Shows it.
pub fn command(_: &[String]) -> io::Result<()> {
    setup::for_tests()?;
    println!(
        "building the agent and the operator's tool (development builds; the first ones take some minutes)"
    );
    let (exe, tool) = (setup::agent()?, setup::operators_tool()?);
    namespace::enter()?;
    interrupt::watch()?;
    let outcome = show(&exe, &tool);
    match &outcome {
        Ok(seconds) => println!(
            "\nThat was all: generation 2 ran {seconds:.1} s after the build. Nothing is left behind."
        ),
        Err(_) => println!("\nIt ended early; what was started is ended and removed."),
    }
    outcome.map(drop)
}

/// Hands back how many seconds after the build generation 2 ran.
fn show(exe: &Path, tool: &Path) -> io::Result<f32> {
    let story = Story(Instant::now());
    println!(
        "\nOne board, one registry, one broker, all on this machine. Seconds count from the end of the build.\n"
    );
    let (broker, registry) = (Broker::start()?, Registry::start()?);
    story.tell(&format!("mosquitto listens at {}, docker-registry at {}", broker.url(), registry.host()));

    let port = free_port();
    let names = [publish_site(&registry, port, 1)?, publish_site(&registry, port, 2)?];
    story.tell("published demo/site:1 and demo/site:2, made by umoci, skopeo and buildah: each an index of");
    story.tell(&format!("  {}", Arch::ALL.map(Arch::platform).join(", ")));

    let operator = Operator::new(tool, DEVICE, &broker.url(), &registry.host())?;
    story.tell("coraclectl keygen --out alice: alice.pub goes into the board's image, alice.key signs");
    let watch = broker.watch(DEVICE)?;
    let mut settings = Settings::new(DEVICE);
    settings.broker = Some(broker.url());
    settings.insecure = vec![registry.host()];
    settings.top = "default_network = \"host\"\n".to_owned();
    settings.tables = format!("[trust]\nkeys_dir = {:?}\n", operator.keys());
    let mut board = Board::new(exe, &settings)?;
    board.start()?;
    let session = until_up(&watch, &Value::Null)?;
    story.tell("the agent is connected and says it is up");

    let caller = Caller::start(port);
    let scene = Scene { story: &story, watch: &watch, operator: &operator, caller: &caller };
    scene.deploy(1, &names[0].0)?;
    scene.deploy(2, &names[1].0)?;
    let seconds = story.0.elapsed().as_secs_f32();
    crash(&story, &mut board, &watch, &session, &caller)?;
    stranger(&story, &broker, &watch, &names[0].1)?;
    drop(caller);
    scene_of_other_boards(&story, exe, &settings, &names[1].1)?;

    let command = operator.deploy_nothing(4)?;
    story.tell(&command);
    until_succeeded(&story, &watch, 4)?;
    story.tell("told it to run nothing: generation 4 has no project, and the workload is gone");
    board.stop()?;
    Ok(seconds)
}

/// Publishes a generation of the workload; hands back its name, and its pinned reference.
fn publish_site(registry: &Registry, port: u16, generation: u64) -> io::Result<(String, String)> {
    let content = |arch: Arch| Content {
        command: web_server(port).into(),
        files: vec![("/www/index.html".into(), answer(generation, arch))],
    };
    let name = format!("demo/site:{generation}");
    let digest = publish(&registry.host(), &name, Form::Oci, &Arch::ALL, content)?;
    let pinned = format!("{}@{digest}", registry.reference(&name));
    Ok((name, pinned))
}

/// What the workload tells its callers.
fn answer(generation: u64, arch: Arch) -> String {
    format!("generation {generation}, built for {}", arch.platform())
}

/// What a deployment needs to be told and seen.
struct Scene<'a> {
    story: &'a Story,
    watch: &'a Watch,
    operator: &'a Operator,
    caller: &'a Caller,
}

impl Scene<'_> {
    fn deploy(&self, generation: u64, name: &str) -> io::Result<()> {
        let story = self.story;
        let command = self.operator.deploy(generation, name)?;
        let told = self.watch.until("document of the operator", PATIENCE, |said| {
            (said.kind == "desired").then_some(said.at)
        })?;
        story.tell(&command);
        until_succeeded(story, self.watch, generation)?;

        let text = answer(generation, Arch::Amd64);
        let Some(now) = self.caller.answered(&text) else {
            return Err(io::Error::other(format!("the workload never answered {text:?}")));
        };
        let after = (now.from - told).as_millis();
        story.tell(&format!("the workload answers \"{text}\", first {after} ms after the message"));
        let before = self.caller.spells().into_iter().rev().find(|spell| spell.until < now.from);
        if let Some(before) = before {
            let silence = (now.from - before.until).as_millis();
            story.tell(&format!(
                "a client that called it all the time heard \"{}\" until then,",
                before.answer
            ));
            story.tell(&format!("  and nobody for {silence} ms in between"));
        }
        Ok(())
    }
}

/// Waits for the birth of a session other than `old`; hands back its id.
fn until_up(watch: &Watch, old: &Value) -> io::Result<Value> {
    watch.until("birth", PATIENCE, |said| {
        let born = said.kind == "up" && said.payload["up"] == true && said.payload["sid"] != *old;
        born.then(|| said.payload["sid"].clone())
    })
}

/// Waits until the reported state says that `generation` is confirmed, and tells each status on the way.
fn until_succeeded(story: &Story, watch: &Watch, generation: u64) -> io::Result<()> {
    let mut last = String::new();
    let outcome = watch.until("confirmed generation", PATIENCE, |said| {
        let status = status_of(said, generation)?;
        if status != last {
            story.tell(&format!("  the agent reports {status}"));
            last.clone_from(&status);
        }
        match status.as_str() {
            "SUCCEEDED" | "IDLE" => Some(Ok(())),
            "REJECTED" | "FAILED" | "BROKEN" | "ROLLED_BACK" => {
                Some(Err(said.payload["deployment"].to_string()))
            }
            _ => None,
        }
    })?;
    outcome.map_err(io::Error::other)
}

/// The deployment's status in a reported state that speaks of `generation`.
fn status_of(said: &Message, generation: u64) -> Option<String> {
    let ours = said.kind == "state" && said.payload["desired"]["gen"] == generation;
    ours.then(|| said.payload["deployment"]["status"].as_str().unwrap_or_default().to_owned())
}

/// The agent dies and comes back; the workload must not notice.
fn crash(
    story: &Story,
    board: &mut Board,
    watch: &Watch,
    session: &Value,
    caller: &Caller,
) -> io::Result<()> {
    board.crash()?;
    let gone = Instant::now();
    board.start()?;
    until_up(watch, session)?;
    let text = answer(2, Arch::Amd64);
    let spell = caller.spells().into_iter().next_back();
    let Some(spell) = spell.filter(|spell| spell.answer == text && spell.until > gone) else {
        return Err(io::Error::other("the workload did not outlive the agent"));
    };
    story.tell("killed the agent and started it again: the workload went on,");
    story
        .tell(&format!("  its longest silence since generation 2 began is {} ms", spell.silence.as_millis()));
    Ok(())
}

/// Somebody who may publish, and has no key, wants the first generation back.
fn stranger(story: &Story, broker: &Broker, watch: &Watch, image: &str) -> io::Result<()> {
    let mut publisher = broker.publisher(&format!("{ROOT}/d/{DEVICE}/desired"))?;
    publisher.send(&Desired { device: DEVICE, generation: 3, projects: site(image) }.envelope())?;
    let error = watch.until("refusal", PATIENCE, |said| {
        let refused = said.kind == "event" && said.payload["to"] == "REJECTED";
        refused.then(|| said.payload["error"].clone())
    })?;
    if error["code"] != "UNSIGNED" {
        return Err(io::Error::other(format!("what nobody signed was refused for another reason: {error}")));
    }
    story.tell("somebody without a key sent generation 3: refused with UNSIGNED, and generation 2 runs on");
    Ok(())
}

/// The same reference on boards that say they are something else.
fn scene_of_other_boards(story: &Story, exe: &Path, settings: &Settings, image: &str) -> io::Result<()> {
    for arch in [Arch::ArmV7, Arch::Arm64] {
        let mut settings = settings.clone();
        settings.broker = None;
        settings.platforms = vec![arch.platform()];
        let board = Board::new(exe, &settings)?;
        run(&mut board.command(&["pull", image]))?;
        let pulled = setup::files(&board.state_dir().join("layers"), "/busybox")?;
        let expected = fs::read(busybox(arch)?)?;
        let same = pulled.iter().any(|file| fs::read(file).is_ok_and(|bytes| bytes == expected));
        if !same {
            return Err(io::Error::other(format!("a board of {} pulled something else", arch.platform())));
        }
        let platform = arch.platform();
        story.tell(&format!(
            "told platform = \"{platform}\", it pulls that image: its busybox is Debian's for {platform},"
        ));
        story.tell("  byte for byte");
    }
    Ok(())
}
