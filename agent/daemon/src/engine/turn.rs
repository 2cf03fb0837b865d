//! One turn of the loop after the other.

use std::time::Duration;

use coracle_core::deployment::{Deployment, Generation};
use coracle_core::fault::{Code, Fault};
use coracle_core::gate::{self, Phase, Reason};
use coracle_core::ident::WorkloadId;
use coracle_core::oci::Platform;
use coracle_core::record::Record;
use coracle_core::rollout::{self, Event, Work};
use coracle_core::standing::{Link, Standing};
use coracle_core::trust::Policy;
use coracle_host::channel::ChannelEvent;
use coracle_host::control::Asked;
use coracle_host::{disk, supervise};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::commands::Commands;
use super::obey::{Topic, topic as read};
use super::refusals::Refusals;
use super::trouble::Trouble;
use super::turns::Said;
use super::{Answer, Clock, Hands, Heartbeat, Journal, Opened, Outbox, Task, Turns, Workers};
use crate::config::Settings;
use crate::events;
use crate::scrub::{News, Scrubber};

/// Between two looks at closed gates: windows and inhibitors change by themselves.
const GATES_EVERY: Duration = Duration::from_secs(10);
/// Between two looks at a candidate on trial.
const TRIAL_EVERY: Duration = Duration::from_millis(500);
/// Between two looks at what runs; also how soon a workload that was lost comes back.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Before a good deployment that could not be kept running is tried again.
const KEEP_AGAIN: Duration = Duration::from_secs(30);
/// Between two looks at workloads that others wait for.
const WAITS_EVERY: Duration = Duration::from_secs(1);
/// Before the journal is tried again after a write that failed, on a full disk for instance.
const JOURNAL_AGAIN: Duration = Duration::from_secs(15);
/// Inhibitors that are looked at and named; one is enough to hold an update.
const INHIBITORS_MAX: usize = 16;
/// A moment so far off that it stands for never.
pub(super) const NEVER: Duration = Duration::from_secs(365 * 86_400);

/// The agent.
pub(crate) struct Engine {
    pub(super) settings: Settings,
    pub(super) platforms: Vec<Platform>,
    pub(super) trust: Policy,
    pub(super) record: Record,
    pub(super) journal: Journal,
    pub(super) workers: Workers,
    pub(super) outbox: Outbox,
    pub(super) clock: Clock,
    pub(super) commands: Commands,
    pub(super) refusals: Refusals,
    turns: Turns,
    scrubber: Scrubber,
    heartbeat: Heartbeat,
    /// Whether the broker hears this board.
    pub(super) link: Link,
    pub(super) trouble: Trouble,
    /// Whether nothing but another board's turn holds the switch back.
    turn_wanted: bool,
    /// When to ask the machine again although nothing happened.
    wake: Instant,
    /// The deployment that was seen to since something last moved.
    kept: Option<Generation>,
    /// When the good deployment may be seen to again, after that failed.
    keep_at: Instant,
    /// When a candidate on trial is looked at next.
    observe_at: Instant,
}

/// What the loop joins.
pub(crate) struct Parts {
    /// The board's settings.
    pub(crate) settings: Settings,
    /// What it can execute.
    pub(crate) platforms: Vec<Platform>,
    /// Whom it believes.
    pub(crate) trust: Policy,
    /// Who does the work.
    pub(crate) workers: Workers,
    /// Who reports.
    pub(crate) outbox: Outbox,
    /// The time.
    pub(crate) clock: Clock,
    /// Whose turn it is.
    pub(crate) turns: Turns,
    /// Who tells the service manager.
    pub(crate) heartbeat: Heartbeat,
    /// What commands are obeyed with.
    pub(crate) hands: Hands,
    /// What people at the board say; `None` where they cannot.
    pub(crate) console: Option<mpsc::Receiver<Asked>>,
    /// Who looks after the store.
    pub(crate) scrubber: Scrubber,
}

/// Who speaks up beside the workers.
pub(crate) struct Beside {
    /// The server that hands out turns.
    pub(crate) said: mpsc::Receiver<Said>,
    /// Whoever looks after the store.
    pub(crate) news: mpsc::Receiver<News>,
}

