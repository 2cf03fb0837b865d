//! What a container may: memory, processes, capabilities, system calls.

use coracle_core::compose::{Restart, Ulimit};
use coracle_host::supervise::Phase;

use super::bench::{Bench, words};

#[test]
fn one_that_takes_more_memory_than_it_may_is_ended_and_that_is_said() {
    let bench = Bench::new();
    let mut unit = bench.unit("greedy", "dd if=/dev/zero of=/dev/null bs=200M count=1");
    unit.workload.service.resources.memory_bytes = Some(32 << 20);
    let status = bench.run(&unit);
    assert_eq!(status.phase, Phase::Exited);
    assert!(status.oom_killed && status.exit_code != Some(0), "{status:?}");
    assert_eq!(status.oom_limit, Some(32 << 20), "{status:?}");
    let modest = bench.unit("modest", "dd if=/dev/zero of=/dev/null bs=1M count=1");
    assert!(!bench.run(&modest).oom_killed);
}

#[test]
fn one_that_makes_more_processes_than_it_may_fails_alone() {
    let bench = Bench::new();
    let script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; echo all";
    let mut unit = bench.unit("forks", script);
    unit.workload.service.resources.pids = Some(5);
    let status = bench.run(&unit);
    assert_ne!(status.exit_code, Some(0), "{:?}", bench.lines(&unit.id));
    assert!(bench.lines(&unit.id).iter().any(|line| line.contains("fork")), "{:?}", bench.lines(&unit.id));
}

#[test]
fn capabilities_and_system_calls_are_docker_s() {
    let bench = Bench::new();
    let script = "grep -E '^(CapEff|CapBnd|Seccomp|NoNewPrivs):' /proc/self/status | tr '\\t' ' '";
    let usual = bench.unit("usual", script);
    let expected = ["CapEff: 00000000a80425fb", "CapBnd: 00000000a80425fb", "NoNewPrivs: 0", "Seccomp: 2"];
    assert_eq!(bench.output(&usual).0, expected);

    let mut changed = bench.unit("changed", script);
    let service = &mut changed.workload.service;
    (service.cap_drop, service.cap_add) = (vec!["ALL".to_owned()], vec!["NET_ADMIN".to_owned()]);
    (service.no_new_privileges, service.seccomp_unconfined) = (true, true);
    let expected = ["CapEff: 0000000000001000", "CapBnd: 0000000000001000", "NoNewPrivs: 1", "Seccomp: 0"];
    assert_eq!(bench.output(&changed).0, expected);

    let mut plain = bench.unit("plain", script);
    plain.workload.service.user = Some("1000".to_owned());
    assert_eq!(bench.output(&plain).0[0], "CapEff: 0000000000000000");
}

#[test]
fn a_system_call_outside_the_profile_is_refused() {
    let bench = Bench::new();
    let unit = bench.unit("mounts", "mount -t tmpfs none /tmp 2>&1 || echo refused");
    assert_eq!(bench.output(&unit).0.last().map(String::as_str), Some("refused"));
}

#[test]
fn limits_are_set_and_one_above_the_boards_is_refused_with_the_runtimes_words() {
    let bench = Bench::new();
    let mut unit = bench.unit("files", "ulimit -n");
    unit.workload.service.ulimits.insert("nofile".to_owned(), Ulimit { soft: 512, hard: 1024 });
    assert_eq!(bench.output(&unit).0, ["512"]);
    let mut greedy = bench.unit("greedy", "ulimit -n");
    greedy.workload.service.ulimits.insert("nofile".to_owned(), Ulimit { soft: 1 << 40, hard: 1 << 40 });
    let text = words(&bench.direct.start(&greedy).unwrap_err());
    assert!(text.contains("RLIMIT_NOFILE") || text.contains("rlimit"), "{text}");
}

#[test]
fn a_start_that_fails_is_not_tried_again_by_the_policy() {
    let bench = Bench::new();
    let mut unit = bench.unit("never", "");
    unit.workload.service.command = Some(vec!["/nothing".to_owned()]);
    unit.workload.service.restart = Restart::Always;
    bench.direct.start(&unit).unwrap_err();
    assert_eq!(bench.direct.status(&unit.id).unwrap().phase, Phase::Failed);
}
