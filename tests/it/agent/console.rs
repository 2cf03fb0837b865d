//! The words that a person at the board says.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::bench::{PATIENCE, ask, command, exe, idle, image, process, ps, push};
use coracle_test_support::agent::{Board, Settings};
use coracle_test_support::images::{Form, push_index};
use coracle_test_support::pages;
use coracle_test_support::process::eventually;
use coracle_test_support::registry::Registry;
use coracle_test_support::secrets;

/// A registry, and a board without agent or broker.
fn board() -> (Registry, Board) {
    let registry = Registry::start().unwrap();
    let mut settings = Settings::new("console");
    settings.insecure = vec![registry.host()];
    let board = Board::new(exe(), &settings).unwrap();
    (registry, board)
}

#[track_caller]
fn json(board: &Board, words: &[&str]) -> Value {
    let text = ask(board, words);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("coracle {words:?}: {error}: {text}"))
}

/// Code and complaint of a command that must fail.
#[track_caller]
fn fails(board: &Board, words: &[&str]) -> (i32, String) {
    let output = command(board, words);
    assert!(!output.status.success(), "coracle {words:?} did not fail");
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn each_command_that_the_pages_tell_is_one() {
    let untrue = pages::untrue("coracle", |words| {
        let said = Command::new(exe()).args(words).arg("--help").output().unwrap();
        said.status.success().then(|| String::from_utf8_lossy(&said.stdout).into_owned())
    });
    assert!(untrue.is_empty(), "{untrue:#?}");
}

#[test]
fn pages_that_cannot_be_written_are_told_with_their_folder() {
    let (_registry, board) = board();
    let (code, said) = fails(&board, &["man", "/proc/none"]);
    assert_eq!(code, 64);
    assert!(said.contains("failed to write pages into /proc/none: "), "{said}");
}

#[test]
fn the_line_of_2018_runs_unchanged() {
    let (registry, board) = board();
    let script = "trap 'exit 0' TERM; cat /etc/nginx/nginx.conf; grep mgmt /etc/hosts; grep ' / ' /proc/mounts; \
                  touch /var/run/ok && echo run; touch /no || echo kept; test -t 0 && echo tty; \
                  sleep 100000 & wait";
    push(&registry, "nginx:latest", &image(&["sh", "-c", script], "nginx"));
    let conf = board.state_dir().parent().unwrap().join("nginx.conf");
    fs::write(&conf, "worker_processes 1;\n").unwrap();
    let line = format!(
        "run -dit --net=host --read-only --tmpfs=/var/run -v {}:/etc/nginx/nginx.conf \
         --add-host=mgmt.foundries.io:127.0.0.1 --name nginx-coap-proxy {}",
        conf.display(),
        registry.reference("nginx:latest")
    );
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(ask(&board, &words).trim(), "local.nginx-coap-proxy");
    let log = eventually(PATIENCE, || {
        let log = ask(&board, &["logs", "nginx-coap-proxy"]);
        if log.contains("tty") { Ok(log) } else { Err(log) }
    });
    for word in ["worker_processes 1;", "127.0.0.1\tmgmt.foundries.io", " ro,", "run", "kept", "tty"] {
        assert!(log.replace("127.0.0.1 mgmt", "127.0.0.1\tmgmt").contains(word), "{word}: {log}");
    }
    let (code, said) = fails(&board, &words);
    assert_eq!(code, 64, "{said}");
    assert!(said.contains("coracle rm -f nginx-coap-proxy"), "{said}");
}

#[test]
fn a_foreground_run_gives_streams_and_exit_code_through() {
    let (registry, board) = board();
    let image = push(&registry, "tool:1", &image(&["sh"], "tool"));
    // Many times: whoever joins a program that ends at once may come too late for its words.
    let script = "echo out; echo err >&2; exit 7";
    for _ in 0..10 {
        let output = command(&board, &["run", "--rm", &image, "sh", "-c", script]);
        assert_eq!(output.status.code(), Some(7), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "out\n", "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).ends_with("err\n"), "{output:?}");
    }
    assert!(ps(&board).is_empty(), "--rm left it");

    let mut run = board.command(&["run", "-i", "--rm", &image, "cat"]);
    let mut child = run.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"through and through\n").unwrap();
    let output = child.wait_with_output().unwrap();
    secrets::look_output("coracle run", &output);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "through and through\n");
    assert_eq!(output.status.code(), Some(0));

    let (code, said) = fails(&board, &["run", "--rm", &image, "/nowhere"]);
    assert!(code != 0 && said.contains("/nowhere"), "{code}: {said}");
    assert!(ps(&board).is_empty(), "{:?}", ps(&board));
}

