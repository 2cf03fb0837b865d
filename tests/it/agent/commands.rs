//! Commands over the broker: each is obeyed and answered, and what should not be obeyed is not.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::bench::{Bench, PATIENCE, broker, idle};
use super::document::{Desired, now, site};
use coracle_test_support::agent::Settings;
use coracle_test_support::broker::{Broker, Watch};
use coracle_test_support::faults::FaultRegistry;
use coracle_test_support::measure;
use coracle_test_support::process::eventually;

use crate::attacks::table::{self, Family};

/// A board on which generation 1 runs, and what it answers.
pub(super) struct Commanded {
    pub(super) broker: Broker,
    pub(super) registry: FaultRegistry,
    pub(super) bench: Bench,
    replies: Watch,
}

impl Commanded {
    pub(super) fn new(device: &str) -> Self {
        Self::with(device, "5", "")
    }

    /// Over that version of MQTT, with lines of TOML of its own.
    pub(super) fn with(device: &str, version: &str, top: &str) -> Self {
        let (broker, registry) = (broker(), FaultRegistry::start());
        registry.put_image("app", "1", &idle("one"));
        let mut settings = Settings::new(device);
        settings.insecure = vec![registry.host()];
        settings.top += top;
        settings.tables += &format!(
            "[broker]\nurl = \"{}\"\nversion = \"{version}\"\nfirst_connect_splay_seconds = 0\n",
            broker.url()
        );
        let replies = broker.watch(&format!("coracle/v1/d/{device}/reply/+")).unwrap();
        let mut bench = Bench::with(&broker, settings);
        bench.board.start().unwrap();
        bench.until_up();
        bench.deploy(&broker, &Desired::new(device, 1, site(&registry.reference("app:1"))));
        Self { broker, registry, bench, replies }
    }

    /// Generation `number`, which runs the image of that tag.
    pub(super) fn desired(&self, number: u64, tag: &str) -> Desired {
        let device = &self.bench.settings.device;
        Desired::new(device, number, site(&self.registry.reference(&format!("app:{tag}"))))
    }

    fn publish(&self, scope: &str, verb: &str, payload: &str, retain: bool) {
        self.broker.publish(&format!("coracle/v1/{scope}/cmd/{verb}"), payload.as_bytes(), retain).unwrap();
    }

    fn own(&self) -> String {
        format!("d/{}", self.bench.settings.device)
    }

    /// Sends a command under an id of its own, and hands that back.
    fn send(&self, scope: &str, verb: &str, args: &Value) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = format!("command-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.publish(scope, verb, &command(&id, args).to_string(), false);
        id
    }

    fn replies(&self) -> Vec<(String, Value)> {
        let replies = self.replies.messages();
        let replies = replies.iter().map(|seen| {
            let verb = seen.topic.rsplit('/').next().unwrap().to_owned();
            (verb, serde_json::from_slice(&seen.payload).unwrap())
        });
        replies.collect()
    }

    /// Waits for the reply to a command; it must be on the topic of its verb.
    #[track_caller]
    fn reply(&self, verb: &str, id: &str) -> Value {
        let reply = eventually(PATIENCE, || {
            let replies = self.replies();
            let found = replies.iter().find(|(_, reply)| reply["id"] == id).cloned();
            found.ok_or_else(|| format!("{replies:#?}"))
        });
        assert_eq!((reply.0.as_str(), &reply.1["schema"]), (verb, &json!("reply/v1")), "{:#}", reply.1);
        reply.1
    }

    /// The result of a command that is obeyed.
    #[track_caller]
    fn ask(&self, verb: &str, args: &Value) -> Value {
        let reply = self.reply(verb, &self.send(&self.own(), verb, args));
        assert_eq!((&reply["ok"], &reply["verb"]), (&json!(true), &json!(verb)), "{reply:#}");
        reply["result"].clone()
    }

    /// The same for the group `eu`.
    #[track_caller]
    pub(super) fn group(&self, verb: &str, args: &Value) -> Value {
        let reply = self.reply(verb, &self.send("g/eu", verb, args));
        assert_eq!(reply["ok"], true, "{reply:#}");
        reply["result"].clone()
    }

