//! The board: what it is made of, how power goes and comes, and the effects that chance may cut off.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use coracle_core::deployment::{Deployment, Generation};
use coracle_core::ident::{DeviceId, GroupName, WorkloadId};
use coracle_core::oci::{Digest, Platform};
use coracle_core::record::Record;
use coracle_core::rollout::{Event, Place};
use coracle_core::time::Timestamp;

use crate::chance::Chance;
use crate::job::{Answer, Job, Task};
use crate::kind::Kind;
use crate::operator::Operator;
use crate::plant::Plant;
use crate::post::Post;
use crate::runtime::Runtime;
use crate::store::Store;
use crate::verdict::{Bad, Cut, Flow, Stop};
use crate::weather::Weather;

/// What a restart of the agent takes away.
#[derive(Debug, Default)]
pub struct Memory {
    /// What the agent knows.
    pub record: Record,
    /// Whether the journal is known to hold that.
    pub clean: bool,
    /// When it started, in seconds of the world.
    pub started: u64,
    /// What the clock showed then.
    pub started_clock: u64,
    /// The deployment that was seen to since something last moved.
    pub kept: Option<Generation>,
    /// When it may be seen to again, after that failed.
    pub keep_at: u64,
    /// When a candidate is looked at next.
    pub observe_at: u64,
    /// Since when each workload of a trial ran at the last look.
    pub last: BTreeMap<WorkloadId, u64>,
    /// How often one was another than at the look before.
    pub replaced: u32,
    /// When to ask the machine again although nothing happens.
    pub wake: Option<u64>,
    /// What the worker does.
    pub job: Option<Job>,
    /// What came of it and was not taken yet.
    pub answers: VecDeque<(Task, Answer)>,
}

impl Memory {
    /// Whether this deployment was seen to since something last moved.
    #[must_use]
    pub fn keeps(&self, deployment: &Deployment) -> bool {
        self.kept.as_ref() == Some(&deployment.generation)
    }
}

/// The board and the world around it.
pub struct Board {
    /// Where all chance comes from.
    pub chance: Chance,
    /// How bad the night is.
    pub weather: Weather,
    /// A fault planted on purpose.
    pub plant: Option<Plant>,
    /// Seconds of the world.
    pub now: u64,
    /// What the clock is off by.
    pub clock_off: i64,
    /// Whether it follows a time server.
    pub synced: bool,
    /// What survives.
    pub store: Store,
    /// What runs.
    pub runtime: Runtime,
    /// What a restart takes away.
    pub memory: Memory,
    /// The operator.
    pub operator: Operator,
    /// The way to the board.
    pub post: Post,
    /// Files that inhibit.
    pub inhibitors: Vec<String>,
    /// Why it is not the board's turn.
    pub lock: Option<&'static str>,
    /// Generations that are bad by what the journal has held; a person's word alone takes one out.
    pub failed: BTreeSet<(String, u64)>,
    /// The good deployment that ran, whole, when nothing was moving; nothing but a switch may touch it.
    pub untouched: Option<Generation>,
    /// The log, where one is wanted.
    pub log: Option<Vec<String>>,
    /// This board.
    pub device: DeviceId,
    /// Its group.
    pub groups: Vec<GroupName>,
    /// What it can execute.
    pub platforms: Vec<Platform>,
    /// Events put through the machine.
    pub events: u64,
    /// How often the power failed or the agent was killed.
    pub cuts: u64,
}

/// Adds a line to the log, made only where somebody wants it.
#[macro_export]
macro_rules! note {
    ($board:expr, $($words:tt)+) => {
        if $board.log.is_some() {
            let line = format!("{:>7} {}", $board.now, format!($($words)+));
            if let Some(log) = $board.log.as_mut() {
                log.push(line);
            }
        }
    };
}

