//! Starting, ending, starting again, and what survives whom.

use std::process::{Command, Stdio};
use std::time::Instant;

use coracle_core::compose::Restart;
use coracle_host::process::alive;
use coracle_host::runtime::{Execution, Runtime};
use coracle_host::supervise::{Cause, Life, Phase, Supervisor, UNIT_VERSION};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::bench::{Bench, eventually, words};

/// A script that runs until it is told to end, and says so.
const LISTENER: &str =
    "trap 'echo told; exit 3' TERM; trap 'echo hup; exit 4' HUP; echo up; while :; do sleep 0.05; done";

#[test]
fn a_script_runs_to_its_end_and_its_exit_code_is_known() {
    let bench = Bench::new();
    let unit = bench.unit("hello", "echo hello; echo oops >&2; exit 7");
    let status = bench.run(&unit);
    assert_eq!((status.phase, status.exit_code, status.pid), (Phase::Exited, Some(7), None));
    assert!(status.started_at.is_some() && status.finished_at >= status.started_at);
    let mut lines = bench.lines(&unit.id);
    lines.sort();
    assert_eq!(lines, ["hello", "oops"]);
}

#[test]
fn a_program_that_is_missing_fails_with_the_runtimes_words() {
    let bench = Bench::new();
    let mut unit = bench.unit("missing", "");
    unit.workload.service.command = Some(vec!["/bin/nothing".to_owned()]);
    let error = bench.direct.start(&unit).unwrap_err();
    let text = words(&error);
    assert!(matches!(error.cause(), Cause::Shim(_)) && !error.retry(), "{error:?}");
    assert!(text.contains("create container") && text.contains("/bin/nothing"), "{text}");
    let status = bench.direct.status(&unit.id).unwrap();
    assert_eq!(status.phase, Phase::Failed);
    assert!(status.error.unwrap().contains("/bin/nothing"));
}

#[test]
fn starting_what_runs_changes_nothing_and_something_else_is_refused() {
    let bench = Bench::new();
    let unit = bench.unit("web", LISTENER);
    let first = bench.direct.start(&unit).unwrap();
    assert_eq!(bench.direct.start(&unit).unwrap(), first);
    let mut other = unit.clone();
    other.workload.service.environment.insert("A".to_owned(), "b".to_owned());
    let error = bench.direct.start(&other).unwrap_err();
    assert!(matches!(error.cause(), Cause::Different), "{error:?}");
    assert!(matches!(bench.direct.remove(&unit.id).unwrap_err().cause(), Cause::Running));
    assert_eq!(bench.direct.list(), [first]);
}

#[test]
fn stopping_sends_the_signal_and_removing_leaves_nothing() {
    let bench = Bench::new();
    let mut unit = bench.unit("web", LISTENER);
    unit.workload.service.restart = Restart::Always;
    unit.workload.service.stop_grace_ms = 60_000;
    let pid = bench.direct.start(&unit).unwrap().pid.unwrap();
    bench.until_lines(&unit.id, |lines| lines == ["up"]);
    let status = bench.direct.stop(&unit.id).unwrap();
    assert_eq!((status.phase, status.exit_code), (Phase::Stopped, Some(3)));
    assert_eq!(bench.lines(&unit.id), ["up", "told"]);
    assert!(!alive(pid));
    assert_eq!(bench.direct.stop(&unit.id).unwrap(), status);
    bench.direct.remove(&unit.id).unwrap();
    bench.direct.remove(&unit.id).unwrap();
    assert!(!bench.direct.place(&unit.id).dir().exists() && !unit.scratch.exists());
    assert!(matches!(bench.direct.stop(&unit.id).unwrap_err().cause(), Cause::Unknown));
}

