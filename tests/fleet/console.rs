//! What the shell and `man` are given, and how a wrong word ends.

use coracle_test_support::pages;

use crate::bench::Desk;

#[test]
fn each_command_has_a_page_and_the_shells_know_them() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = desk.good(&["completions", shell]);
        assert!(script.contains("deploy") && script.contains("keygen"), "{shell}");
    }
    assert!(desk.good(&["man"]).contains("coraclectl"));
    desk.refused(&["man", "/proc/none"], 64, &["failed to write pages into /proc/none"]);
    desk.good(&["man", "pages"]);
    for command in ["keygen", "sign", "verify", "deploy", "publish", "trust", "trust-rotate"] {
        let page = desk.read(&format!("pages/coraclectl-{command}.1"));
        assert!(page.contains(".SH OPTIONS") || page.contains(".SH SUBCOMMANDS"), "{command}: {page}");
    }
}

#[test]
fn each_command_that_the_pages_tell_is_one() {
    let desk = Desk::new();
    let untrue = pages::untrue("coraclectl", |words| {
        let ended = desk.run(&[words, &["--help"]].concat());
        (ended.code == Some(0)).then_some(ended.out)
    });
    assert!(untrue.is_empty(), "{untrue:#?}");
}

#[test]
fn wrong_words_end_as_the_agents_do() {
    let desk = Desk::new();
    desk.refused(&["deplyo"], 64, &["deploy"]);
    desk.refused(&["keygen"], 64, &["--out"]);
    desk.refused(&["deploy", "a.yaml", "--scope", "d/a", "--gen", "x"], 64, &["a number, auto or same"]);
    desk.refused(&["deploy", "a.yaml", "--scope", "d/a", "--dry-run"], 64, &["failed to read a.yaml"]);
    desk.write("a.yaml", "services: {}\n");
    desk.refused(&["deploy", "a.yaml", "--scope", "d/a", "--project", "a"], 64, &["where does it go?"]);
    let names_the_file = ["a.yaml: SCHEMA: document is not JSON"];
    desk.refused(&["trust", "show", "a.yaml"], 65, &names_the_file);
    desk.refused(&["publish", "a.yaml", "--broker", "mqtt://127.0.0.1:1"], 65, &names_the_file);
    desk.write("coraclectl.toml", "plattforms = []\n");
    desk.refused(&["trust", "show", "a.yaml"], 78, &["coraclectl.toml", "plattforms"]);
    desk.refused(&["--fleet", "none.toml", "trust", "show", "a.yaml"], 78, &["none.toml"]);
    assert_eq!(desk.run(&["--version"]).code, Some(0));
}
