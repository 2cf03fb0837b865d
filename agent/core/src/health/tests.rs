use super::*;
use crate::compose::{Healthcheck, NetworkMode, Probe};

const SECOND: u64 = 1_000;

fn timing() -> Timing {
    Timing {
        interval_ms: 10 * SECOND,
        timeout_ms: SECOND,
        retries: 3,
        start_period_ms: 0,
        start_interval_ms: None,
    }
}

/// Checks that take no time, each begun when the last one calls for it; `+` passes and `-` fails, the answer has
/// `s`, `h` or `u` for the state after each.
#[track_caller]
fn check(timing: Timing, results: &str, states: &str) -> Health {
    let (mut health, mut now, mut seen) = (Health::default(), 0, String::new());
    for result in results.chars() {
        now += health.pause_ms(&timing, now);
        health = health.after(&timing, result == '+', now);
        seen.push(match health.state {
            State::Starting => 's',
            State::Healthy => 'h',
            State::Unhealthy => 'u',
        });
    }
    assert_eq!(seen, states, "{results}");
    health
}

/// When the first checks are begun, all of them failing.
#[track_caller]
fn begins(timing: Timing, at_ms: &[u64]) {
    let (mut health, mut now) = (Health::default(), 0);
    for at in at_ms {
        now += health.pause_ms(&timing, now);
        assert_eq!(now, *at);
        health = health.after(&timing, false, now);
    }
}

#[test]
fn failures_in_a_row_make_it_unhealthy_and_one_pass_mends_it() {
    let each_second = Timing { interval_ms: 500, ..timing() };
    check(each_second, "+", "h");
    check(each_second, "---", "ssu");
    check(each_second, "--+--+", "sshhhh");
    check(each_second, "+---+", "hhhuh");
    check(Timing { retries: 1, ..each_second }, "+-", "hu");
    assert_eq!(check(each_second, "+--", "hhh").streak, 2);
}

#[test]
fn failures_of_the_start_period_count_only_after_it_was_healthy_once() {
    let slow = Timing { start_period_ms: 60 * SECOND, start_interval_ms: Some(10 * SECOND), ..timing() };
    check(slow, "--------", "sssssssu");
    check(slow, "-----+---", "ssssshhhu");
}

#[test]
fn what_is_ready_soon_is_known_before_dockers_first_check() {
    begins(timing(), &[500, 1_500, 3_500, 7_500, 10_000, 20_000, 30_000]);
    check(timing(), "------", "ssssss");
    check(timing(), "-------", "ssssssu");
    check(timing(), "-+", "sh");
    begins(Timing { interval_ms: 300, ..timing() }, &[300, 600, 900]);
    let said = Timing { start_period_ms: 5 * SECOND, start_interval_ms: Some(2 * SECOND), ..timing() };
    begins(said, &[2_000, 4_000, 6_000, 8_000, 10_000, 20_000]);
    let long = Timing { start_period_ms: 30 * SECOND, ..timing() };
    begins(long, &[500, 1_500, 3_500, 7_500, 12_500, 17_500, 22_500, 27_500, 30_000, 40_000]);
}

#[test]
fn what_passes_and_fails_in_turn_is_unhealthy() {
    let each_second = Timing { interval_ms: 500, ..timing() };
    check(each_second, "+-+-+-+", "hhhhhuu");
    // A stumble now and then is no flapping, and flapping is over when it is forgotten.
    check(each_second, "+-++++++++++++++-+++++++", "hhhhhhhhhhhhhhhhhhhhhhhh");
    let health = check(each_second, "+-+-+-++++++++++++", "hhhhhuuuuuuuuuuuhh");
    assert!(!health.flaps());
}

#[test]
fn the_services_own_check_stands_before_the_images() {
    let own = |test: &[&str]| Healthcheck {
        test: test.iter().map(|word| (*word).to_owned()).collect(),
        interval_ms: 1,
        timeout_ms: 2,
        retries: 3,
        start_period_ms: 4,
        start_interval_ms: None,
    };
    let command =
        |words: &[&str]| Some(Check::Command(words.iter().map(|word| (*word).to_owned()).collect()));
    let of = |service: Option<&[&str]>, image: Option<&[&str]>| {
        let service =
            Service { healthcheck: service.map(own), ..Service::new("example/app", NetworkMode::None) };
        let exec = ExecConfig { healthcheck: image.map(own), ..ExecConfig::default() };
        super::check(&service, &exec).map(|(check, _)| check)
    };
    assert_eq!(of(None, None), None);
    assert_eq!(of(None, Some(&["CMD", "/app", "health"])), command(&["/app", "health"]));
    assert_eq!(of(None, Some(&["CMD-SHELL", "test -e /ok"])), command(&["/bin/sh", "-c", "test -e /ok"]));
    assert_eq!(of(None, Some(&["NONE"])), None);
    assert_eq!(of(None, Some(&["CMD"])), None);
    assert_eq!(of(Some(&["NONE"]), Some(&["CMD", "true"])), None);
    assert_eq!(of(Some(&["CMD", "a"]), Some(&["CMD", "b"])), command(&["a"]));
    let probe = Probe { probed: Probed::Tcp { port: 80 }, timing: timing() };
    let service = Service { probe: Some(probe.clone()), ..Service::new("example/app", NetworkMode::None) };
    let exec = ExecConfig { healthcheck: Some(own(&["CMD", "true"])), ..ExecConfig::default() };
    assert_eq!(super::check(&service, &exec), Some((Check::Probe(probe.probed), timing())));
}

#[test]
fn the_end_of_what_a_check_wrote_is_kept_on_one_line() {
    assert_eq!(said(b"  one\n\ttwo \x1b[0m\n"), "one two [0m");
    let long = said("x ".repeat(1_000).as_bytes());
    assert_eq!(long.chars().count(), SAID_CHARS_MAX);
    assert_eq!(said(&[0xff, b'a']), "\u{fffd}a");
}