#[test]
fn the_stop_signal_is_the_services_then_the_images() {
    let bench = Bench::new();
    let mut of_image = bench.unit("image", LISTENER);
    of_image.exec.stop_signal = "SIGHUP".to_owned();
    of_image.workload.service.stop_grace_ms = 60_000;
    let mut of_service = bench.unit("service", LISTENER);
    of_service.exec.stop_signal = "SIGKILL".to_owned();
    of_service.workload.service.stop_signal = Some("1".to_owned());
    of_service.workload.service.stop_grace_ms = 60_000;
    for unit in [of_image, of_service] {
        bench.direct.start(&unit).unwrap();
        bench.until_lines(&unit.id, |lines| lines == ["up"]);
        assert_eq!(bench.direct.stop(&unit.id).unwrap().exit_code, Some(4));
    }
}

#[test]
fn one_that_does_not_listen_is_killed_after_its_grace_period() {
    let bench = Bench::new();
    let mut unit = bench.unit("deaf", "trap '' TERM; echo up; while :; do sleep 1; done");
    unit.workload.service.stop_grace_ms = 300;
    bench.direct.start(&unit).unwrap();
    bench.until_lines(&unit.id, |lines| lines == ["up"]);
    let began = Instant::now();
    let status = bench.direct.stop(&unit.id).unwrap();
    assert_eq!((status.phase, status.exit_code), (Phase::Stopped, Some(137)));
    assert!(began.elapsed().as_millis() >= 300);
}

#[test]
fn the_policy_starts_again_and_the_changes_are_still_there() {
    let bench = Bench::new();
    // Counts its own runs in its root, which is kept.
    let count = "echo run >> /runs; echo $(wc -l < /runs)";
    let mut unit = bench.unit("retry", &format!("{count}; exit 1"));
    unit.workload.service.restart = Restart::OnFailure { max: Some(2) };
    let status = bench.run(&unit);
    assert_eq!((status.phase, status.exit_code, status.restarts), (Phase::Exited, Some(1), 2));
    assert_eq!(bench.lines(&unit.id), ["1", "2", "3"]);

    let mut fine = bench.unit("fine", "exit 0");
    fine.workload.service.restart = Restart::OnFailure { max: None };
    assert_eq!(bench.run(&fine).restarts, 0);

    let mut always = bench.unit("always", "exit 0");
    always.workload.service.restart = Restart::UnlessStopped;
    bench.direct.start(&always).unwrap();
    bench.until(&always.id, |status| status.restarts >= 2);
    assert_eq!(bench.direct.stop(&always.id).unwrap().phase, Phase::Stopped);
}

#[test]
fn a_long_back_off_ends_when_a_stop_is_asked_for() {
    let bench = Bench::new();
    let mut unit = bench.unit("failing", "exit 1");
    unit.workload.service.restart = Restart::Always;
    bench.direct.start(&unit).unwrap();
    bench.until(&unit.id, |status| status.phase == Phase::BackingOff && status.restarts >= 4);
    let began = Instant::now();
    assert_eq!(bench.direct.stop(&unit.id).unwrap().phase, Phase::Stopped);
    assert!(began.elapsed().as_millis() < 1500, "the fifth delay is 1.6 s");
}

#[test]
fn restarting_runs_the_same_unit_in_a_new_process() {
    let bench = Bench::new();
    let unit = bench.unit("web", LISTENER);
    let first = bench.direct.start(&unit).unwrap();
    let second = Supervisor::Direct(bench.direct.clone()).restart(&unit.id).unwrap();
    assert_eq!(second.phase, Phase::Running);
    assert_ne!(first.pid, second.pid);
    assert_eq!(bench.direct.unit(&unit.id).unwrap(), unit);
}

#[test]
fn a_workload_outlives_whoever_started_it() {
    let bench = Bench::new();
    let unit = bench.unit("web", LISTENER);
    bench.direct.start(&unit).unwrap();
    bench.direct.stop(&unit.id).unwrap();
    // Stands in for an agent: starts the shim, then dies at once by SIGKILL, with its whole session.
    let place = bench.direct.place(&unit.id);
    let script = "\"$0\" shim \"$1\" > \"$1/answer\"; kill -9 $$";
    let mut agent = Command::new("setsid");
    agent.args(["sh", "-c", script, env!("CARGO_BIN_EXE_coracle")]).arg(place.dir());
    assert!(!agent.stdin(Stdio::null()).status().unwrap().success());
    let status = bench.until(&unit.id, |status| status.phase == Phase::Running);
    let pid = status.pid.unwrap();
    assert!(alive(pid));
    // A new agent finds it, and leaves it alone.
    assert_eq!(bench.direct.start(&unit).unwrap().pid, Some(pid));
}