    /// The code of the error of a command that is not obeyed.
    #[track_caller]
    fn refused(&self, verb: &str, args: &Value) -> String {
        let reply = self.reply(verb, &self.send(&self.own(), verb, args));
        assert_eq!(reply["ok"], false, "{reply:#}");
        reply["error"]["code"].as_str().unwrap().to_owned()
    }
}

/// A command as the contract has it.
fn command(id: &str, args: &Value) -> Value {
    json!({"schema": "command/v1", "id": id, "iat": now(), "exp": now() + 60, "args": args})
}

/// Every verb, each with what it does and what it answers.
fn every_verb(device: &str, version: &str) {
    let bed = Commanded::with(device, version, "");
    let bench = &bed.bench;

    let (births, states) = (bench.said("up").len(), bench.said("state").len());
    assert_eq!(bed.ask("refresh", &json!({}))["gen"], 1);
    eventually(PATIENCE, || bench.said("up").len() > births && bench.said("state").len() > states);

    let logs = bed.ask("logs", &json!({"workload": "site.web", "lines": 5}));
    let line = logs["lines"][0].as_str().unwrap();
    assert!(line.ends_with(" stdout F one") && logs["truncated"] == false, "{logs:#}");
    assert_eq!(bed.refused("logs", &json!({"workload": "site.nobody"})), "NO_WORKLOAD");

    let before = bench.process("site.web");
    assert_eq!(bed.ask("restart", &json!({"workload": "site.web"}))["restarted"], json!(["site.web"]));
    let after = bench.process("site.web");
    assert_ne!(before, after, "it was not restarted");
    assert_eq!(bed.ask("restart", &json!({"project": "site"}))["restarted"], json!(["site.web"]));
    assert_ne!(bench.process("site.web"), after, "it was not restarted");
    assert_eq!(bed.refused("restart", &json!({"project": "nothing"})), "NO_WORKLOAD");

    let diag = bed.ask("diag", &json!({}));
    assert_eq!(
        (&diag["device"], &diag["rollout"]["status"]),
        (&json!(device), &json!("SUCCEEDED")),
        "{diag:#}"
    );
    assert_eq!(
        (&diag["workloads"][0]["id"], &diag["rollout"]["durable"]),
        (&json!("site.web"), &json!(true))
    );
    assert!(
        diag["checks"].as_array().unwrap().len() > 5 && diag["disk"]["free"].as_u64() > Some(0),
        "{diag:#}"
    );

    bed.registry.put_image("loose", "1", &idle("loose"));
    bench.ask(&["pull", "-q", &bed.registry.reference("loose:1")]);
    let collected = bed.ask("gc", &json!({}));
    assert!(collected["images"] == 1 && collected["bytes"].as_u64() > Some(0), "{collected:#}");
    let again = bed.ask("gc", &json!({}));
    assert_eq!((&again["images"], &again["bytes"]), (&json!(0), &json!(0)), "{again:#}");

    assert_eq!(bed.refused("confirm", &json!({})), "CONFLICT");
    bed.registry.put_image("app", "2", &idle("two"));
    bed.desired(2, "2").policy(&json!({"mode": "confirm"})).send(&bed.broker);
    bench.until_state(2, "WAITING");
    assert_eq!(bed.refused("confirm", &json!({"gen": 3})), "CONFLICT");
    assert_eq!(bed.ask("confirm", &json!({"gen": 2}))["gen"], 2);
    bench.until_state(2, "SUCCEEDED");
    bench.until_log("web", "two");

    bed.desired(3, "1").policy(&json!({"hold": true})).send(&bed.broker);
    bench.until_state(3, "WAITING");
    assert_eq!(bed.ask("cancel", &json!({}))["status"], "CANCELED");
    bench.until_state(3, "CANCELED");
    assert_eq!(bed.refused("cancel", &json!({})), "CONFLICT");

    // The image comes late.
    bed.desired(4, "4").policy(&json!({"attempts": 1})).send(&bed.broker);
    bench.until_state(4, "FAILED");
    bed.registry.put_image("app", "4", &idle("four"));
    assert_eq!(bed.ask("retry", &json!({"gen": 4}))["gen"], 4);
    bench.until_state(4, "SUCCEEDED");
    bench.until_log("web", "four");
}

