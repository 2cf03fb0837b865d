use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[track_caller]
fn check(text: &str, expected: Option<(&str, u32, u32, u32)>) {
    let found = probe::parse(text).map(|found| (found.name, found.version));
    let expected =
        expected.map(|(name, major, minor, patch)| (name.to_owned(), Version { major, minor, patch }));
    assert_eq!(found, expected, "{text:?}");
}

#[test]
fn the_version_is_read_from_every_runtime() {
    check("crun version 1.8.1\ncommit: f8a0\nspec: 1.0.0\n", Some(("crun", 1, 8, 1)));
    check("crun version 1.26\n", Some(("crun", 1, 26, 0)));
    check("runc version 1.1.5+ds1\ncommit: 1\n", Some(("runc", 1, 1, 5)));
    check("runc version 1.3.0-rc.1\n", Some(("runc", 1, 3, 0)));
    check("youki version: 0.5.3\n", Some(("youki", 0, 5, 3)));
    check("", None);
    check("busybox\n", None);
}

fn program(name: &str, script: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("coracle-runtime-{}-{name}", std::process::id()));
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_runc_with_known_escapes_is_refused_and_newer_ones_are_taken() {
    let old = program("old", "echo runc version 1.2.7");
    let error = probe(&old).unwrap_err();
    assert!(matches!(error.cause(), Cause::TooOld { .. }) && !error.retry(), "{error:?}");
    let new = program("new", "echo runc version 1.2.8");
    assert_eq!(probe(&new).unwrap().name, "runc");
    let missing = probe(Path::new("/nonexistent/crun")).unwrap_err();
    assert!(matches!(missing.cause(), Cause::Missing(_)), "{missing:?}");
    for path in [old, new] {
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn the_service_managers_socket_is_kept_from_what_runs() {
    let runtime = Runtime::new(Path::new("crun"), Path::new("/run/root"), Path::new("/run/log"));
    for word in ["create", "start", "exec"] {
        let command = runtime.command(word);
        assert!(command.get_envs().any(|(name, value)| name == "NOTIFY_SOCKET" && value.is_none()), "{word}");
    }
}

#[test]
fn complaints_are_taken_from_the_log_and_bounded() {
    let line =
        |level: &str, msg: &str| format!("{{\"msg\":\"{msg}\",\"level\":\"{level}\",\"time\":\"t\"}}\n");
    assert_eq!(said::parse(&line("error", "no such file")), Some("no such file".to_owned()));
    let text = format!("{}{}noise\n{}", line("warning", "w"), line("error", "a"), line("fatal", "b"));
    assert_eq!(said::parse(&text), Some("a; b".to_owned()));
    assert_eq!(said::parse("noise"), None);
    let long = said::parse(&line("error", &"x".repeat(5000))).unwrap();
    assert_eq!(long.len(), 1024);
}

#[test]
fn an_execution_is_the_first_process_but_for_what_it_names() {
    let own = serde_json::json!({
        "args": ["init"], "cwd": "/", "env": ["PATH=/bin", "A=old"], "user": {"uid": 0, "gid": 0},
        "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]},
    });
    let execution = Execution {
        args: vec!["sh".to_owned()],
        env: vec!["A=new".to_owned()],
        user: Some((5, 6)),
        ..Execution::default()
    };
    let expected = serde_json::json!({
        "args": ["sh"], "cwd": "/", "env": ["PATH=/bin", "A=new"], "user": {"uid": 5, "gid": 6},
        "capabilities": {"bounding": ["CAP_KILL"]}, "terminal": false,
    });
    assert_eq!(execution.process(own), expected);
}
