//! The day after: nothing fails anymore, everything that was sent arrives, and the board must come to rest with the
//! right thing running.

use coracle_core::deployment::Generation;
use coracle_core::gate::Reason;
use coracle_core::reported::Status;
use coracle_core::rollout::{Event, Place, State, Work, work};

use crate::board::{Board, name, status};
use crate::note;
use crate::verdict::{Bad, Flow, Stop};
use crate::weather::Weather;

/// Turns until a board must have come to rest.
const TURNS: u64 = 4000;

impl Board {
    /// Day breaks, the board comes to rest, and is judged.
    pub fn dawn(&mut self) -> Flow {
        self.weather = Weather::calm();
        (self.clock_off, self.synced, self.store.full, self.lock) = (0, true, false, None);
        self.inhibitors.clear();
        note!(self, "day breaks");
        // The broker is there again, with all it retains.
        self.post.lose();
        self.connect();
        self.memory.record.hold = None;
        self.memory.clean = false;
        for _ in 0..TURNS {
            let turn = self.quiet_turn();
            self.survive(turn)?;
            if self.rests() {
                return self.judge();
            }
        }
        let state = status(&self.memory.record.rollout);
        Err(Stop::Bad(Bad::Restless(state)))
    }

    fn quiet_turn(&mut self) -> Flow {
        self.programs()?;
        while let Some(message) = self.post.arrive(&mut self.chance, 0) {
            match message {
                crate::post::Message::Document(bytes) => self.document(&bytes)?,
                crate::post::Message::Word(word) => self.word(word)?,
            }
        }
        self.look();
        self.agent()?;
        if self.memory.job.is_none() && self.memory.answers.is_empty() {
            self.pass_time();
        }
        Ok(())
    }

    /// Nothing is being done: the next thing that happens by itself is some time away.
    fn pass_time(&mut self) {
        let state = &self.memory.record.rollout.state;
        self.now += match state.place() {
            Place::OnTrial => 1,
            Place::BeforeSwitch if matches!(state, State::Waiting { .. }) => 900,
            Place::BeforeSwitch | Place::Kept | Place::GoingBack | Place::Ended => {
                self.memory.wake.map_or(1, |at| at.saturating_sub(self.now).clamp(1, 3600))
            }
        };
    }

    /// Whether nothing more will happen.
    fn rests(&self) -> bool {
        let memory = &self.memory;
        if memory.job.is_some() || !memory.answers.is_empty() || !memory.kept_or_nothing() {
            return false;
        }
        let calls = work(&memory.record.rollout, self.steady());
        match (&memory.record.rollout.state, calls.work) {
            (State::Waiting { reasons, .. }, _) => reasons.iter().any(never_opens),
            (_, Work::Rest) => calls.wake.is_none(),
            (
                _,
                Work::AskToDownload(_)
                | Work::Stage(_)
                | Work::AskToApply(_)
                | Work::Apply(..)
                | Work::Observe(..)
                | Work::Restore(..)
                | Work::Watch(..),
            ) => false,
        }
    }

    fn judge(&mut self) -> Flow {
        self.collect()?;
        if !self.memory.record.calls_for_the_same(&self.store.journal) {
            return Err(Stop::Bad(Bad::NotDurable("the record of a board at rest".to_owned())));
        }
        let rollout = &self.memory.record.rollout;
        let runs = rollout.runs();
        let state = status(rollout);
        note!(self, "at rest: {state}");
        match runs {
            // A failed candidate that is left for a look need not be whole: some of it may wait in vain.
            Some(_) if rollout.state.place() == Place::Kept => {}
            Some(runs) if !self.runtime.is_whole(runs) => {
                let what = format!("{} should, {state}", name(&runs.generation));
                return Err(Stop::Bad(Bad::WrongRuns(what)));
            }
            // Before the first good deployment, what was tried last may be left where something newer came.
            None if matches!(rollout.state, State::RolledBack { .. }) && !self.runtime.is_empty() => {
                return Err(Stop::Bad(Bad::WrongRuns(format!("nothing should, {state}"))));
            }
            Some(_) | None => {}
        }
        self.new_one_runs()
    }

    /// The document that counts runs if it is good, unless the record says why it does not.
    fn new_one_runs(&self) -> Flow {
        let record = &self.memory.record;
        for (scope, numbers) in &self.operator.numbers {
            let known = record.accepted.iter().find(|(known, _)| known.to_string() == scope.text());
            let known = known.map(|(_, wanted)| &wanted.target.generation);
            if known.map(|known| (known.number, known.rev)) != Some(*numbers) {
                return Err(Stop::Bad(Bad::Forgotten(format!(
                    "{} {numbers:?} was never taken",
                    scope.text()
                ))));
            }
        }
        let Some((winner, _)) = record.winner(&self.device, &self.groups) else { return Ok(()) };
        let generation = &winner.target.generation;
        // A revision changes when, not what.
        let same =
            |active: &Generation| active.scope == generation.scope && active.number == generation.number;
        let runs = record.rollout.active.as_ref().is_some_and(|active| same(&active.generation));
        if runs || self.said_why(generation) {
            return Ok(());
        }
        Err(Stop::Bad(Bad::Forgotten(format!("{}, {}", name(generation), status(&record.rollout)))))
    }

    fn said_why(&self, generation: &Generation) -> bool {
        let record = &self.memory.record;
        if record.rollout.known_bad(generation).is_some() || record.rollout.under_way().is_some() {
            return true;
        }
        let last = record.history.iter().rev().find(|passage| passage.generation == *generation);
        let end = last.and_then(|passage| passage.end.as_ref()).map(|end| end.status);
        match end {
            Some(Status::Canceled | Status::RolledBack | Status::Failed | Status::Paused) => true,
            Some(
                Status::Idle
                | Status::Rejected
                | Status::Accepted
                | Status::Waiting
                | Status::Downloading
                | Status::Staged
                | Status::Applying
                | Status::Verifying
                | Status::Succeeded
                | Status::RollingBack
                | Status::Broken
                | Status::Superseded,
            )
            | None => false,
        }
    }
}

impl crate::board::Memory {
    /// Whether the good deployment was seen to, or there is none to see to.
    fn kept_or_nothing(&self) -> bool {
        let rollout = &self.record.rollout;
        rollout.state.place() == Place::Kept || rollout.runs().is_none_or(|runs| self.keeps(runs))
    }
}

/// A gate that nothing but a person or a newer document opens.
fn never_opens(reason: &Reason) -> bool {
    match reason {
        Reason::Hold | Reason::DownloadOnly | Reason::Confirm | Reason::Percent { .. } => true,
        Reason::HeldHere(_)
        | Reason::NotBefore(_)
        | Reason::Spread(_)
        | Reason::Window(_)
        | Reason::Disk(_)
        | Reason::Inhibit(_)
        | Reason::Lock(_) => false,
    }
}

/// The agent is told that time has passed.
impl Board {
    /// Puts a plain document on the board and lets it come to rest; how a board with a history begins its night.
    pub fn settle_in(&mut self) -> Flow {
        let bytes = self.operator.send_plain(1, self.now);
        self.document(&bytes)?;
        for _ in 0..TURNS {
            self.quiet_turn()?;
            self.feed(Event::Tick)?;
            if self.rests() {
                return Ok(());
            }
        }
        Err(Stop::Bad(Bad::Restless("on a calm day".to_owned())))
    }
}
