//! The night: one thing after another happens, each by chance.

use std::collections::BTreeSet;

use coracle_core::deployment::Deployment;
use coracle_core::oci::Digest;
use coracle_core::rollout::Place;

use crate::board::Board;
use crate::job::Task;
use crate::note;
use crate::plant::Plant;
use crate::post::{Message, Word};
use crate::verdict::{Bad, Cut, Flow, Stop};
use crate::weather::Weather;

/// Turns of a night.
const TURNS: u64 = 90;

impl Board {
    /// The night begins and goes by.
    pub fn night(&mut self) -> Flow {
        self.weather = Weather::of(&mut self.chance);
        let weather = self.weather;
        note!(self, "the night: {weather:?}");
        for _ in 0..TURNS {
            let turn = self.turn();
            self.survive(turn)?;
        }
        Ok(())
    }

    /// After a cut the agent starts again, which may be cut too.
    pub fn survive(&mut self, mut flow: Flow) -> Flow {
        while let Err(Stop::Cut(cut)) = flow {
            flow = self.start(cut);
        }
        flow
    }

    fn turn(&mut self) -> Flow {
        self.now += match self.chance.under(40) {
            0 => 600,
            1 => 60,
            other => other % 6,
        };
        self.programs()?;
        self.world()?;
        self.hear()?;
        if self.chance.once_in(3) {
            self.look();
        }
        self.agent()
    }

    /// A program may take the whole board down.
    pub fn programs(&mut self) -> Flow {
        if self.runtime.kills_board(self.now) {
            note!(self, "a program takes the board down");
            return Err(Stop::Cut(Cut::Power));
        }
        Ok(())
    }

    /// What the agent does with its turn: takes an answer, lets the worker go on, wakes up.
    pub fn agent(&mut self) -> Flow {
        // Several small steps a turn: work is quicker than the world.
        for _ in 0..4 {
            self.answered()?;
            self.settle()?;
            self.work()?;
            self.runs_untouched()?;
            if self.memory.job.is_none() && self.memory.answers.is_empty() {
                break;
            }
        }
        // An answer is taken at once; the world does not go on between a look and what it says.
        self.answered()?;
        self.settle()?;
        if self.memory.wake.is_some_and(|at| self.now >= at) {
            self.feed(coracle_core::rollout::Event::Tick)?;
            self.settle()?;
        }
        Ok(())
    }

    fn world(&mut self) -> Flow {
        let weather = self.weather;
        if self.chance.once_in(weather.document) {
            let (scope, bytes) = self.operator.send(&mut self.chance, self.now);
            let (number, rev) = self.operator.numbers[&scope];
            note!(self, "the operator sends {} {number}.{rev}", scope.text());
            self.post.send(Message::Document(bytes), &mut self.chance, weather.post);
        }
        if self.chance.once_in(weather.stranger) {
            let bytes = self.operator.nonsense(&mut self.chance, self.now);
            self.document(&bytes)?;
        }
        if self.chance.once_in(weather.person) {
            let word = self.chance.pick(&[
                Word::Cancel,
                Word::Retry,
                Word::Retry,
                Word::Confirm,
                Word::RollBack,
                Word::RollBack,
                Word::Hold,
                Word::Release,
            ]);
            self.post.send(Message::Word(word), &mut self.chance, weather.post);
        }
        if self.chance.once_in(weather.clock) {
            self.clock_jumps();
        }
        if self.chance.once_in(weather.disk) {
            self.store.full = !self.store.full;
            let full = self.store.full;
            note!(self, "the disk is {}", if full { "full" } else { "no longer full" });
        }
        if self.chance.once_in(weather.gate) {
            match self.chance.under(3) {
                0 => self.inhibitors = vec!["backup".to_owned()],
                1 => self.lock = Some("somebody else's turn"),
                _ => (self.inhibitors, self.lock) = (Vec::new(), None),
            }
        }
        if self.chance.once_in(weather.collect) {
            self.collect()?;
        }
        if self.chance.once_in(weather.lost) {
            self.lose_one();
        }
        if self.chance.once_in(weather.post * 2) {
            self.post.lose();
            self.connect();
        }
        if self.chance.once_in(weather.cut * 4) {
            return Err(Stop::Cut(Cut::Power));
        }
        Ok(())
    }

    fn clock_jumps(&mut self) {
        if self.chance.once_in(2) {
            (self.clock_off, self.synced) = (0, true);
        } else {
            let far = self.chance.pick(&[100_i64, -100, 90_000, -90_000, -1_700_000_000]);
            (self.clock_off, self.synced) = (far, self.chance.once_in(2));
        }
        let off = self.clock_off;
        note!(self, "the clock is off by {off} s");
    }

    fn lose_one(&mut self) {
        let at = usize::try_from(self.chance.under(2)).unwrap_or(0);
        if let Some((id, placed)) = self.runtime.placed.iter_mut().nth(at) {
            placed.lost = true;
            self.untouched = None;
            let id = id.clone();
            note!(self, "{id} is lost");
        }
    }

    fn hear(&mut self) -> Flow {
        match self.post.arrive(&mut self.chance, self.weather.post) {
            Some(Message::Document(bytes)) => self.document(&bytes),
            Some(Message::Word(word)) => {
                note!(self, "a person says {word:?}");
                self.word(word)
            }
            None => Ok(()),
        }
    }

    /// Somebody collects what is not needed, by what the journal holds; not while something is being pulled.
    pub fn collect(&mut self) -> Flow {
        if matches!(self.memory.job.as_ref().map(|job| job.task), Some(Task::Stage(_))) {
            return Ok(());
        }
        let rollout = &self.store.journal.rollout;
        let images = |deployment: &Deployment| -> Vec<Digest> {
            deployment.workloads.values().map(|workload| workload.image.manifest).collect()
        };
        let truly: BTreeSet<Digest> = rollout.needed().flat_map(images).collect();
        let planted = self.plant == Some(Plant::FallbackCollected);
        let mut needed = if planted && rollout.state.place() == Place::OnTrial {
            rollout.candidate().into_iter().flat_map(images).collect()
        } else {
            truly.clone()
        };
        needed.extend(self.runtime.images());
        let gone = self.store.collect(&needed);
        note!(self, "collected {} images", gone.len());
        // The planted fault must show in what comes of it.
        match gone.iter().find(|image| truly.contains(image)) {
            Some(image) if !planted => Err(Stop::Bad(Bad::NeededCollected(image.to_string()))),
            Some(_) | None => Ok(()),
        }
    }
}
