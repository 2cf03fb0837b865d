//! The same commands at the console, over the socket of the running agent.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::bench::{Bench, PATIENCE, command};
use super::commands::Commanded;
use coracle_test_support::process::eventually;

/// Code and complaint of a command that must fail.
#[track_caller]
fn fails(bench: &Bench, words: &[&str]) -> (i32, String) {
    let output = command(&bench.board, words);
    assert!(!output.status.success(), "coracle {words:?} did not fail");
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn connect(bench: &Bench) -> UnixStream {
    let stream = UnixStream::connect(bench.board.run_dir().join("control.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn a_person_confirms_cancels_and_restarts_at_the_console() {
    let mut bed = Commanded::new("console-words");
    let bench = &bed.bench;
    let (code, said) = fails(bench, &["confirm"]);
    assert!(code == 64 && said.contains("nothing to confirm"), "{code}: {said}");
    bed.registry.put_image("app", "2", &super::bench::idle("two"));
    bed.desired(2, "2").policy(&json!({"mode": "confirm"})).send(&bed.broker);
    bench.until_state(2, "WAITING");
    let (code, said) = fails(bench, &["confirm", "--generation", "1"]);
    assert!(code == 64 && said.contains("is for generation 1"), "{code}: {said}");
    let said = bench.ask(&["confirm", "--generation", "2"]);
    assert!(said.starts_with("generation 1 is good; ") && said.contains("generation 2"), "{said}");
    bench.until_state(2, "SUCCEEDED");
    bench.until_log("web", "two");

    let (code, said) = fails(bench, &["retry"]);
    assert!(code == 64 && said.contains("nothing to retry where the rollout is SUCCEEDED"), "{code}: {said}");

    let before = bench.process("site.web");
    assert_eq!(bench.ask(&["restart", "web"]).trim(), "site.web");
    let after = bench.process("site.web");
    assert_ne!(before, after);
    let restarted: Value = serde_json::from_str(&bench.ask(&["restart", "site", "--json"])).unwrap();
    assert_eq!(restarted["restarted"], json!(["site.web"]));
    assert_ne!(bench.process("site.web"), after);
    let (code, said) = fails(bench, &["restart", "nobody"]);
    assert!(code == 64 && said.contains("known: site.web"), "{code}: {said}");

    bed.desired(3, "1").policy(&json!({"hold": true})).send(&bed.broker);
    bench.until_state(3, "WAITING");
    let canceled: Value = serde_json::from_str(&bench.ask(&["cancel", "--json"])).unwrap();
    assert_eq!((&canceled["status"], &canceled["lastGood"]), (&json!("CANCELED"), &json!(2)));
    assert!(bench.ask(&["refresh"]).contains("was canceled"));
    let diag: Value = serde_json::from_str(&bench.ask(&["diag", "--json"])).unwrap();
    assert_eq!(diag["rollout"]["status"], "CANCELED", "{diag:#}");

    // What was confirmed and canceled is durable before it is answered.
    bed.bench.board.crash().unwrap();
    let births = bed.bench.said("up").len();
    let (code, said) = fails(&bed.bench, &["refresh"]);
    assert!(code == 75 && said.contains("systemctl start coracle"), "{code}: {said}");
    bed.bench.board.start().unwrap();
    eventually(PATIENCE, || bed.bench.said("up").len() > births);
    let diag: Value = serde_json::from_str(&bed.bench.ask(&["diag", "--json"])).unwrap();
    assert_eq!(diag["rollout"]["status"], "CANCELED", "{diag:#}");
    assert_eq!(diag["rollout"]["active"]["gen"], 2, "{diag:#}");
}

#[test]
fn whatever_is_said_to_the_socket_is_answered_and_nobody_can_hold_it_up() {
    let bed = Commanded::new("console-noise");
    let socket = bed.bench.board.run_dir().join("control.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    for (line, code) in [
        (&b"\n"[..], "SCHEMA"),
        (b"gc\n", "SCHEMA"),
        (b"\xff\xfe\n", "SCHEMA"),
        (b"{\"verb\":\"reboot\"}\n", "UNKNOWN_VERB"),
        (b"{\"verb\":\"gc\",\"args\":{\"all\":true}}\n", "SCHEMA"),
        (b"{\"verb\":\"restart\",\"args\":{\"workload\":\"a.b\"}}\n", "NO_WORKLOAD"),
    ] {
        let mut stream = connect(&bed.bench);
        stream.write_all(line).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        let reply: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(reply["error"]["code"], code, "{answer}");
    }
    // A line without an end, longer than any; and clients that say nothing, more than are heard at a time.
    let mut endless = connect(&bed.bench);
    endless.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    while endless.write_all(&[b'x'; 4096]).is_ok() {}
    let silent: Vec<_> = (0..10).map(|_| connect(&bed.bench)).collect();
    let (before, states) = (bed.bench.process("site.web"), bed.bench.said("state").len());
    assert!(bed.bench.ask(&["refresh"]).contains("generation 1 is good"));
    eventually(PATIENCE, || bed.bench.said("state").len() > states);
    assert_eq!(bed.bench.process("site.web"), before);
    for mut stream in silent {
        // Each is turned away after a while.
        let mut nothing = Vec::new();
        assert_eq!(stream.read_to_end(&mut nothing).unwrap(), 0);
    }
}

#[test]
fn a_restart_is_brought_to_its_end_although_the_agent_is_killed_half_way() {
    let mut bed = Commanded::new("half-way");
    // A process 1 that handles no signal is not ended by one.
    let script = "cat /word; sleep 100000 & wait";
    bed.registry.put_image("app", "2", &super::bench::image(&["sh", "-c", script], "two"));
    let mut second = bed.desired(2, "2");
    second.projects["site"]["services"]["web"]["stop_grace_period"] = json!("2s");
    bed.bench.deploy(&bed.broker, &second);
    let before = bed.bench.process("site.web");
    let state = |bed: &Commanded| bed.bench.ps()[0]["state"].clone();
    let mut restart = bed.bench.board.command(&["restart", "web"]).spawn().unwrap();
    eventually(PATIENCE, || state(&bed) == "stopping");
    bed.bench.board.crash().unwrap();
    assert_eq!(restart.wait().unwrap().code(), Some(75));
    eventually(PATIENCE, || state(&bed) == "stopped");
    bed.bench.board.start().unwrap();
    eventually(PATIENCE, || state(&bed) == "running");
    assert_ne!(bed.bench.process("site.web"), before);
}