impl Engine {
    /// An agent that goes on from what the journal holds.
    pub(crate) fn new(parts: Parts, opened: Opened) -> Self {
        let Parts {
            settings,
            platforms,
            trust,
            workers,
            outbox,
            clock,
            turns,
            heartbeat,
            hands,
            console,
            scrubber,
        } = parts;
        let link = match (&settings.broker, &settings.waits) {
            (Some(_), _) => Link::Down,
            (None, Some(_)) => Link::Unprovisioned,
            (None, None) => Link::NoBroker,
        };
        let Opened { journal, mut record, .. } = opened;
        record.epoch = record.epoch.saturating_add(1);
        let wake = Instant::now();
        Self {
            settings,
            platforms,
            trust,
            record,
            journal,
            workers,
            outbox,
            clock,
            commands: Commands::new(hands, console),
            refusals: Refusals::new(wake),
            turns,
            scrubber,
            heartbeat,
            link,
            trouble: Trouble::default(),
            turn_wanted: false,
            wake,
            kept: None,
            keep_at: wake,
            observe_at: wake,
        }
    }

    /// Runs until `stop` is ready. Workloads go on running after it.
    pub(crate) async fn run(
        mut self,
        mut channel: Option<mpsc::Receiver<ChannelEvent>>,
        mut answers: mpsc::Receiver<(Task, Answer)>,
        mut beside: Beside,
        stop: impl Future<Output = ()>,
    ) {
        tokio::pin!(stop);
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.feed(Event::Started);
        // The board's groups may be others than before.
        drop(self.arbitrate());
        self.outbox.wants(&self.record);
        loop {
            self.start_errands();
            self.settle();
            self.after_settling();
            self.heartbeat.turned(&Standing::of(&self.record.rollout, self.link));
            let (flush_at, beat_at) = (self.outbox.due(), self.heartbeat.due());
            tokio::select! {
                () = &mut stop => break,
                Some((task, answer)) = answers.recv() => self.answered(task, answer),
                Some(event) = next(&mut channel) => self.heard(&event),
                Some(said) = beside.said.recv() => self.turns.heard(said),
                Some(news) = beside.news.recv() => self.heard_of_store(&news),
                heard = self.commands.next() => self.came_up(heard),
                () = sleep_until(self.wake) => self.feed(Event::Tick),
                () = sleep_until(flush_at) => self.outbox.flush(&self.record),
                () = sleep_until(beat_at) => {}
                _ = look.tick() => self.look(),
            }
        }
        self.heartbeat.stopping();
        self.workers.give_up_staging();
        self.outbox.end(&self.record).await;
    }

    fn heard(&mut self, event: &ChannelEvent) {
        match event {
            ChannelEvent::Connected { sid } => {
                self.link = Link::Up;
                self.trouble.connected();
                let broker = self.settings.broker.as_ref().map(|broker| broker.url.to_string());
                self.outbox.connected(sid, &broker.unwrap_or_default());
            }
            ChannelEvent::Disconnected { loss, cause, retry_in } => {
                self.link = Link::Down;
                self.trouble.disconnected(cause, *retry_in);
                events::disconnected(*loss, cause, *retry_in);
            }
            ChannelEvent::Renewing => events::renewing(),
            ChannelEvent::NotTaken { topic, why } => events::not_taken(topic, why),
            ChannelEvent::Unusable { why } => {
                events::lacking(
                    "new credentials for the broker cannot be used; those read before are used on",
                    why,
                );
            }
            ChannelEvent::Message { topic, payload, retained, missed } => {
                self.commands.missed(*missed);
                let root = self.settings.broker.as_ref().map_or("", |broker| broker.root.as_str());
                let (device, groups) = (self.settings.device_id.as_str(), &self.settings.groups);
                match read(root, device, groups, topic) {
                    // Whoever published it learns of it from the events.
                    Topic::Desired => drop(self.document(topic, payload)),
                    Topic::Trust => drop(self.replace_keys(topic, payload)),
                    // A broker that hands out what nobody asked for may do so as often as it likes.
                    Topic::Stray => {}
                    Topic::Command(origin, verb) => self.commanded(&origin, verb, payload, *retained),
                }
            }
        }
    }