impl Board {
    /// A board that is switched on for the first time, on a calm day.
    #[must_use]
    pub fn new(chance: Chance, plant: Option<Plant>, log: bool) -> Self {
        Self {
            chance,
            weather: Weather::calm(),
            plant,
            now: 1_790_000_000,
            clock_off: 0,
            synced: true,
            store: Store::default(),
            runtime: Runtime::default(),
            memory: Memory::default(),
            operator: Operator::default(),
            post: Post::default(),
            inhibitors: Vec::new(),
            lock: None,
            failed: BTreeSet::new(),
            untouched: None,
            log: log.then(Vec::new),
            device: DeviceId::parse("board").unwrap(),
            groups: vec![GroupName::parse("canary").unwrap()],
            platforms: vec![Platform::linux("arm64", "v8")],
            events: 0,
            cuts: 0,
        }
    }

    /// What the clock shows.
    #[must_use]
    pub fn clock(&self) -> Timestamp {
        Timestamp(self.now.saturating_add_signed(self.clock_off))
    }

    /// The agent's own line of time: it goes on from what the clock showed when the agent started.
    #[must_use]
    pub fn steady(&self) -> Timestamp {
        Timestamp(self.memory.started_clock + (self.now - self.memory.started))
    }

    /// An effect has happened; on a bad night the power fails right after it.
    pub fn effect(&mut self) -> Flow {
        if !self.chance.once_in(self.weather.cut) {
            return Ok(());
        }
        let cut = if self.chance.once_in(3) { Cut::Agent } else { Cut::Power };
        Err(Stop::Cut(cut))
    }

    /// One event through the machine.
    pub fn feed(&mut self, event: Event) -> Flow {
        self.events += 1;
        let told = self.log.is_some().then(|| told(&event));
        let (steady, clock) = (self.steady(), self.clock());
        let before = self.memory.record.feed(event, steady, clock);
        if self.plant == Some(Plant::ExpiredConfirmed) {
            crate::plant::confirm_expired(&before, &mut self.memory.record.rollout);
        }
        let after = &self.memory.record.rollout;
        if *after == before {
            return Ok(());
        }
        self.memory.clean = false;
        if after.state != before.state {
            let (old, new) = (status(&before), status(after));
            note!(self, "  {old} → {new}, by {}", told.unwrap_or_default());
        }
        self.confirmed_is_good(before.active.map(|active| active.generation))?;
        self.retried_by_nobody(before.state.place())
    }

    fn confirmed_is_good(&self, before: Option<Generation>) -> Flow {
        let rollout = &self.memory.record.rollout;
        let Some(active) =
            rollout.active.as_ref().filter(|active| Some(&active.generation) != before.as_ref())
        else {
            return Ok(());
        };
        let images = active.workloads.values().map(|workload| workload.image.manifest);
        if images.map(|manifest| self.kind(manifest)).all(Kind::is_good) {
            return Ok(());
        }
        Err(Stop::Bad(Bad::BadConfirmed(name(&active.generation))))
    }

    fn retried_by_nobody(&self, before: Place) -> Flow {
        let state = &self.memory.record.rollout.state;
        let begins = before == Place::BeforeSwitch && state.place() == Place::OnTrial;
        let of = state.generation().filter(|_| begins);
        match of.filter(|of| self.failed.contains(&(of.scope.clone(), of.number))) {
            Some(generation) => Err(Stop::Bad(Bad::BadRetried(name(generation)))),
            None => Ok(()),
        }
    }

    /// While nothing is switched, what ran goes on running: downloads cost no downtime.
    pub fn runs_untouched(&mut self) -> Flow {
        let rollout = &self.memory.record.rollout;
        let still = match rollout.state.place() {
            Place::BeforeSwitch | Place::Ended => {
                !self.memory.job.as_ref().is_some_and(|job| job.switches(rollout.active.as_ref()))
            }
            Place::OnTrial | Place::Kept | Place::GoingBack => false,
        };
        let active = rollout.active.as_ref().filter(|_| still);
        let runs =
            active.filter(|active| self.runtime.serves(active)).map(|active| active.generation.clone());
        let ran = self.untouched.take();
        if ran.is_some() && runs.is_none() && active.map(|active| &active.generation) == ran.as_ref() {
            return Err(Stop::Bad(Bad::Downtime(status(rollout))));
        }
        self.untouched = runs;
        Ok(())
    }

