//! Health checks: run by the shim, judged by their exit codes, and never in anybody's way.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use coracle_core::compose::{Healthcheck, Mount, NetworkMode, Probe, Probed, Timing};
use coracle_core::health::State;
use coracle_host::supervise::{Checked, Phase, Status, Unit};

use super::bench::{Bench, eventually};

const IDLE: &str = "while :; do sleep 0.05; done";

const QUICK: Timing =
    Timing { interval_ms: 100, timeout_ms: 60_000, retries: 2, start_period_ms: 0, start_interval_ms: None };

fn check(unit: &mut Unit, test: &[&str], timing: Timing) {
    let Timing { interval_ms, timeout_ms, retries, start_period_ms, start_interval_ms } = timing;
    let test = test.iter().map(|word| (*word).to_owned()).collect();
    let check = Healthcheck { test, interval_ms, timeout_ms, retries, start_period_ms, start_interval_ms };
    unit.workload.service.healthcheck = Some(check);
}

/// A directory of the board that the container has at `/shared`.
fn share(bench: &Bench, unit: &mut Unit) -> PathBuf {
    let source = bench.dir.join("shared");
    fs::create_dir_all(&source).unwrap();
    unit.workload.service.mounts.push(Mount::Bind {
        source: source.to_string_lossy().into_owned(),
        target: "/shared".to_owned(),
        read_only: false,
        create: false,
    });
    source
}

#[track_caller]
fn until_health(bench: &Bench, unit: &Unit, state: State) -> Checked {
    let is = |status: &Status| status.health.as_ref().is_some_and(|checked| checked.state == state);
    bench.until(&unit.id, is).health.unwrap()
}

#[test]
fn a_check_follows_what_it_looks_at_and_says_why() {
    let bench = Bench::new();
    let mut unit = bench.unit("web", IDLE);
    let ready = share(&bench, &mut unit).join("ready");
    let line = "test -e /shared/ready || { echo; echo it is not there; exit 3; }";
    check(&mut unit, &["CMD-SHELL", line], QUICK);
    let pid = bench.direct.start(&unit).unwrap().pid;
    let why = until_health(&bench, &unit, State::Unhealthy).why;
    assert_eq!(why.as_deref(), Some("failed with exit code 3: it is not there"));
    fs::write(&ready, "").unwrap();
    assert_eq!(until_health(&bench, &unit, State::Healthy).why, None);
    fs::remove_file(&ready).unwrap();
    until_health(&bench, &unit, State::Unhealthy);
    let status = bench.direct.status(&unit.id).unwrap();
    assert_eq!((status.phase, status.pid), (Phase::Running, pid), "a check moved the workload");
    let stopped = bench.direct.stop(&unit.id).unwrap();
    assert_eq!((stopped.phase, stopped.health), (Phase::Stopped, None));
}

#[test]
fn a_workload_without_a_check_has_no_health() {
    let bench = Bench::new();
    let mut unit = bench.unit("web", IDLE);
    check(&mut unit, &["NONE"], QUICK);
    assert_eq!(bench.direct.start(&unit).unwrap().health, None);
}

#[test]
fn a_check_that_hangs_is_ended_with_what_it_started() {
    let bench = Bench::new();
    let mut unit = bench.unit("web", IDLE);
    check(&mut unit, &["CMD", "sleep", "98761"], Timing { timeout_ms: 200, ..QUICK });
    bench.direct.start(&unit).unwrap();
    let why = until_health(&bench, &unit, State::Unhealthy).why;
    assert_eq!(why.as_deref(), Some("took longer than 200 ms"));
    // Two were given up; one more may be under way.
    bench.until(&unit.id, |status| status.health.as_ref().is_some_and(|checked| checked.streak >= 4));
    eventually(|| sleepers("98761") <= 1, || format!("{} checks run", sleepers("98761")));
}

/// Processes that were started as `sleep SECONDS`.
fn sleepers(seconds: &str) -> usize {
    let wanted = format!("sleep\0{seconds}\0");
    let is = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == wanted);
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter(|entry| entry.file_name().to_str().is_some_and(is)).count()
}

