//! Power cuts of a whole board, at each reported state, and what runs after the next boot.

use std::io;
use std::time::Duration;

use coracle_test_support::emulated::{Clock, Writes};
use serde_json::Value;

use super::hardware::Kind;
use super::scene::{Chance, Nature, Scene, status_of};

/// Where a cut falls: the status that was just reported, and the nature of what is being deployed.
const PLACES: [(&str, Nature); 9] = [
    ("ACCEPTED", Nature::Good),
    ("DOWNLOADING", Nature::Good),
    ("STAGED", Nature::Good),
    ("APPLYING", Nature::Good),
    ("VERIFYING", Nature::Good),
    ("SUCCEEDED", Nature::Good),
    ("APPLYING", Nature::Crashing),
    ("ROLLING_BACK", Nature::Crashing),
    ("ROLLED_BACK", Nature::Crashing),
];
/// Milliseconds after the report within which the power fails.
const DELAY_MS: u64 = 400;

/// What came of all cuts.
pub struct Outcome {
    /// Cuts made.
    pub done: u64,
    /// Why the last one ended badly; it is the end of the run, for there is no good board to go on with.
    pub bad: Option<io::Error>,
}

/// Cuts the power of such a board `count` times, beginning with place `from` of the list.
pub fn cuts(kind: Kind, count: u64, seed: u64, from: u64) -> io::Result<Outcome> {
    let mut board = Board::first(kind, seed)?;
    let places = PLACES.into_iter().cycle().skip(usize::try_from(from).unwrap_or(0));
    for (done, (place, nature)) in (1..=count).zip(places) {
        if let Err(error) = board.lose_power(done, place, nature) {
            return Ok(Outcome { done, bad: Some(error) });
        }
    }
    let seconds = &mut board.seconds;
    seconds.sort_by(f32::total_cmp);
    if let (Some(first), Some(median), Some(last)) =
        (seconds.first(), seconds.get(seconds.len() / 2), seconds.last())
    {
        println!("from power to the first answer: {first:.1} to {last:.1} s, median {median:.1} s");
    }
    Ok(Outcome { done: count, bad: None })
}

/// The board between two cuts.
struct Board {
    scene: Scene,
    kind: Kind,
    chance: Chance,
    /// The newest session that was heard of.
    session: Value,
    /// The last good generation.
    good: u64,
    /// From power to the first answer, of each boot.
    seconds: Vec<f32>,
}

impl Board {
    /// Runs generation 1.
    fn first(kind: Kind, seed: u64) -> io::Result<Self> {
        let mut scene = Scene::new(kind)?;
        scene.boot(Writes::Unnoted, Clock::Right)?;
        scene.deploy(1, Nature::Good)?;
        let session = settled(&scene, 1, &Value::Null)?.1;
        let chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        Ok(Self { scene, kind, chance, session, good: 1, seconds: Vec::new() })
    }

    fn lose_power(&mut self, number: u64, place: &str, nature: Nature) -> io::Result<()> {
        let generation = number + 1;
        let delay = Duration::from_millis(self.chance.next() % DELAY_MS);
        self.scene.deploy(generation, nature)?;
        self.scene.until(place, |said| {
            let ours = said.kind == "event" && said.payload["desired"]["gen"] == generation;
            (ours && said.payload["to"] == place).then_some(())
        })?;
        std::thread::sleep(delay);
        self.scene.cut()?;
        let clock = self.kind.clock(number);
        let began = self.scene.boot(Writes::Unnoted, clock)?;
        print!("cut {number:>2}: {nature:?} {place} + {} ms, clock {clock:?}: ", delay.as_millis());
        let (first, at) = self.scene.until_answered(&[self.good, generation])?;
        let seconds = (at - began).as_secs_f32();
        print!("generation {first} answers after {seconds:.1} s, ");
        let (status, session) = settled(&self.scene, generation, &self.session)?;
        let (good, expected) = match nature {
            Nature::Good => (generation, status != "ROLLED_BACK"),
            Nature::Crashing => (self.good, status == "ROLLED_BACK"),
        };
        if !expected {
            return Err(io::Error::other(format!("it ended {status}\n{}", self.scene.tail())));
        }
        self.scene.until_answered(&[good])?;
        println!("then {status}, and generation {good} answers");
        self.seconds.push(seconds);
        (self.good, self.session) = (good, session);
        Ok(())
    }
}

/// Waits until a session after `old` says how the passage of `generation` ended; hands back the status and the session.
pub(super) fn settled(scene: &Scene, generation: u64, old: &Value) -> io::Result<(String, Value)> {
    scene.until(&format!("end of generation {generation}"), |said| {
        status_of(said, generation).filter(|(status, sid)| {
            sid != old && ["SUCCEEDED", "IDLE", "ROLLED_BACK"].contains(&status.as_str())
        })
    })
}
