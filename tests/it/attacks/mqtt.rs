//! Brokers that attack the board which connects to them: the real agent, a workload that runs, and a puppet that speaks
//! bytes. What a real broker can be made to do is tried in `mqtt` and `agent::commands`.

mod brokers;

use std::fs;

use serde_json::Value;

use crate::agent::attacked::{Desired, PATIENCE, broker, idle, process, site};
use coracle_test_support::agent::{Board, Settings};
use coracle_test_support::broker::Broker;
use coracle_test_support::faults::FaultRegistry;
use coracle_test_support::measure;
use coracle_test_support::process::eventually;
use coracle_test_support::puppet::{Published, Puppet, Speak};

use super::table::{self, Family};

const DEVICE: &str = "besieged";
/// Bytes that one attack may have the agent write, all files, sockets and logs together.
const WRITTEN_BYTES_MAX: u64 = 512 << 10;
/// Bytes of a line of the log.
const LINE_BYTES_MAX: usize = 2048;

/// How an attack ends.
enum Ends {
    /// The connection is given up, and the log says this of it.
    Lost(&'static str),
    /// The board goes on listening: what is proven. The attack ends with [`brokers::marker`], which is answered.
    Stands(&'static str, fn(&[Published]) -> Result<(), String>),
}

/// One attack.
struct Attack {
    name: &'static str,
    speak: Speak,
    ends: Ends,
}

fn lost(name: &'static str, speak: Speak, says: &'static str) -> Attack {
    Attack { name, speak, ends: Ends::Lost(says) }
}

fn stands(name: &'static str, speak: Speak, proven: &'static str) -> Attack {
    Attack { name, speak, ends: Ends::Stands(proven, own_topics) }
}

/// Whatever a board says, it says under its own name.
fn own_topics(said: &[Published]) -> Result<(), String> {
    let own = format!("coracle/v1/d/{DEVICE}/");
    match said.iter().find(|published| !published.topic.starts_with(&own)) {
        Some(strange) => Err(format!("it published to {:?}", strange.topic)),
        None => Ok(()),
    }
}

/// A board on which a workload runs, its agent stopped.
struct Besieged {
    board: Board,
    settings: Settings,
    workload: (i64, String),
    _registry: FaultRegistry,
}

impl Besieged {
    fn new() -> Self {
        let (broker, registry): (Broker, _) = (broker(), FaultRegistry::start());
        registry.put_image("app", "1", &idle("one"));
        let mut settings = Settings::new(DEVICE);
        (settings.broker, settings.insecure) = (Some(broker.url()), vec![registry.host()]);
        let mut board = Board::new(table::exe(), &settings).unwrap();
        let states = broker.watch(&format!("coracle/v1/d/{DEVICE}/state")).unwrap();
        board.start().unwrap();
        Desired::new(DEVICE, 1, site(&registry.reference("app:1"))).send(&broker);
        eventually(PATIENCE, || {
            let ended = |payload: &[u8]| {
                let state: Value = serde_json::from_slice(payload).unwrap_or_default();
                state["deployment"]["status"] == "SUCCEEDED"
            };
            states.messages().iter().any(|seen| ended(&seen.payload))
        });
        board.stop().unwrap();
        let workload = process(&board, "site.web");
        Self { board, settings, workload, _registry: registry }
    }

    /// The agent meets the attack, and ends as it would on any other day.
    fn met(&mut self, attack: &Attack) -> Result<(), String> {
        let puppet = Puppet::start(attack.speak).unwrap();
        self.settings.broker = Some(puppet.url());
        self.board.configure(&self.settings).unwrap();
        let agent = self.board.start().unwrap();
        let (pid, before) = (agent.pid(), agent.output().len());
        let since = |board: &mut Board| {
            let output = board.agent().unwrap().output();
            output.get(before..).unwrap_or_default().to_owned()
        };
        let said = match &attack.ends {
            Ends::Lost(says) => eventually(PATIENCE, || {
                let log = since(&mut self.board);
                let told = |line: &&str| {
                    (line.contains("not connected to the broker") || line.contains("turned this board away"))
                        && line.contains(says)
                };
                log.lines().find(told).map(str::to_owned).ok_or(log)
            }),
            Ends::Stands(proven, look) => {
                eventually(PATIENCE, || {
                    let answered = |published: &Published| {
                        contains(&published.payload, "the marker")
                            || contains(&published.payload, "the-marker")
                    };
                    if puppet.said().iter().any(answered) { Ok(()) } else { Err(since(&mut self.board)) }
                });
                look(&puppet.said())?;
                (*proven).to_owned()
            }
        };
        let peak = measure::peak_kib(pid).map_err(|error| format!("the agent is gone: {error}"))?;
        let written = written(pid)?;
        let log = since(&mut self.board);
        if !self.board.agent().unwrap().is_running() {
            return Err("the agent is gone".to_owned());
        }
        if process(&self.board, "site.web") != self.workload {
            return Err("the workload is another process".to_owned());
        }
        self.board.stop().unwrap();
        if let Some(line) = log.lines().find(|line| line.len() > LINE_BYTES_MAX) {
            return Err(format!("a line of the log has {} bytes", line.len()));
        }
        if log.chars().any(|c| c.is_control() && c != '\n') {
            return Err(format!("the log is not fit for a terminal: {log:?}"));
        }
        if written > WRITTEN_BYTES_MAX {
            return Err(format!("the agent wrote {written} bytes"));
        }
        if peak > table::peak_max_kib() {
            return Err(format!("took {peak} KiB of memory"));
        }
        match attack.ends {
            Ends::Lost(_) => table::refused(Family::Mqtt, attack.name, "session", reason(&said), Some(peak)),
            Ends::Stands(..) => table::harmless(Family::Mqtt, attack.name, &said, Some(peak)),
        }
        Ok(())
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

/// What stands after `reason=` in a line of the log.
fn reason(line: &str) -> &str {
    line.split_once("reason=").map_or(line, |(_, reason)| reason)
}

/// Bytes that a process handed to the kernel to write.
fn written(pid: u32) -> Result<u64, String> {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).map_err(|error| error.to_string())?;
    let written = io.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse().ok());
    written.ok_or_else(|| "no wchar".to_owned())
}

#[test]
fn each_broker_is_left_or_does_no_harm() {
    let mut besieged = Besieged::new();
    let mut failed = Vec::new();
    for attack in brokers::attacks() {
        if let Err(why) = besieged.met(&attack) {
            failed.push(format!("{}: {why}", attack.name));
            drop(besieged.board.stop());
        }
    }
    assert!(failed.is_empty(), "{} did not end as they should:\n{}", failed.len(), failed.join("\n"));
}

/// A name that would let a board listen to others, or write into their folders, is no name.
#[test]
fn a_board_with_a_dangerous_name_does_not_start() {
    for name in ["+", "#", "a/b", "../a", "a b", "d/+/cmd", ""] {
        let mut settings = Settings::new(name);
        settings.broker = Some("mqtt://127.0.0.1:1".to_owned());
        let board = Board::new(table::exe(), &settings).unwrap();
        let dir = coracle_test_support::scratch::TempDir::new("name");
        let ran = measure::run(&mut board.command(&["agent"]), &dir, PATIENCE).unwrap();
        assert_eq!(ran.code, Some(78), "{name:?}: {}", ran.err);
        assert!(ran.err.contains("device id"), "{name:?}: {}", ran.err);
        let shown = format!("device id {name:?}");
        table::refused(Family::Mqtt, &shown, "configuration", ran.err.trim(), Some(ran.peak_kib));
    }
}
