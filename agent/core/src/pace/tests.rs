use super::*;

/// A board with one disk, which its product and an update share, in steps of a millisecond.
struct Board {
    /// What the product waits without the update, in thousandths of the time.
    own: u32,
    /// What it waits more while the update works, for each thousandth of full speed above `free`.
    harm: u32,
    /// The speed that harms nobody.
    free: u32,
    /// By how much that is more in one second and less in the next.
    uneven: u32,
    /// Whether the kernel tells.
    told: bool,
}

/// What came of some seconds on a board.
#[derive(Debug)]
struct Came {
    /// Thousandths of the time that the update worked.
    worked: u32,
    /// Thousandths of the time that the product waited beyond its own.
    harmed: u32,
    /// How often it went from full speed to less.
    slowings: u32,
    /// The longest rest at once.
    rest_ms_max: u64,
    /// Slowed at the end.
    slowed: Option<Slowed>,
}

const QUIET: Board = Board { own: 0, harm: 0, free: 1000, uneven: 0, told: true };

impl Board {
    fn run(&self, pace: &mut Pace, seconds: std::ops::Range<u64>) -> Came {
        let (mut worked, mut harmed_us, mut slowings, mut rest_ms_max) = (0_u64, 0_u64, 0, 0);
        let (mut total, mut mean, mut was) = (Waited::default(), 0_u64, pace.slowed().is_some());
        let ms = seconds.start * 1000..seconds.end * 1000;
        let length = ms.end - ms.start;
        for now in ms {
            let working = loop {
                match pace.next(now * 1000) {
                    Next::Work => break true,
                    Next::Rest(us) => {
                        rest_ms_max = rest_ms_max.max(us.div_ceil(1000));
                        break false;
                    }
                    Next::Look => pace.look(now * 1000, vec![self.told.then_some(total)]),
                }
            };
            worked += u64::from(working);
            // A queue of writes remembers some 50 ms of work.
            mean = (mean * 49 + if working { 1000 } else { 0 }) / 50;
            let above = mean.saturating_sub(u64::from(self.free));
            let harm_us = (above * u64::from(self.harm) / 1000).min(u64::from(1000 - self.own));
            harmed_us += harm_us;
            let own = if now / 1000 % 2 == 0 { self.own + self.uneven } else { self.own - self.uneven };
            total.disk_us += u64::from(own) + harm_us;
            slowings += u32::from(pace.slowed().is_some() && !was);
            was = pace.slowed().is_some();
        }
        let per_mille = |sum: u64, of: u64| u32::try_from(sum * 1000 / of).unwrap();
        Came {
            worked: per_mille(worked, length),
            harmed: per_mille(harmed_us, length * 1000),
            slowings,
            rest_ms_max,
            slowed: pace.slowed(),
        }
    }
}

#[track_caller]
fn check(board: &Board, least: u32, worked: std::ops::RangeInclusive<u32>, harmed_max: u32) -> Came {
    let came = board.run(&mut Pace::new(least), 0..60);
    assert!(worked.contains(&came.worked), "worked: {came:?}");
    assert!(came.harmed <= harmed_max, "harmed: {came:?}");
    assert!(came.rest_ms_max <= REST_US_MAX / 1000, "{came:?}");
    came
}

#[test]
fn work_is_not_held_up_where_nobody_waits_or_nobody_can_tell() {
    let full = 1000..=1000;
    for board in [QUIET, Board { told: false, own: 900, harm: 1000, free: 0, ..QUIET }] {
        let came = check(&board, 100, full.clone(), 1000);
        assert_eq!((came.slowed, came.rest_ms_max), (None, 0));
    }
    // Nor where the board's own settings say so.
    check(&Board { harm: 1000, free: 0, ..QUIET }, FULL, full, 1000);
}