#[test]
fn a_killed_shim_is_noticed_and_the_next_start_clears_up() {
    let bench = Bench::new();
    let unit = bench.unit("web", LISTENER);
    let before = bench.direct.start(&unit).unwrap();
    let shim = Life::holder(&bench.direct.place(&unit.id)).unwrap().unwrap();
    kill(Pid::from_raw(shim), Signal::SIGKILL).unwrap();
    let lost = bench.until(&unit.id, |status| status.phase == Phase::Lost);
    assert_eq!(lost.pid, before.pid, "its process runs on, unwatched");
    let after = bench.direct.start(&unit).unwrap();
    assert_eq!(after.phase, Phase::Running);
    assert_ne!(after.pid, before.pid);
    eventually(|| !alive(before.pid.unwrap()), || "the old process".to_owned());

    let shim = Life::holder(&bench.direct.place(&unit.id)).unwrap().unwrap();
    kill(Pid::from_raw(shim), Signal::SIGKILL).unwrap();
    bench.until(&unit.id, |status| status.phase == Phase::Lost);
    assert_eq!(bench.direct.stop(&unit.id).unwrap().phase, Phase::Stopped);
    eventually(|| !alive(after.pid.unwrap()), || "the second process".to_owned());
}

#[test]
fn a_shim_is_small() {
    let bench = Bench::new();
    let unit = bench.unit("web", LISTENER);
    bench.direct.start(&unit).unwrap();
    let shim = Life::holder(&bench.direct.place(&unit.id)).unwrap().unwrap();
    let rollup = std::fs::read_to_string(format!("/proc/{shim}/smaps_rollup")).unwrap();
    let kib = |name: &str| -> u64 {
        let line = rollup.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let private = kib("Private_Dirty:");
    println!("shim: {private} KiB private and written, {} KiB PSS", kib("Pss:"));
    let threads = std::fs::read_dir(format!("/proc/{shim}/task")).unwrap().count();
    assert_eq!(threads, 1);
    assert!(private <= 1536, "{rollup}");
}

#[test]
fn a_command_runs_inside_a_running_container() {
    let bench = Bench::new();
    let unit = bench.unit("web", LISTENER);
    bench.direct.start(&unit).unwrap();
    let place = bench.direct.place(&unit.id);
    let runtime = Runtime::new(&unit.runtime, &place.runtime_root(), &place.join("exec.log"));
    assert_eq!(runtime.state(&unit.id.to_string()).unwrap(), "running");
    let args = ["sh", "-c", "hostname; echo $A; pwd; id -u; kill -0 1 && exit 9"].map(str::to_owned).to_vec();
    let execution = Execution {
        args,
        env: vec!["A=b".to_owned()],
        working_dir: Some("/tmp".to_owned()),
        user: Some((0, 5)),
        ..Execution::default()
    };
    let mut executing = runtime.execution(&unit.id.to_string(), place.dir(), &execution).unwrap();
    let output = executing.command().output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "web\nb\n/tmp\n0\n", "{output:?}");
    assert_eq!(output.status.code(), Some(9));
}

#[test]
fn a_unit_of_another_version_is_told_from_damage() {
    let bench = Bench::new();
    let mut unit = bench.unit("old", "true");
    bench.run(&unit);
    unit.version = UNIT_VERSION + 1;
    unit.write(&bench.direct.place(&unit.id)).unwrap();
    let error = bench.direct.unit(&unit.id).unwrap_err();
    let said = words(&error);
    assert!(
        said.contains("unit.json is a newer agent's: it has version 2, and this agent reads up to version 1"),
        "{said}"
    );
}