    /// What the program behind a manifest does.
    #[must_use]
    pub fn kind(&self, manifest: Digest) -> Kind {
        self.operator.kinds.get(&manifest).copied().unwrap_or(Kind::NeverHealthy)
    }

    /// Makes the record durable; false where it cannot be written.
    pub fn journal(&mut self) -> Flow<bool> {
        if self.memory.clean || self.memory.record.calls_for_the_same(&self.store.journal) {
            self.memory.clean = true;
            return Ok(true);
        }
        if self.store.full || self.chance.once_in(self.weather.write) {
            note!(self, "  the journal cannot be written");
            return Ok(false);
        }
        // Not durable yet.
        self.effect()?;
        self.store.write(&self.memory.record);
        self.memory.clean = true;
        let bad = self.store.journal.rollout.bad.iter();
        self.failed.extend(bad.map(|bad| (bad.generation.scope.clone(), bad.generation.number)));
        self.effect()?;
        Ok(true)
    }

    /// The agent starts, after the board did or by itself.
    pub fn start(&mut self, cut: Cut) -> Flow {
        self.cuts += 1;
        self.untouched = None;
        note!(self, "== {cut:?} cut");
        if cut == Cut::Power {
            self.runtime = Runtime::default();
            self.post.lose();
            let night = self.weather != Weather::calm();
            if night && self.chance.once_in(2) {
                self.forget_time();
            }
        }
        // A minute at most until it is there again.
        self.now += 1 + self.chance.under(60);
        let mut record = self.store.read().map_err(|why| saved(&why))?;
        if self.plant == Some(Plant::BadForgotten) {
            record.rollout.bad.clear();
        }
        record.epoch += 1;
        let started_clock = self.clock().0;
        self.memory = Memory { record, started: self.now, started_clock, ..Memory::default() };
        self.feed(Event::Started)?;
        self.arbitrate()?;
        self.connect();
        self.settle()
    }

    /// A board without a battery starts in 1970, one with a bad one anywhere.
    fn forget_time(&mut self) {
        let shown = match self.chance.under(3) {
            0 => self.chance.under(100),
            1 => self.now.saturating_sub(self.chance.under(200_000)),
            _ => self.now + self.chance.under(200_000),
        };
        self.clock_off = shown.cast_signed() - self.now.cast_signed();
        self.synced = false;
    }

    /// The connection to the broker stands: it sends what it retains.
    pub fn connect(&mut self) {
        let retained: Vec<Vec<u8>> = self.operator.retained.values().cloned().collect();
        for bytes in retained {
            let trouble = self.weather.post;
            self.post.send(crate::post::Message::Document(bytes), &mut self.chance, trouble);
        }
    }
}

fn saved(why: &str) -> Stop {
    Stop::Bad(Bad::Saved(why.to_owned()))
}

/// A generation in a few letters.
#[must_use]
pub fn name(generation: &Generation) -> String {
    format!("{} {}.{}", generation.scope, generation.number, generation.rev)
}

/// Where a rollout stands, in a few words.
#[must_use]
pub fn status(rollout: &coracle_core::rollout::Rollout) -> String {
    let state = &rollout.state;
    let of = state.generation().map(|generation| format!(" of {}", name(generation)));
    let why = state.fault().map(|fault| format!(" ({fault})"));
    let status = coracle_core::reported::Status::of(state).wire();
    format!("{status}{}{}", of.unwrap_or_default(), why.unwrap_or_default())
}

fn told(event: &Event) -> String {
    let text = format!("{event:?}");
    let name = text.split(['(', ' ']).next().unwrap_or_default();
    let seen =
        ["Starting", "Healthy", "Unhealthy"].into_iter().find(|seen| text.contains(&format!(", {seen}")));
    format!("{name}{}", seen.map(|seen| format!(" {seen}")).unwrap_or_default())
}
