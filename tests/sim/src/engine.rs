//! The agent's loop over the board in memory: what it hears, what it asks, what it begins. It follows the loop of the
//! daemon step by step, and all that is decided in it is decided by the core.

use std::collections::BTreeMap;

use coracle_core::compose::{self, Defaults, NetworkMode};
use coracle_core::deployment::Deployment;
use coracle_core::desired::{self, Desired, Facts, Received, Tags, trusted_time};
use coracle_core::gate::{self, Approval, Phase};
use coracle_core::oci::Digest;
use coracle_core::record::{Hold, Wanted};
use coracle_core::rollout::{self, Event, OnFailure, Rollout, State, Target, Terms, Work};
use coracle_core::time::Timestamp;
use coracle_core::trust::Policy;

use crate::board::{Board, name};
use crate::job::{Answer, Job, Task};
use crate::note;
use crate::post::Word;
use crate::verdict::Flow;

/// Seconds between two looks at closed gates.
const GATES_S: u64 = 10;
/// Seconds between two looks at a candidate; the agent looks oftener, the simulation has no halves.
const TRIAL_S: u64 = 1;
/// Seconds before a good deployment that could not be kept running is tried again.
const KEEP_S: u64 = 30;
/// Seconds between two looks at workloads that others wait for.
const WAITS_S: u64 = 1;
/// Seconds before the journal is tried again.
const JOURNAL_S: u64 = 15;

impl Board {
    fn time(&self) -> desired::Clock {
        let newest_issued = self.memory.record.newest_iat;
        let synced = self.synced.then(|| self.clock());
        desired::Clock { synced, built: Timestamp(1_780_000_000), newest_issued }
    }

    /// A message on a `desired` topic.
    pub fn document(&mut self, bytes: &[u8]) -> Flow {
        let accepted = self.memory.record.numbers();
        let facts = Facts {
            device: &self.device,
            groups: &self.groups,
            trust: &Policy::Anybody,
            tags: Tags::Refused,
            accepted: &accepted,
            clock: self.time(),
            agent: "1.0.0",
            platforms: &self.platforms,
        };
        let received = desired::receive(bytes, &facts);
        match received {
            Ok(Received::Empty | Received::Same(_)) => Ok(()),
            Ok(Received::Fresh(desired, numbers)) => {
                note!(self, "accepted {}", name(&desired.generation()));
                let target = target(&desired, numbers.digest, self.steady());
                let record = &mut self.memory.record;
                record.newest_iat = record.newest_iat.max(desired.issued);
                let wanted = Wanted { priority: desired.policy.priority, target };
                record.accepted.insert(desired.scope.clone(), wanted);
                self.memory.clean = false;
                self.arbitrate()
            }
            Err(fault) => {
                note!(self, "refused: {fault}");
                self.feed(Event::Refused(fault))
            }
        }
    }

    /// Tells the machine of the document that counts, if that is another one than before.
    pub fn arbitrate(&mut self) -> Flow {
        let winner = self.memory.record.winner(&self.device, &self.groups);
        let Some(target) = winner.map(|(wanted, _)| wanted.target.clone()) else { return Ok(()) };
        self.memory.clean = false;
        if self.memory.record.current.replace(target.document) == Some(target.document) {
            return Ok(());
        }
        self.feed(Event::Desired(target))
    }

    /// A person's word.
    pub fn word(&mut self, word: Word) -> Flow {
        let record = &mut self.memory.record;
        let event = match word {
            Word::Cancel => Event::Cancel,
            Word::Retry => record.retry(&self.device, &self.groups),
            Word::Confirm => Event::Confirm,
            Word::RollBack => Event::RollBack,
            Word::Hold => {
                self.memory.clean = false;
                record.hold = Some(Hold::new(Timestamp(self.now), ""));
                return Ok(());
            }
            Word::Release => {
                self.memory.clean = false;
                record.hold = None;
                return Ok(());
            }
        };
        if word == Word::Confirm && self.would_keep_a_bad_one() {
            return Ok(());
        }
        // What a person wants is no retry by itself.
        let failed = std::mem::take(&mut self.failed);
        self.feed(event)?;
        let bad = &self.memory.record.rollout.bad;
        let still = |(scope, number): &(String, u64)| {
            bad.iter().any(|bad| bad.generation.scope == *scope && bad.generation.number == *number)
        };
        self.failed = failed.into_iter().filter(still).collect();
        Ok(())
    }