#[test]
fn each_command_is_obeyed_and_answered_over_mqtt_5() {
    every_verb("verbs-five", "5");
}

#[test]
fn each_command_is_obeyed_and_answered_over_mqtt_3_1_1() {
    every_verb("verbs-three", "3.1.1");
}

#[test]
fn what_should_not_be_obeyed_is_answered_with_a_word_on_why_and_moves_nothing() {
    let bed = Commanded::new("refuses");
    let (own, before) = (bed.own(), bed.bench.process("site.web"));
    let web = json!({"workload": "site.web"});
    let answered = |verb: &str, id: &Value, code: &str| {
        eventually(PATIENCE, || {
            let replies = bed.replies();
            let fits = |(on, reply): &&(String, Value)| {
                on == verb && reply["id"] == *id && reply["error"]["code"] == code
            };
            let reply = replies.iter().find(fits).ok_or_else(|| format!("{replies:#?}"))?;
            let message = reply.1["error"]["message"].as_str().unwrap_or_default();
            let name = format!("command {verb} {}", id.as_str().unwrap_or("without an id"));
            table::refused(Family::Mqtt, &format!("{name}: {code}"), "intake of commands", message, None);
            Ok::<(), String>(())
        });
    };
    let old =
        json!({"schema": "command/v1", "id": "old", "iat": now() - 120, "exp": now() - 60, "args": web});
    bed.publish(&own, "restart", &old.to_string(), false);
    answered("restart", &json!("old"), "EXPIRED");
    let long = json!({"schema": "command/v1", "id": "long", "iat": now(), "exp": now() + 3600, "args": web});
    bed.publish(&own, "restart", &long.to_string(), false);
    answered("restart", &json!("long"), "SCHEMA");
    bed.publish(&own, "restart", "{\"schema\":", false);
    answered("restart", &Value::Null, "SCHEMA");
    bed.publish(&own, "restart", &"x".repeat(5000), false);
    answered("restart", &Value::Null, "TOO_LARGE");
    bed.publish(
        &own,
        "restart",
        &command("more", &json!({"workload": "site.web", "now": true})).to_string(),
        false,
    );
    answered("restart", &json!("more"), "SCHEMA");
    bed.publish(&own, "rollback", &command("old-software", &json!({})).to_string(), false);
    answered("rollback", &json!("old-software"), "UNKNOWN_VERB");
    bed.publish(&own, "format-disk", &command("unknown", &json!({})).to_string(), false);
    answered("format-disk", &json!("unknown"), "UNKNOWN_VERB");
    let twice = command("twice", &json!({"lines": 1, "workload": "site.web"})).to_string();
    bed.publish(&own, "logs", &twice, false);
    bed.publish(&own, "logs", &twice, false);
    answered("logs", &json!("twice"), "DUPLICATE");
    let obeyed =
        bed.replies().iter().filter(|(_, reply)| reply["id"] == "twice" && reply["ok"] == true).count();
    assert_eq!(obeyed, 1);
    assert_eq!(bed.bench.process("site.web"), before);
}

#[test]
fn a_command_that_the_broker_kept_is_not_obeyed() {
    let mut bed = Commanded::new("stale");
    bed.bench.board.stop().unwrap();
    let before = bed.bench.process("site.web");
    let web = json!({"workload": "site.web"});
    let own = bed.own();
    bed.publish(&own, "restart", &command("kept", &web).to_string(), true);
    let births = bed.bench.said("up").iter().filter(|up| up["up"] == true).count();
    bed.bench.board.start().unwrap();
    eventually(PATIENCE, || bed.bench.said("up").iter().filter(|up| up["up"] == true).count() > births);
    // Answers come in the order of commands: what is retained came before this one.
    bed.ask("refresh", &json!({}));
    bed.ask("diag", &json!({}));
    assert!(bed.replies().iter().all(|(_, reply)| reply["id"] != "kept"), "{:#?}", bed.replies());
    assert_eq!(bed.bench.process("site.web"), before);
    let log = bed.bench.board.agent().unwrap().output();
    let line = log.lines().find(|line| line.contains("was retained by the broker"));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    table::refused(Family::Mqtt, "command that a real broker kept", "intake of commands", line, None);
}