    fn answered(&mut self, task: Task, answer: Answer) {
        self.workers.done(task);
        match answer {
            Answer::Event(event) => {
                if let Event::ApplyFailed(_, fault) | Event::RestoreFailed(_, fault) = &event {
                    self.seek(fault);
                }
                self.feed(event);
            }
            Answer::Waits => self.keep_at = Instant::now() + WAITS_EVERY,
            Answer::Kept(outcome) => {
                if let Err(fault) = &outcome {
                    self.seek(fault);
                    events::not_kept(fault);
                    self.keep_at = Instant::now() + KEEP_AGAIN;
                }
                self.trouble.kept(outcome.as_ref().err());
                self.kept = outcome.ok();
            }
        }
        self.outbox.saw(self.workers.seen());
    }

    /// Has what is missing in the store looked for, where that is what failed.
    fn seek(&self, fault: &Fault) {
        if fault.code == Code::Store {
            self.scrubber.ask();
        }
    }

    /// Tells how the store is; what was missing may be there now.
    fn heard_of_store(&mut self, news: &News) {
        if news.mended {
            (self.kept, self.keep_at) = (None, Instant::now());
        }
        self.outbox.heard_of_store(&self.record.rollout, news);
    }

    /// Notes how the workloads are, and has lost ones seen to.
    fn look(&mut self) {
        let workloads = self.workers.seen();
        let gone = |id: &WorkloadId| {
            let seen = workloads.iter().find(|seen| seen.status.id == *id);
            seen.is_none_or(|seen| seen.status.phase == supervise::Phase::Lost)
        };
        // A candidate that was left running for a person to look at is kept running, too.
        let runs = self.record.rollout.runs();
        if runs.is_some_and(|runs| runs.workloads.keys().any(gone)) {
            self.kept = None;
        }
        self.outbox.saw(workloads);
    }

    /// One event through the machine.
    pub(super) fn feed(&mut self, event: Event) {
        let before = self.record.feed(event, self.clock.steady(), self.clock.wall());
        let after = &self.record.rollout;
        if *after != before {
            events::passed(&before, after);
            self.outbox.passed(&before, after);
        }
    }

    /// Does what the machine calls for, once the journal holds why.
    fn settle(&mut self) {
        self.ask_gates();
        let now = self.clock.steady();
        if let Err(error) = self.journal.keep(&self.record) {
            events::journal_failed(&error);
            self.wake = Instant::now() + JOURNAL_AGAIN.min(self.keep_journaled());
            return;
        }
        self.workers.journaled();
        let rollout = self.record.rollout.clone();
        let moving = rollout.on_trial().is_some() || rollout.is_rolling_back();
        let ask_again = self.turns.want(self.turn_wanted || moving);
        let calls = rollout::work(&rollout, now);
        let rests = matches!(calls.work, Work::Rest | Work::AskToDownload(_) | Work::AskToApply(_));
        self.scrubber.hold(!rests);
        let mut wake = calls.wake.map_or(NEVER, |at| Duration::from_secs(at.since(now)));
        let wanted = match &calls.work {
            Work::Stage(target) => Some(Task::Stage(target.document)),
            Work::Apply(target, _) => Some(Task::Apply(target.document)),
            Work::Observe(target, _) => Some(Task::Observe(target.document)),
            Work::Restore(leaving, _) => Some(Task::Restore(leaving.document())),
            Work::Watch(leaving, _) => Some(Task::Watch(leaving.document())),
            Work::AskToDownload(_) | Work::AskToApply(_) => {
                wake = wake.min(GATES_EVERY);
                None
            }
            Work::Rest => None,
        };
        if let Some(Task::Stage(_)) = self.workers.doing()
            && self.workers.doing() != wanted
        {
            self.workers.give_up_staging();
        }
        if self.idle() {
            wake = wake.min(self.start(&calls.work, calls.keep));
        }
        self.wake = Instant::now() + wake;
        if let Some(again) = ask_again {
            self.wake = self.wake.min(again);
        }
    }

    /// Whether something can be begun.
    fn idle(&self) -> bool {
        self.workers.doing().is_none() && !self.commands.errands.moving()
    }