    /// A person who looks at a candidate that was left running does not keep one that fails.
    fn would_keep_a_bad_one(&self) -> bool {
        let State::Paused { candidate, .. } = &self.memory.record.rollout.state else { return false };
        !candidate.workloads.values().all(|workload| self.kind(workload.image.manifest).is_good())
    }

    /// What came of a job.
    pub fn answered(&mut self) -> Flow {
        let Some((task, answer)) = self.memory.answers.pop_front() else { return Ok(()) };
        if self.memory.job.as_ref().is_some_and(|job| job.task == task && job.is_done()) {
            self.memory.job = None;
        }
        match answer {
            Answer::Event(event) => self.feed(*event),
            Answer::Waits => {
                self.memory.keep_at = self.now + WAITS_S;
                Ok(())
            }
            Answer::Kept(Some(generation)) => {
                self.memory.kept = Some(generation);
                Ok(())
            }
            Answer::Kept(None) => {
                self.memory.keep_at = self.now + KEEP_S;
                Ok(())
            }
        }
    }

    /// Has lost workloads seen to.
    pub fn look(&mut self) {
        let Some(runs) = self.memory.record.rollout.runs() else { return };
        let gone = |id| self.runtime.placed.get(id).is_none_or(|placed| placed.lost);
        if runs.workloads.keys().any(gone) {
            self.memory.kept = None;
        }
    }

    /// Does what the machine calls for, once the journal holds why.
    pub fn settle(&mut self) -> Flow {
        self.ask_gates()?;
        if !self.journal()? {
            self.keep_journaled();
            self.memory.wake = Some(self.now + JOURNAL_S);
            return Ok(());
        }
        let steady = self.steady();
        // Lent, not copied: what follows begins work and changes nothing that is decided.
        let rollout = std::mem::take(&mut self.memory.record.rollout);
        let wake = self.pursue(&rollout, steady);
        self.memory.record.rollout = rollout;
        self.memory.wake = wake;
        Ok(())
    }

    fn pursue(&mut self, rollout: &Rollout, steady: Timestamp) -> Option<u64> {
        let calls = rollout::work(rollout, steady);
        let mut wake = calls.wake.map(|at| self.now + at.since(steady));
        let wanted = match &calls.work {
            Work::Stage(target) => Some(Task::Stage(target.document)),
            Work::Apply(target, _) => Some(Task::Apply(target.document)),
            Work::Observe(target, _) => Some(Task::Observe(target.document)),
            Work::Restore(leaving, _) => Some(Task::Restore(leaving.document())),
            Work::Watch(leaving, _) => Some(Task::Watch(leaving.document())),
            Work::AskToDownload(_) | Work::AskToApply(_) => {
                wake = earlier(wake, Some(self.now + GATES_S));
                None
            }
            Work::Rest => None,
        };
        let doing = self.memory.job.as_ref().map(|job| job.task);
        if matches!(doing, Some(Task::Stage(_))) && doing != wanted {
            note!(self, "  the download is given up");
            self.memory.job = None;
        }
        if self.memory.job.is_none() {
            wake = earlier(wake, self.begin(&calls.work, calls.keep));
        }
        wake
    }

    fn keep_journaled(&mut self) {
        let held = &self.store.journal.rollout;
        let runs = held.keeps_running(&self.memory.record.rollout).cloned();
        let due = self.memory.job.is_none() && self.now >= self.memory.keep_at;
        if let Some(runs) = runs.filter(|runs| due && !self.memory.keeps(runs)) {
            self.memory.job = Some(Job::converge(Task::Keep, runs));
        }
    }