#[test]
fn the_boards_of_a_group_are_refreshed_and_not_restarted() {
    let bed = Commanded::with("grouped", "5", "groups = [\"eu\"]\n");
    let before = bed.bench.process("site.web");
    bed.publish("g/eu", "restart", &command("all", &json!({"workload": "site.web"})).to_string(), false);
    bed.publish("g/other", "refresh", &command("other", &json!({"spread": 0})).to_string(), false);
    let births = bed.bench.said("up").len();
    let id = bed.send("g/eu", "refresh", &json!({"spread": 0}));
    assert_eq!(bed.reply("refresh", &id)["ok"], true);
    eventually(PATIENCE, || bed.bench.said("up").len() > births);
    let ids: Vec<Value> = bed.replies().iter().map(|(_, reply)| reply["id"].clone()).collect();
    assert_eq!(ids, [json!(id)], "a fleet does not shout back");
    assert_eq!(bed.bench.process("site.web"), before);
    let proven = "groups are refreshed and not restarted, and nobody shouts back";
    table::harmless(Family::Mqtt, "command for a whole group to restart", proven, None);
}

#[test]
fn a_flood_of_commands_moves_nothing_and_does_not_hold_up_an_update() {
    let mut bed = Commanded::new("flood");
    bed.registry.put_image("app", "2", &idle("two"));
    let before = bed.bench.process("site.web");
    let topic = format!("coracle/v1/{}/cmd/refresh", bed.own());
    let mut flood = Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &bed.broker.port().to_string(), "-q", "1", "-l", "-t", &topic])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = flood.stdin.take().unwrap();
    for number in 0..3000 {
        writeln!(lines, "{}", command(&format!("flood-{number}"), &json!({}))).unwrap();
    }
    bed.desired(2, "2").send(&bed.broker);
    for number in 3000..6000 {
        writeln!(lines, "{}", command(&format!("flood-{number}"), &json!({}))).unwrap();
    }
    drop(lines);
    assert_eq!(bed.bench.until_state(2, "SUCCEEDED")["running"]["gen"], 2);
    assert!(flood.wait().unwrap().success());
    let (obeyed, busy): (Vec<_>, Vec<_>) =
        bed.replies().into_iter().partition(|(_, reply)| reply["ok"] == true);
    assert!((16..100).contains(&obeyed.len()), "{} were obeyed", obeyed.len());
    assert!(!busy.is_empty() && busy.len() < 100, "{} were told to wait", busy.len());
    assert!(busy.iter().all(|(_, reply)| reply["error"]["code"] == "BUSY"), "{busy:#?}");
    let log = bed.bench.board.agent().unwrap().output();
    let told = log.lines().filter(|line| line.contains("command refused")).count();
    assert!((1..5).contains(&told), "{told} lines of the log on commands that were not taken: {log}");
    assert_ne!(bed.bench.process("site.web"), before);
    let peak = measure::peak_kib(bed.bench.board.agent().unwrap().pid()).unwrap();
    let proven = "one in two seconds is obeyed, an update comes through, a few lines of the log";
    table::harmless(Family::Mqtt, "six thousand commands through a real broker", proven, Some(peak));
    // It hears again.
    eventually(PATIENCE, || {
        bed.send(&bed.own(), "diag", &json!({}));
        bed.replies().iter().any(|(verb, reply)| verb == "diag" && reply["ok"] == true)
    });
}

#[test]
fn an_answer_holds_nothing_of_what_workloads_are_told() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    let mut settings = Settings::new("secrets");
    settings.insecure = vec![registry.host()];
    settings.broker = Some(broker.url());
    let replies = broker.watch("coracle/v1/d/secrets/reply/+").unwrap();
    let mut bench = Bench::with(&broker, settings);
    bench.board.start().unwrap();
    bench.until_up();
    let web = json!({"image": registry.reference("app:1"), "environment": {"TOKEN": "swordfish"}});
    bench.deploy(&broker, &Desired::new("secrets", 1, json!({"site": {"services": {"web": web}}})));
    let bed = Commanded { broker, registry, bench, replies };
    let diag = bed.ask("diag", &json!({})).to_string();
    assert!(diag.contains("site.web") && !diag.contains("swordfish") && !diag.contains("TOKEN"), "{diag}");
}