#[test]
fn a_workload_is_listed_read_entered_stopped_and_removed() {
    let (registry, board) = board();
    let script = "trap 'echo bye; exit 3' TERM; echo ready; sleep 100000 & wait";
    let image = push(&registry, "talker:1", &image(&["sh", "-c", script], "talker"));
    ask(&board, &["run", "-d", "--name", "talker", &image]);
    eventually(PATIENCE, || ask(&board, &["logs", "talker"]).trim() == "ready");
    let (pid, _) = process(&board, "local.talker");
    let table = ask(&board, &["ps"]);
    assert!(table.starts_with("WORKLOAD") && table.contains("local.talker"), "{table}");
    assert!(table.contains(&pid.to_string()), "{table}");

    assert_eq!(ask(&board, &["exec", "talker", "cat", "/word"]), "talker\n");
    let output = command(&board, &["exec", "talker", "sh", "-c", "exit 5"]);
    assert_eq!(output.status.code(), Some(5), "{output:?}");

    // Somebody follows while it ends.
    let mut follow = board.command(&["logs", "-f", "talker"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let (code, said) = fails(&board, &["rm", "talker"]);
    assert!(code == 64 && said.contains("--force"), "{said}");
    assert_eq!(ask(&board, &["stop", "talker"]).trim(), "local.talker");
    assert_eq!(lines.map(Result::unwrap).collect::<Vec<_>>(), ["bye"]);
    assert!(follow.wait().unwrap().success());

    let stopped = json(&board, &["ps", "-a", "--json"]);
    assert_eq!(
        (&stopped[0]["state"], &stopped[0]["exitCode"]),
        (&"stopped".into(), &3.into()),
        "{stopped:#}"
    );
    assert_eq!(ask(&board, &["ps", "--json"]).trim(), "[]");
    ask(&board, &["rm", "talker"]);
    assert!(ps(&board).is_empty());
    let (code, said) = fails(&board, &["logs", "talker"]);
    assert!(code == 64 && said.contains("no workload talker"), "{said}");
}

#[test]
fn images_come_by_tag_digest_and_list_and_go_when_nothing_needs_them() {
    let (registry, board) = board();
    let kept = push(&registry, "kept:1", &idle("kept"));
    let pushed = idle("list").push(&registry.host(), "list", None, Form::Docker).unwrap();
    let list =
        push_index(&registry.host(), "list", "1", std::slice::from_ref(&pushed), Form::Docker).unwrap();
    push(&registry, "loose:1", &idle("loose"));

    let pulled = json(&board, &["pull", "--json", &registry.reference("list:1")]);
    assert_eq!(pulled["index"], list.as_str(), "{pulled:#}");
    assert_eq!(pulled["manifest"], pushed.digest.as_str(), "{pulled:#}");
    let by_digest = format!("{}@{list}", registry.reference("list"));
    assert_eq!(json(&board, &["pull", "--json", &by_digest])["manifest"], pushed.digest.as_str());
    let said = ask(&board, &["pull", "-q", &registry.reference("loose:1")]);
    assert!(said.contains("for linux/amd64: sha256:"), "{said}");
    ask(&board, &["run", "-d", "--name", "keeps", &kept]);
    let before = process(&board, "local.keeps");

    let images = json(&board, &["images", "--json"]);
    let used = |image: &&Value| image["used"] == true;
    let images = images.as_array().unwrap();
    assert_eq!(images.iter().filter(used).count(), 1, "{images:#?}");
    assert!(ask(&board, &["images"]).starts_with("IMAGE"));

    let pruned = json(&board, &["prune", "--json"]);
    assert!(pruned["images"].as_u64() >= Some(2) && pruned["bytes"].as_u64() > Some(0), "{pruned:#}");
    let left = json(&board, &["images", "--json"]);
    let left = left.as_array().unwrap();
    assert!(!left.is_empty() && left.iter().all(|image| image["used"] == true), "{left:#?}");
    assert_eq!(process(&board, "local.keeps"), before);
    assert_eq!(ask(&board, &["exec", "keeps", "cat", "/word"]), "kept\n", "its layers are gone");
    let again = json(&board, &["prune", "--json"]);
    assert_eq!((&again["images"], &again["layers"]), (&0.into(), &0.into()), "{again:#}");

    // What was stopped is still needed until it is removed.
    ask(&board, &["rm", "-f", "keeps"]);
    ask(&board, &["prune"]);
    assert_eq!(json(&board, &["images", "--json"]), serde_json::json!([]));
    let layers = fs::read_dir(board.state_dir().join("layers")).unwrap().count();
    assert_eq!(layers, 0);
}

#[test]
fn every_fact_is_told_as_json_too() {
    let (_registry, mut board) = board();
    board.start().unwrap();
    let status = eventually(PATIENCE, || {
        let status = json(&board, &["status", "--json"]);
        if status["state"]["schema"] == "state/v1" { Ok(status) } else { Err(status) }
    });
    assert_eq!(status["agentRunning"], true, "{status:#}");
    assert!(json(&board, &["check-config", "--json"]).is_object());
    assert!(json(&board, &["platform", "--json"])["platforms"].is_array());
    assert_eq!(json(&board, &["images", "--json"]), serde_json::json!([]));
    assert_eq!(json(&board, &["ps", "--json"]), serde_json::json!([]));
    let doctor = command(&board, &["doctor", "--json"]);
    let findings: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    assert!(findings.is_object() || findings.is_array(), "{findings:#}");
}

#[test]
fn a_wrong_line_ends_with_64_and_a_word_that_helps() {
    let (_registry, board) = board();
    for (line, help) in [
        ("frobnicate", "Usage"),
        ("run", "IMAGE"),
        ("run --nonsense busybox", "--nonsense"),
        ("run -p 80:80 busybox", "--net=host"),
        ("run --network bridge busybox", "host"),
        ("run -v relative:/x:zz busybox", "--volume"),
        ("run --memory lots busybox", "--memory"),
        ("run --pull sometimes busybox", "say always, missing or never"),
        ("run --pull never nowhere.invalid/x", "not on this board"),
        ("pull UPPER/case", "UPPER/case"),
        ("pull --platform plan nowhere.invalid/x", "plan"),
        ("stop nobody", "no workload nobody"),
        ("exec nobody true", "no workload nobody"),
    ] {
        let (code, said) = fails(&board, &line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(code, 64, "{line}: {said}");
        assert!(said.contains(help), "{line}: {said:?} does not say {help:?}");
    }
    let (code, said) = fails(&board, &["pull", "127.0.0.1:1/nothing:here"]);
    assert_eq!(code, 75, "a registry that is down may come back: {said}");
    fs::write(board.state_dir().parent().unwrap().join("config.toml"), "flavor = 1\n").unwrap();
    let (code, said) = fails(&board, &["status"]);
    assert!(code == 78 && said.contains("config.toml:1: flavor"), "{code}: {said}");
}

#[test]
fn two_agents_cannot_share_a_store() {
    let (_registry, mut board) = board();
    let pid = board.start().unwrap().pid();
    eventually(PATIENCE, || ask(&board, &["status"]).contains("agent     running"));
    let (code, said) = fails(&board, &["agent"]);
    assert_eq!(code, 75, "{said}");
    assert!(said.contains(&format!("{pid}")), "{said:?} does not name {pid}");
    assert!(board.agent().unwrap().is_running());
}