    /// Without a journal nothing new is begun, but what it held last is kept running: a board whose disk is full must
    /// not stay dark after a power cut. Says when to try again what failed.
    fn keep_journaled(&mut self) -> Duration {
        let held = self.journal.held().map(|held| &held.rollout);
        let runs = held.and_then(|held| held.keeps_running(&self.record.rollout));
        let idle = self.idle();
        let Some(runs) = runs.filter(|runs| idle && self.kept.as_ref() != Some(&runs.generation)) else {
            return NEVER;
        };
        let pause = self.keep_at.saturating_duration_since(Instant::now());
        if pause.is_zero() {
            self.workers.keep(runs);
            return NEVER;
        }
        pause
    }

    /// Starts the next thing; says when to look again although nothing happens.
    fn start(&mut self, work: &Work<'_>, keep: Option<&Deployment>) -> Duration {
        let mut wake = NEVER;
        if let Some(active) = keep.filter(|keep| self.kept.as_ref() != Some(&keep.generation)) {
            wake = self.keep_at.saturating_duration_since(Instant::now());
            if wake.is_zero() {
                self.workers.keep(active);
                return NEVER;
            }
        }
        match *work {
            Work::Rest | Work::AskToDownload(_) | Work::AskToApply(_) => {}
            Work::Stage(target) => self.workers.stage(target),
            Work::Apply(target, candidate) => {
                self.kept = None;
                self.workers.apply(target, candidate);
            }
            Work::Observe(target, candidate) => match self.next_look() {
                Some(pause) => return pause,
                None => self.workers.observe(target, candidate),
            },
            Work::Watch(leaving, active) => match self.next_look() {
                Some(pause) => return pause,
                None => self.workers.watch(leaving, active),
            },
            Work::Restore(leaving, active) => {
                self.kept = None;
                self.workers.restore(leaving, active);
            }
        }
        wake
    }

    /// How long to wait before the next look at what is on trial or on its way back; `None` if it is due now.
    fn next_look(&mut self) -> Option<Duration> {
        self.kept = None;
        let pause = self.observe_at.saturating_duration_since(Instant::now());
        if pause.is_zero() {
            self.observe_at = Instant::now() + TRIAL_EVERY;
            return None;
        }
        Some(pause)
    }

    /// Passes open gates; nothing is done by that, so it needs no journal.
    fn ask_gates(&mut self) {
        self.turn_wanted = false;
        // Before the download and before the switch: two gates follow each other at most.
        for _ in 0..2 {
            let rollout = self.record.rollout.clone();
            let (target, phase) = match rollout::work(&rollout, self.clock.steady()).work {
                Work::AskToDownload(target) => (target, Phase::Download),
                Work::AskToApply(target) => (target, Phase::Apply),
                Work::Rest
                | Work::Stage(_)
                | Work::Apply(..)
                | Work::Observe(..)
                | Work::Restore(..)
                | Work::Watch(..) => return,
            };
            let inhibitors = self.inhibitors();
            let held = self.record.held(&self.settings.device_id, &self.settings.groups);
            let facts = gate::Facts {
                device: self.settings.device_id.as_str(),
                now: self.clock.steady(),
                trusted_now: self.clock.trusted(self.record.newest_iat),
                inhibitors: &inhibitors,
                free_bytes: disk::space(&self.settings.state_dir).ok().map(|space| space.free_bytes),
                approval: target.approval,
                held: held.as_deref(),
                lock: self.turns.closed(),
            };
            let reasons = gate::closed(&target.gates, &facts, phase);
            self.turn_wanted =
                phase == Phase::Apply && reasons.iter().all(|reason| matches!(reason, Reason::Lock(_)));
            self.feed(Event::Gates(target.document, reasons));
        }
    }

    fn inhibitors(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.settings.run_dir.join("inhibit.d"));
        names.map_or_else(
            |_| Vec::new(),
            |entries| {
                let name =
                    |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().chars().take(64).collect();
                entries.flatten().take(INHIBITORS_MAX).map(name).collect()
            },
        )
    }
}

/// The next thing heard; never, without a broker.
async fn next(channel: &mut Option<mpsc::Receiver<ChannelEvent>>) -> Option<ChannelEvent> {
    match channel {
        Some(channel) => channel.recv().await,
        None => std::future::pending().await,
    }
}
