//! The machine against a board in memory, which loses power, answers late, twice or wrongly, and gets new documents
//! at any moment. Each schedule comes from its seed alone.

use super::*;

/// A board: what is durable, and what runs.
struct Board {
    journal: Rollout,
    running: Option<u64>,
    now: u64,
    newest: u64,
    late: Vec<Event>,
}

struct Chance(u64);

impl Chance {
    /// 0 to `below` - 1, by a xorshift generator.
    fn under(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    fn once_in(&mut self, n: u64) -> bool {
        self.under(n) == 0
    }
}

/// Every third generation crashes on this board.
fn is_good(number: u64) -> bool {
    !number.is_multiple_of(3)
}

impl Board {
    fn feed(&mut self, event: Event) {
        self.journal = next(self.journal.clone(), event, Timestamp(self.now));
    }

    /// Does what the machine calls for and gives the answer, unless chance has the power fail first.
    fn act(&mut self, chance: &mut Chance, faults: bool) {
        let rollout = self.journal.clone();
        let calls = work(&rollout, Timestamp(self.now));
        if let Some(keep) = calls.keep {
            self.running = Some(keep.generation.number);
        }
        let fails = faults && chance.once_in(4);
        let class = if chance.once_in(2) { Class::Transient } else { Class::Permanent };
        let answer = match calls.work {
            Work::Rest => Event::Tick,
            Work::AskToDownload(t) | Work::AskToApply(t) => {
                let closed = if faults && chance.once_in(3) { vec![Reason::Hold] } else { vec![] };
                Event::Gates(t.document, closed)
            }
            Work::Stage(t) if fails => Event::StageFailed(t.document, fault(class)),
            Work::Stage(t) => Event::Staged(t.document, deployment(t.generation.number)),
            Work::Apply(t, candidate) => {
                // The old one is stopped before the new one starts; power may fail between.
                self.running = None;
                if fails {
                    Event::ApplyFailed(t.document, fault(class))
                } else {
                    self.running = Some(candidate.generation.number);
                    Event::Applied(t.document)
                }
            }
            Work::Observe(t, candidate) => {
                let number = candidate.generation.number;
                self.running = is_good(number).then_some(number);
                let seen =
                    if is_good(number) { HEALTHY } else { Observation::Unhealthy(fault(Class::Permanent)) };
                Event::Observed(t.document, seen)
            }
            Work::Restore(t, _) | Work::Watch(t, _) if fails => {
                Event::RestoreFailed(t.document(), fault(class))
            }
            Work::Restore(t, active) => {
                self.running = active.map(|a| a.generation.number);
                Event::Restored(t.document())
            }
            Work::Watch(t, active) => {
                self.running = Some(active.generation.number);
                Event::Observed(t.document(), HEALTHY)
            }
        };
        if faults && chance.once_in(5) {
            // Power fails before the answer is journaled.
            self.late.push(answer);
            self.running = None;
            self.feed(Event::Started);
        } else {
            self.feed(answer);
        }
    }
}

fn schedule(seed: u64) {
    let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let journal = Rollout { active: Some(deployment(1)), ..Rollout::default() };
    let mut board = Board { journal, running: Some(1), now: 1000, newest: 1, late: Vec::new() };
    for _ in 0..60 {
        board.now = board.now.saturating_sub(chance.under(3)) + chance.under(10);
        if chance.once_in(8) {
            board.newest += 1;
            board.feed(Event::Desired(target(board.newest)));
        }
        if chance.once_in(12) {
            board.feed(match chance.under(3) {
                0 => Event::Cancel,
                1 => Event::Retry(Some(target(board.newest))),
                _ => Event::Confirm,
            });
        }
        if let Some(event) = (!board.late.is_empty() && chance.once_in(3)).then(|| board.late.remove(0)) {
            board.feed(event);
        }
        board.act(&mut chance, true);
    }
    // The night is over: nothing fails any more.
    for _ in 0..40 {
        board.now += 1800;
        board.act(&mut chance, false);
    }
    let active = board.journal.active.as_ref().map(|a| a.generation.number);
    let state = name(&board.journal.state);
    assert!(board.journal.under_way().is_none(), "seed {seed}: still {state}");
    assert!(active.is_some_and(is_good), "seed {seed}: {state} with {active:?} as the last good one");
    assert_eq!(board.running, active, "seed {seed}: {state}, something else than the last good one runs");
    if state == "succeeded" {
        assert_eq!(active, Some(board.newest), "seed {seed}: succeeded with an old document");
    }
}

#[test]
fn no_schedule_ends_without_a_good_deployment_running() {
    for seed in 1..=20_000 {
        schedule(seed);
    }
}
