//! A person's words that outlive a restart: roll back, hold, and what the board remembers of its updates.

use serde_json::{Value, json};

use super::bench::{Bench, PATIENCE, command, idle};
use super::commands::Commanded;
use super::document::Desired;
use coracle_test_support::faults::{Fault, On, Times};
use coracle_test_support::process::eventually;

#[track_caller]
fn asked(bench: &Bench, words: &[&str]) -> Value {
    serde_json::from_str(&bench.ask(words)).unwrap()
}

/// Restarts the agent and waits until it is heard.
fn restart(bench: &mut Bench) {
    bench.board.stop().unwrap();
    let births = bench.said("up").iter().filter(|up| up["up"] == true).count();
    bench.board.start().unwrap();
    eventually(PATIENCE, || bench.said("up").iter().filter(|up| up["up"] == true).count() > births);
}

#[test]
fn a_person_rolls_back_without_a_network_and_what_was_left_does_not_come_back_by_itself() {
    let mut bed = Commanded::new("go-back");
    let output = command(&bed.bench.board, &["rollback", "--yes"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(64) && said.contains("no good deployment to go back to"),
        "{output:?}"
    );

    let digest = bed.registry.put_image("app", "2", &idle("two"));
    let second = bed.desired(2, &format!("2@{digest}"));
    bed.bench.deploy(&bed.broker, &second);
    bed.bench.until_log("web", "two");
    bed.registry.script(On::any("/"), Times::Always, Fault::status(503));
    // Nobody was asked, so nothing happens.
    let output = command(&bed.bench.board, &["rollback"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(64) && said.contains("generation 1 comes back: say --yes"),
        "{said}"
    );
    assert_eq!(asked(&bed.bench, &["rollback", "--yes", "--json"])["gen"], 2);
    let state = bed.bench.until_said("state", |state| state["deployment"]["status"] == "ROLLED_BACK");
    assert_eq!((&state["lastGood"]["gen"], &state["bad"][0]["gen"]), (&json!(1), &json!(2)), "{state:#}");
    assert_eq!(state["bad"][0]["code"], "RECALLED", "{state:#}");
    bed.bench.until_log("web", "one");
    let one = bed.bench.process("site.web");

    // Neither a restart nor the document, which the broker hands out again, brings it back.
    restart(&mut bed.bench);
    bed.bench.ask(&["refresh"]);
    second.send(&bed.broker);
    Desired { rev: 1, ..second }.send(&bed.broker);
    bed.bench.until_event("REJECTED", "KNOWN_BAD");
    assert_eq!(bed.bench.process("site.web"), one, "what was left came back");

    let history = asked(&bed.bench, &["history", "--json"]);
    let outcomes: Vec<_> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["desired"]["gen"].clone(), it["outcome"].clone()))
        .collect();
    let expected =
        [(1, "SUCCEEDED"), (2, "SUCCEEDED"), (2, "ROLLED_BACK")].map(|(n, it)| (json!(n), json!(it)));
    assert_eq!(outcomes, expected, "{history:#}");
    assert_eq!(
        (&history[2]["why"]["code"], &history[0]["good"]),
        (&json!("RECALLED"), &json!(true)),
        "{history:#}"
    );

    // By a person's word it does; its image is still in the store.
    assert!(bed.bench.ask(&["retry"]).contains("generation 2"));
    bed.bench.until_said("state", |state| {
        state["desired"]["rev"] == 1 && state["deployment"]["status"] == "SUCCEEDED"
    });
    bed.bench.until_log("web", "two");
    bed.bench.board.stop().unwrap();
    let history = bed.bench.ask(&["history"]);
    assert!(
        history.starts_with("GENERATION") && history.contains("RECALLED: a person rolled back"),
        "{history}"
    );
}

#[test]
fn a_hold_survives_a_restart_shows_as_a_gate_and_ends_by_the_word_of_who_began_it() {
    let mut bed = Commanded::with("held", "5", "groups = [\"eu\"]\n");
    assert_eq!(
        bed.bench.ask(&["hold", "the board is being moved"]).trim(),
        "updates are held: the board is being moved"
    );
    bed.registry.put_image("app", "2", &idle("two"));
    bed.desired(2, "2").send(&bed.broker);
    let state = bed.bench.until_state(2, "WAITING");
    assert_eq!(state["deployment"]["reasons"], json!(["HELD:the board is being moved"]), "{state:#}");
    assert_eq!(state["held"], "the board is being moved");
    restart(&mut bed.bench);
    let one = bed.bench.process("site.web");
    assert_eq!(asked(&bed.bench, &["refresh", "--json"])["status"], "WAITING");

    // Operators hold the group, and cannot let go of what a person at the board holds.
    let group = bed.group("hold", &json!({"reason": "stop the line"}));
    assert_eq!(group["held"], "the board is being moved; for g/eu, stop the line");
    let left = bed.group("hold", &json!({"release": true}));
    assert_eq!((&left["held"], &left["status"]), (&json!("the board is being moved"), &json!("WAITING")));
    assert_eq!(bed.group("hold", &json!({}))["held"], "the board is being moved; for g/eu, by hand");
    assert_eq!(asked(&bed.bench, &["hold", "--release", "--json"])["held"], "for g/eu, by hand");
    restart(&mut bed.bench);
    assert_eq!(bed.bench.process("site.web"), one);
    assert_eq!(bed.group("hold", &json!({"release": true}))["held"], Value::Null);
    bed.bench.until_state(2, "SUCCEEDED");
    bed.bench.until_log("web", "two");
    assert_eq!(bed.bench.ask(&["hold", "--release"]).trim(), "updates go on");
}

#[test]
fn why_names_each_closed_gate_the_broker_and_the_agent_with_what_helps() {
    let mut bed = Commanded::new("why");
    let why = bed.bench.ask(&["why"]);
    assert!(why.starts_with("  generation 1 is good\n"), "{why}");
    let folder = bed.bench.board.run_dir().join("inhibit.d");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("printing"), "").unwrap();
    bed.registry.put_image("app", "2", &idle("two"));
    bed.desired(2, "2").policy(&json!({"mode": "confirm"})).send(&bed.broker);
    bed.bench.until_state(2, "WAITING");
    bed.bench.ask(&["stop", "web"]);
    let waits = [
        "~ generation 2 waits; everything is fetched, and only the switch is missing",
        "~ a person must approve of it\n    -> `coracle confirm`",
        "~ something on this board objects, by the file inhibit.d/printing\n    -> ",
        "  workload site.web was stopped by hand\n    -> `coracle restart site.web`",
    ];
    let says = |why: &str| waits.iter().all(|text| why.contains(text));
    let why = bed.bench.ask(&["why"]);
    assert!(says(&why) && !why.contains("broker") && !why.contains("no agent"), "{why}");

    bed.broker.process().kill().unwrap();
    let why = eventually(PATIENCE, || {
        let why = bed.bench.ask(&["why"]);
        if why.contains("! not connected to the broker: ") { Ok(why) } else { Err(why) }
    });
    assert!(says(&why) && why.contains("tried again in"), "{why}");

    bed.bench.board.crash().unwrap();
    let why = bed.bench.ask(&["why"]);
    assert!(says(&why) && why.contains("! no agent runs here"), "{why}");
    let why = asked(&bed.bench, &["why", "--json"]);
    assert_eq!(
        (&why["agentRunning"], &why["remarks"][0]["kind"]),
        (&json!(false), &json!("fact")),
        "{why:#}"
    );
}