#[test]
fn a_check_that_hangs_does_not_hold_up_the_stop() {
    let bench = Bench::new();
    let mut unit = bench.unit("web", IDLE);
    let begun = share(&bench, &mut unit).join("begun");
    check(&mut unit, &["CMD-SHELL", "echo > /shared/begun; sleep 98762"], QUICK);
    bench.direct.start(&unit).unwrap();
    eventually(|| begun.exists(), || "no check was begun".to_owned());
    let asked = Instant::now();
    assert_eq!(bench.direct.stop(&unit.id).unwrap().phase, Phase::Stopped);
    // Far below what the check itself may take.
    assert!(asked.elapsed() < Duration::from_secs(30), "{:?}", asked.elapsed());
    eventually(|| sleepers("98762") == 0, || "the check runs on".to_owned());
}

#[test]
fn a_check_that_cannot_be_run_says_why() {
    let bench = Bench::new();
    let mut unit = bench.unit("web", IDLE);
    check(&mut unit, &["CMD", "/nowhere/probe"], QUICK);
    bench.direct.start(&unit).unwrap();
    let why = until_health(&bench, &unit, State::Unhealthy).why.unwrap();
    assert!(why.contains("/nowhere/probe"), "{why}");
}

#[test]
fn a_check_that_passes_and_fails_in_turn_is_unhealthy() {
    let bench = Bench::new();
    let mut unit = bench.unit("web", IDLE);
    fs::write(share(&bench, &mut unit).join("count"), "0").unwrap();
    let line = "n=$(cat /shared/count); echo $((n + 1)) > /shared/count; exit $((n % 2))";
    check(&mut unit, &["CMD-SHELL", line], Timing { retries: 3, ..QUICK });
    bench.direct.start(&unit).unwrap();
    let checked = until_health(&bench, &unit, State::Unhealthy);
    assert!(checked.streak < 3, "{checked:?}");
    assert_eq!(checked.why.as_deref(), Some("failed with exit code 1"));
}

#[test]
fn the_health_of_another_run_begins_anew() {
    let bench = Bench::new();
    // The first run ends when it is told to, the second one stays.
    let script = "test -e /shared/again && while :; do sleep 0.05; done; \
                  while ! test -e /shared/end; do sleep 0.05; done; echo > /shared/again; exit 1";
    let mut unit = bench.unit("web", script);
    let shared = share(&bench, &mut unit);
    unit.workload.service.restart = coracle_core::compose::Restart::Always;
    check(&mut unit, &["CMD-SHELL", "! test -e /shared/again"], QUICK);
    bench.direct.start(&unit).unwrap();
    until_health(&bench, &unit, State::Healthy);
    fs::write(shared.join("end"), "").unwrap();
    let status = bench.until(&unit.id, |status| {
        status.restarts == 1 && status.health.as_ref().is_some_and(|c| c.state == State::Unhealthy)
    });
    assert_eq!(status.phase, Phase::Running);
}

/// What a probe of a web server in a network of its own comes to.
#[track_caller]
fn probe(probed: Probed, state: State, says: Option<&str>) {
    let bench = Bench::new();
    let mut unit = bench.unit("web", "mkdir -p /www; echo hello > /www/up; exec httpd -f -p 8080 -h /www");
    assert_eq!(unit.workload.service.network_mode, NetworkMode::None);
    // An early look may come before the server listens, and counts for nothing.
    let timing = Timing { interval_ms: 1_000, retries: 1, start_interval_ms: Some(100), ..QUICK };
    unit.workload.service.probe = Some(Probe { probed, timing });
    bench.direct.start(&unit).unwrap();
    assert_eq!(until_health(&bench, &unit, state).why.as_deref(), says);
}

#[test]
fn a_probe_asks_a_port_in_the_containers_own_network() {
    probe(Probed::Tcp { port: 8080 }, State::Healthy, None);
    let closed =
        "failed with exit code 1: port 81 on loopback does not answer: Connection refused (os error 111)";
    probe(Probed::Tcp { port: 81 }, State::Unhealthy, Some(closed));
}

#[test]
fn a_probe_asks_for_a_page() {
    let http = |path: &str, status| Probed::Http { port: 8080, path: path.to_owned(), status };
    probe(http("/up", None), State::Healthy, None);
    probe(http("/down", Some(404)), State::Healthy, None);
    let down = "failed with exit code 1: GET /down on port 8080 is answered with status 404";
    probe(http("/down", None), State::Unhealthy, Some(down));
}
