//! From what the agent knows to the documents of the contract.

use std::collections::BTreeMap;
use std::path::Path;

use coracle_core::deployment::Generation;
use coracle_core::health::State as Checks;
use coracle_core::ident::{DeviceId, GroupName};
use coracle_core::limits::STATE_BYTES_MAX;
use coracle_core::record::Record;
use coracle_core::reported::{
    Agent, Bad, Clock, Deployment, Disk, Good, Health, Project, Running, Service, State, Status, Store,
};
use coracle_core::rollout::{self, Rollout};
use coracle_core::time::Timestamp;
use coracle_host::supervise::{self, Phase};
use coracle_host::{clock, disk, files, telemetry};
use serde_json::Value;

use crate::{endings, events};

use crate::scrub::News;

/// What is told of a board that takes, or once took, unsigned documents.
const NO_TRUST: &str = "none";
/// The last state, for people at the board; in memory, so that a quiet board writes nothing to flash.
pub(super) const STATE_FILE: &str = "state.json";

/// What the state is made of besides the record.
pub(super) struct Facts<'a> {
    /// This board.
    pub(super) device: &'a DeviceId,
    /// Its groups.
    pub(super) groups: &'a [GroupName],
    /// What does not change while the agent runs.
    pub(super) agent: &'a Agent,
    /// Every workload.
    pub(super) workloads: &'a [Seen],
    /// Since when the rollout stands where it stands.
    pub(super) since: Timestamp,
    /// Where the store is.
    pub(super) state_dir: &'a Path,
    /// Bytes in its layers.
    pub(super) owned: u64,
    /// How the store is.
    pub(super) store: &'a News,
}

/// A workload as the supervisor has it, with its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// How it is.
    pub(crate) status: supervise::Status,
    /// What it runs; `None` where its unit cannot be read.
    pub(crate) image: Option<coracle_core::deployment::PinnedImage>,
}

impl Seen {
    /// Whether this is no news beside `other`: what each failing check adds to a count or says in other words is not.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        let told = |seen: &Self| {
            let mut seen = seen.clone();
            if let Some(checked) = &mut seen.status.health {
                (checked.streak, checked.why) = (0, None);
            }
            seen
        };
        told(self) == told(other)
    }

    /// Logs what the kernel did to it, and a turn of its health, since it was among `before`.
    pub(super) fn log_turns(&self, before: &[Self]) {
        let key = |seen: &Self| (seen.status.id.clone(), seen.status.beside);
        let before = before.iter().find(|seen| key(seen) == key(self));
        let ended = before.is_some_and(|before| before.status.finished_at != self.status.finished_at);
        let held = self.status.oom_killed || self.status.forks_refused;
        if let Some(how) = endings::how(&self.status).filter(|_| ended && held) {
            events::out_of_bounds(&self.status.id, &how, self.status.restarts);
        }
        let state = |seen: &Self| seen.status.health.as_ref().map(|checked| checked.state);
        match (before.and_then(state), state(self)) {
            (Some(Checks::Unhealthy), Some(Checks::Unhealthy)) => {}
            (_, Some(Checks::Unhealthy)) => {
                let why = self.status.health.as_ref().and_then(|checked| checked.why.as_deref());
                events::unhealthy(&self.status.id, why);
            }
            (Some(Checks::Unhealthy), Some(Checks::Healthy)) => events::healthy_again(&self.status.id),
            (_, Some(Checks::Healthy | Checks::Starting) | None) => {}
        }
    }
}

/// The status of a passage, by its name on the wire.
pub(crate) fn status(state: &rollout::State) -> Status {
    Status::of(state)
}

/// The state that the agent last wrote down; `None` where it did not since the board booted.
pub(crate) fn last_state(run_dir: &Path) -> Option<Value> {
    let bound = u64::try_from(STATE_BYTES_MAX).unwrap_or(u64::MAX);
    let bytes = files::read_bounded(&run_dir.join(STATE_FILE), bound).ok()??;
    serde_json::from_slice(&bytes).ok()
}