    /// Begins the next thing; says when to look again although nothing happens.
    fn begin(&mut self, work: &Work<'_>, keep: Option<&Deployment>) -> Option<u64> {
        let mut wake = None;
        if let Some(active) = keep.filter(|keep| !self.memory.keeps(keep)) {
            if self.now >= self.memory.keep_at {
                self.memory.job = Some(Job::converge(Task::Keep, active.clone()));
                return None;
            }
            wake = Some(self.memory.keep_at);
        }
        self.memory.job = match work {
            Work::Rest | Work::AskToDownload(_) | Work::AskToApply(_) => None,
            Work::Stage(target) => Some(Job::stage(target)),
            Work::Apply(target, candidate) => {
                (self.memory.kept, self.memory.replaced) = (None, 0);
                self.memory.last.clear();
                Some(Job::converge(Task::Apply(target.document), (*candidate).clone()))
            }
            Work::Restore(leaving, active) => {
                (self.memory.kept, self.memory.replaced) = (None, 0);
                self.memory.last.clear();
                let nothing = || Deployment {
                    generation: leaving.generation().clone(),
                    workloads: BTreeMap::new(),
                    volumes: BTreeMap::new(),
                };
                let active = active.cloned().unwrap_or_else(nothing);
                Some(Job::converge(Task::Restore(leaving.document()), active))
            }
            Work::Observe(target, candidate) => match self.next_look() {
                Some(at) => return Some(at),
                None => Some(Job::converge(Task::Observe(target.document), (*candidate).clone())),
            },
            Work::Watch(leaving, active) => match self.next_look() {
                Some(at) => return Some(at),
                None => Some(Job::converge(Task::Watch(leaving.document()), (*active).clone())),
            },
        };
        wake
    }

    fn next_look(&mut self) -> Option<u64> {
        self.memory.kept = None;
        if self.now < self.memory.observe_at {
            return Some(self.memory.observe_at);
        }
        self.memory.observe_at = self.now + TRIAL_S;
        None
    }

    /// Passes open gates.
    fn ask_gates(&mut self) -> Flow {
        for _ in 0..2 {
            let rollout: &Rollout = &self.memory.record.rollout;
            let (target, phase) = match rollout::work(rollout, self.steady()).work {
                Work::AskToDownload(target) => (target, Phase::Download),
                Work::AskToApply(target) => (target, Phase::Apply),
                Work::Rest
                | Work::Stage(_)
                | Work::Apply(..)
                | Work::Observe(..)
                | Work::Restore(..)
                | Work::Watch(..) => return Ok(()),
            };
            let facts = gate::Facts {
                device: self.device.as_str(),
                now: self.steady(),
                trusted_now: trusted_time(&self.time()),
                inhibitors: &self.inhibitors,
                free_bytes: Some(if self.store.full { 0 } else { 1 << 30 }),
                approval: target.approval,
                held: self.memory.record.hold.as_ref().map(Hold::why),
                lock: self.lock,
            };
            let reasons = gate::closed(&target.gates, &facts, phase);
            let of = target.document;
            self.feed(Event::Gates(of, reasons))?;
        }
        Ok(())
    }
}

fn earlier(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.into_iter().chain(b).min()
}

/// The document with its projects read, as the agent does.
fn target(desired: &Desired, document: Digest, now: Timestamp) -> Target {
    let defaults = Defaults { network: Some(NetworkMode::None) };
    let projects = desired.projects.iter().map(|(name, body)| {
        (name.clone(), compose::parse(name, body, &defaults).expect("the operator writes what is supported"))
    });
    let policy = &desired.policy;
    let free_bytes = desired.requires.free_bytes();
    Target {
        generation: desired.generation(),
        document,
        gates: gate::Policy { accepted_at: now, free_bytes, ..policy.gate.clone() },
        terms: Terms {
            health_s: policy.health_s,
            soak_s: policy.soak_s,
            attempts: policy.attempts,
            on_failure: match policy.on_failure {
                compose::FailureAction::Rollback => OnFailure::Rollback,
                compose::FailureAction::Pause => OnFailure::Pause,
            },
        },
        approval: Approval::Pending,
        retrials: 0,
        projects: projects.collect(),
    }
}