#[test]
fn a_product_that_waits_by_its_own_doing_does_not_hold_up_its_updates() {
    for own in [50, 300, 600, 1000] {
        let came = check(&Board { own, ..QUIET }, 100, 930..=990, 0);
        assert_eq!(came.slowings, 0, "{own}");
    }
    // Nor where it waits more in one moment than in another, by its own doing or that of others.
    for (own, uneven) in [(100, 15), (300, 30), (600, 60)] {
        check(&Board { own, uneven, ..QUIET }, 100, 930..=990, 0);
    }
}

#[test]
fn work_slows_down_as_far_as_the_product_needs_and_no_further() {
    // Full speed would make it wait half of the time.
    let gentle = check(&Board { harm: 1000, free: 500, ..QUIET }, 100, 350..=700, 120);
    assert!(gentle.slowings >= 1);
    // The same beside waits of its own.
    check(&Board { harm: 1000, free: 500, own: 200, ..QUIET }, 100, 350..=750, 220);
    // A slow disk, which full speed would take all of.
    check(&Board { harm: 2000, free: 150, ..QUIET }, 50, 50..=300, 160);
}

#[test]
fn an_update_is_never_starved() {
    // Whatever it does, they wait for it all the time.
    let worst = Board { harm: 100_000, free: 0, ..QUIET };
    for (least, worked) in [(100, 85..=250), (300, 260..=400), (500, 430..=600)] {
        let came = check(&worst, least, worked, 1000);
        assert_eq!(came.slowed, Some(Slowed { percent: least / 10, resource: Resource::Disk }));
    }
}

#[test]
fn full_speed_comes_back_once_nobody_waits() {
    let mut pace = Pace::new(100);
    let slowed = Board { harm: 5000, free: 0, ..QUIET }.run(&mut pace, 0..10);
    assert!(slowed.slowed.is_some_and(|slowed| slowed.percent <= 20), "{slowed:?}");
    let after = QUIET.run(&mut pace, 10..20);
    assert_eq!(after.slowed, None, "{after:?}");
    let came = QUIET.run(&mut pace, 20..30);
    assert_eq!(came.worked, 1000);
}

#[test]
fn work_that_becomes_urgent_is_slowed_no_longer() {
    let (mut pace, board) = (Pace::new(100), Board { harm: 5000, free: 0, ..QUIET });
    board.run(&mut pace, 0..10);
    pace.at_least(FULL);
    assert_eq!(pace.slowed(), None);
    // But for the rest that it is in.
    assert!(board.run(&mut pace, 10..20).worked >= 950);
}

#[test]
fn what_is_waited_is_counted_by_resource_and_only_for_groups_that_stay() {
    let waited = |us: [u64; 3]| Some(Waited { processor_us: us[0], disk_us: us[1], memory_us: us[2] });
    for (before, after, expected) in [
        (vec![waited([0, 0, 0])], vec![waited([10, 20, 30])], [10, 20, 30]),
        (vec![waited([0, 0, 0]), waited([5, 5, 5])], vec![waited([10, 0, 0]), waited([6, 7, 5])], [11, 2, 0]),
        // One came, one went, one began anew.
        (vec![None, waited([9, 9, 9])], vec![waited([500, 0, 0]), None], [0, 0, 0]),
        (vec![waited([900, 900, 900])], vec![waited([1, 1, 1])], [0, 0, 0]),
        // No more than all of the time.
        (vec![waited([0, 0, 0])], vec![waited([u64::MAX, 0, 2000])], [1000, 0, 1000]),
        (vec![], vec![], [0, 0, 0]),
    ] {
        let shares = Shares::between(&before, &after, 1000);
        assert_eq!([shares.processor, shares.disk, shares.memory], expected, "{before:?} {after:?}");
    }
}

#[test]
fn a_gap_between_two_updates_is_no_measure() {
    let mut pace = Pace::new(100);
    pace.look(0, vec![Some(Waited::default())]);
    // A minute later: they waited all the time, long before this work began.
    let waited = Waited { disk_us: 60_000_000, ..Waited::default() };
    assert_eq!(pace.next(60_000_000), Next::Look);
    pace.look(60_000_000, vec![Some(waited)]);
    assert_eq!((pace.next(60_000_000), pace.slowed()), (Next::Work, None));
}