/// The state document, but for the numbers of the connection.
pub(super) fn state(record: &Record, facts: &Facts<'_>) -> State {
    let rollout = &record.rollout;
    let space = disk::space(facts.state_dir);
    let (winner, others) =
        record.winner(facts.device, facts.groups).map_or((None, Vec::new()), |(wanted, others)| {
            (Some(wanted.target.generation.clone()), others.iter().map(ToString::to_string).collect())
        });
    State {
        schema: "state/v1",
        sid: String::new(),
        seq: 0,
        ts: clock::wall(),
        clock: if clock::synced() { Clock::Synced } else { Clock::Unsynced },
        agent: agent(record, facts.agent),
        desired: winner,
        others,
        deployment: deployment(rollout, facts.since),
        running: running(rollout, facts.workloads),
        last_good: rollout.active.as_ref().map(|active| Good { number: active.generation.number }),
        bad: rollout
            .bad
            .iter()
            .map(|bad| Bad { number: bad.generation.number, code: bad.fault.code })
            .collect(),
        held: record.held(facts.device, facts.groups),
        disk: Disk { free: space.map_or(0, |space| space.free_bytes), owned: facts.owned },
        board: serde_json::to_value(telemetry::look()).unwrap_or_default(),
        store: store(facts.store),
        truncated: false,
    }
}

/// Nothing where all is well.
fn store(news: &News) -> Option<Store> {
    let sound = news.damaged.is_empty() && news.stale.is_empty();
    (!sound).then(|| Store { damaged: news.damaged.clone(), restart: news.stale.clone() })
}

/// The agent, once it has taken a document that nobody vouched for: whatever it was told to run may have changed the
/// board, so no key says anything of it ever after.
fn agent(record: &Record, agent: &Agent) -> Agent {
    let agent = agent.clone();
    if record.unsigned { Agent { trust: NO_TRUST.to_owned(), trust_counter: None, ..agent } } else { agent }
}

fn deployment(rollout: &Rollout, since: Timestamp) -> Deployment {
    let reasons = if let rollout::State::Waiting { reasons, .. } = &rollout.state {
        reasons.iter().map(ToString::to_string).collect()
    } else {
        Vec::new()
    };
    let (status, attempt) = (Status::of(&rollout.state), rollout.state.attempt());
    Deployment { status, reasons, attempt, since, error: rollout.state.fault().cloned() }
}

fn running(rollout: &Rollout, workloads: &[Seen]) -> Running {
    let mut projects: BTreeMap<_, Project> = BTreeMap::new();
    // A new one beside the old one is not what runs until it takes over.
    for Seen { status, image } in workloads.iter().filter(|seen| !seen.status.beside) {
        let Some(image) = image else { continue };
        let project = projects
            .entry(status.id.project.clone())
            .or_insert_with(|| Project { health: Health::Healthy, services: BTreeMap::new() });
        project.health = project.health.max(health(status));
        let service = Service {
            image: image.index,
            manifest: image.manifest,
            state: word(status.phase).to_owned(),
            restarts: status.restarts,
            since: status.started_at,
            health: status.health.as_ref().map(|_| health(status)),
            why: why(status),
        };
        project.services.insert(status.id.service.clone(), service);
    }
    Running { number: applied(rollout).map(|generation| generation.number), projects }
}

/// What the last check said that failed; where it is down, how it ended.
fn why(status: &supervise::Status) -> Option<String> {
    let down = match status.phase {
        Phase::BackingOff | Phase::Failed => true,
        Phase::Exited => status.exit_code != Some(0),
        Phase::Starting | Phase::Running | Phase::Stopping | Phase::Stopped | Phase::Lost => false,
    };
    let end = if down { endings::how(status) } else { None };
    end.or_else(|| status.health.as_ref().and_then(|checked| checked.why.clone()))
}

/// The generation whose workloads are there: the candidate from the switch on, else the good one.
fn applied(rollout: &Rollout) -> Option<&Generation> {
    rollout.runs().map(|deployment| &deployment.generation)
}

fn health(status: &supervise::Status) -> Health {
    match (status.phase, status.health.as_ref().map(|checked| checked.state)) {
        (Phase::Running, None | Some(Checks::Healthy)) | (Phase::Stopped, _) => Health::Healthy,
        (Phase::Exited, _) if status.exit_code == Some(0) => Health::Healthy,
        (Phase::Running, Some(Checks::Starting)) | (Phase::Starting | Phase::Stopping, _) => Health::Starting,
        (Phase::Running, Some(Checks::Unhealthy))
        | (Phase::BackingOff | Phase::Exited | Phase::Failed | Phase::Lost, _) => Health::Unhealthy,
    }
}

/// The supervisor's word for a phase.
pub(crate) fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Running => "running",
        Phase::BackingOff => "backing_off",
        Phase::Stopping => "stopping",
        Phase::Stopped => "stopped",
        Phase::Exited => "exited",
        Phase::Failed => "failed",
        Phase::Lost => "lost",
    }
}
