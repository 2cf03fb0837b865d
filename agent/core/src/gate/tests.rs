use super::*;

fn policy() -> Policy {
    Policy { percent_hundredths: 10_000, ..Policy::default() }
}

#[track_caller]
fn check(policy: &Policy, now: u64, phase: Phase, reasons: &str) {
    let facts = Facts {
        device: "board-1",
        now: Timestamp(now),
        trusted_now: Timestamp(now),
        inhibitors: &[],
        free_bytes: Some(999),
        approval: Approval::Pending,
        held: None,
        lock: None,
    };
    let written: Vec<String> = closed(policy, &facts, phase).iter().map(ToString::to_string).collect();
    assert_eq!(written.join(" "), reasons);
}

/// Saturday 2026-09-12 23:30 UTC.
const SATURDAY_NIGHT: u64 = 1_789_255_800;

#[test]
fn an_open_policy_closes_no_gate() {
    check(&policy(), 0, Phase::Download, "");
    check(&policy(), 0, Phase::Apply, "");
}

#[test]
fn every_closed_gate_is_named() {
    let shut = Policy {
        hold: true,
        not_before: Some(Timestamp(SATURDAY_NIGHT)),
        percent_hundredths: 0,
        seed: "s".into(),
        ..policy()
    };
    let place = bucket("s", "board-1");
    let bucket = Hundredths(place);
    check(&shut, 60, Phase::Apply, &format!("HOLD NOT_BEFORE:2026-09-12T23:30Z PERCENT:0<{bucket}"));
}

#[test]
fn a_person_at_the_board_holds_the_download_and_the_switch_whatever_the_mode() {
    let forced = Policy { mode: Mode::Force, ..policy() };
    for phase in [Phase::Download, Phase::Apply] {
        let facts = Facts {
            device: "board-1",
            now: Timestamp(0),
            trusted_now: Timestamp(0),
            inhibitors: &[],
            free_bytes: None,
            approval: Approval::Given,
            held: Some("being moved"),
            lock: None,
        };
        let reasons: Vec<String> = closed(&forced, &facts, phase).iter().map(ToString::to_string).collect();
        assert_eq!(reasons, ["HELD:being moved"]);
    }
}

#[test]
fn a_disk_without_the_room_asked_for_holds_the_download_whatever_the_mode() {
    let wants = |free_bytes| Policy { free_bytes, mode: Mode::Force, ..policy() };
    check(&wants(1000), 0, Phase::Download, "DISK:1000");
    check(&wants(999), 0, Phase::Download, "");
    check(&wants(1000), 0, Phase::Apply, "");
}

#[test]
fn a_mode_decides_how_binding_the_gates_are() {
    let shut = Policy { percent_hundredths: 0, seed: "s".into(), ..policy() };
    check(&Policy { mode: Mode::Force, ..shut.clone() }, 5, Phase::Apply, "");
    check(&Policy { deadline: Some(Timestamp(5)), ..shut }, 5, Phase::Apply, "");
    check(&Policy { mode: Mode::Download, ..policy() }, 5, Phase::Download, "");
    check(&Policy { mode: Mode::Download, ..policy() }, 5, Phase::Apply, "DOWNLOAD_ONLY");
    check(&Policy { mode: Mode::Confirm, ..policy() }, 5, Phase::Apply, "CONFIRM");
}

#[test]
fn a_higher_percentage_only_adds_boards() {
    for device in ["a", "b", "c", "d"] {
        let place = bucket("seed", device);
        assert!(place < 10_000);
        assert_eq!(place, bucket("seed", device));
        assert_ne!(bucket("seed", "a"), bucket("other", "a"));
    }
}

#[test]
fn the_spread_counts_from_the_acceptance_and_ends() {
    let spread = Policy { seed: "s".into(), spread_s: 1000, accepted_at: Timestamp(100), ..policy() };
    let delay = spread_delay_s("s", "board-1", 1000);
    assert!(delay > 0 && delay < 1000);
    check(&spread, 100 + delay, Phase::Download, "");
    check(
        &spread,
        100 + delay - 1,
        Phase::Download,
        &format!("SPREAD:1970-01-01T00:{:02}Z", (100 + delay) / 60),
    );
    assert_eq!(spread_delay_s("s", "board-1", 0), 0);
}

#[test]
fn a_window_may_pass_midnight() {
    let window =
        Window { days: vec![Day::Sat], start_minute: 23 * 60 + 30, minutes: 60, zone: Zone::default() };
    let windowed = Policy { windows: vec![window], ..policy() };
    check(&windowed, SATURDAY_NIGHT - 1, Phase::Apply, "WINDOW:2026-09-12T23:30Z");
    check(&windowed, SATURDAY_NIGHT, Phase::Apply, "");
    check(&windowed, SATURDAY_NIGHT + 3599, Phase::Apply, "");
    check(&windowed, SATURDAY_NIGHT + 3600, Phase::Apply, "WINDOW:2026-09-19T23:30Z");
    check(&windowed, SATURDAY_NIGHT - 1, Phase::Download, "WINDOW:2026-09-12T23:30Z");
    let early = Policy { download_outside_window: true, ..windowed };
    check(&early, SATURDAY_NIGHT - 1, Phase::Download, "");
}

#[test]
fn a_window_follows_the_clocks_of_its_zone() {
    let zone = Zone::parse("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let window = Window { days: vec![Day::Sun], start_minute: 150, minutes: 60, zone };
    let windowed = Policy { windows: vec![window], ..policy() };
    // 2026-03-29, when 02:30 does not exist: one hour from 03:30 on, 01:30 UTC.
    let spring = 1_774_747_800;
    check(&windowed, spring - 1, Phase::Apply, "WINDOW:2026-03-29T01:30Z");
    check(&windowed, spring, Phase::Apply, "");
    check(&windowed, spring + 3600, Phase::Apply, "WINDOW:2026-04-05T00:30Z");
    // 2026-10-25, when 02:30 comes twice: one hour from the first on, 00:30 UTC.
    let autumn = 1_792_888_200;
    check(&windowed, autumn - 1, Phase::Apply, "WINDOW:2026-10-25T00:30Z");
    check(&windowed, autumn, Phase::Apply, "");
    check(&windowed, autumn + 3600, Phase::Apply, "WINDOW:2026-11-01T01:30Z");
}

#[test]
fn a_window_of_a_zone_without_a_rule_stays_closed() {
    let zone = Zone::parse("Europe/Berlin").unwrap();
    let window = Window { days: vec![], start_minute: 0, minutes: 24 * 60, zone };
    check(&Policy { windows: vec![window], ..policy() }, SATURDAY_NIGHT, Phase::Apply, "WINDOW:never");
}

#[test]
fn times_are_written_as_people_read_them() {
    for (at, text) in [(0, "1970-01-01T00:00Z"), (951_782_400, "2000-02-29T00:00Z"), (u64::MAX, "never")] {
        assert_eq!(window::iso_minute(Timestamp(at)), text);
    }
}
