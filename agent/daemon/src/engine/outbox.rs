//! What is told, and when: changes within two seconds, ends at once, the whole state once a day, progress every five
//! seconds. The state is also written where people at the board can read it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use coracle_core::command::LIFE_S_MAX;
use coracle_core::fault::Fault;
use coracle_core::history;
use coracle_core::ident::{DeviceId, GroupName};
use coracle_core::oci::Digest;
use coracle_core::oci::Platform;
use coracle_core::record::Record;
use coracle_core::reported::{self, Agent, Event, Progress, State, Status};
use coracle_core::rollout::Rollout;
use coracle_core::time::Timestamp;
use coracle_core::trust::Policy;
use coracle_host::channel::{ChannelHandle, Kind, Publish, Qos};
use coracle_host::clock;
use coracle_host::store::Store;
use tokio::time::Instant;

use super::channel::{Have, Topics};
use super::report::{self, Facts, Seen};
use crate::config::Settings;
use crate::events;
use crate::images::{Step, Watch};
use crate::scrub::News;

/// Changes that follow each other closely are told together.
const DEBOUNCE: Duration = Duration::from_secs(2);
/// A board that has nothing to tell still tells it, so that a silent one is missed.
const DAILY: Duration = Duration::from_secs(86_400);
/// Between two reports of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// How long an event is worth delivering.
const EVENT_EXPIRY: Duration = Duration::from_secs(86_400);
/// How long a reply is worth delivering: as long as a command lives.
const REPLY_EXPIRY: Duration = Duration::from_secs(LIFE_S_MAX);
/// Sequence numbers of one start of the agent; the next start begins above them. Both stay exact in JSON.
const SEQUENCES: u64 = 1_000_000;

/// Layers that are coming: compressed bytes so far, in all, and more than once.
type Pulling = Arc<Mutex<Vec<(Digest, [u64; 3])>>>;

/// Who tells.
pub(crate) struct Outbox {
    handle: Option<ChannelHandle>,
    topics: Topics,
    device: DeviceId,
    groups: Vec<GroupName>,
    agent: Agent,
    store: Arc<Store>,
    run_dir: PathBuf,
    have: Have,
    sid: String,
    seq: u64,
    workloads: Vec<Seen>,
    pulling: Pulling,
    progress_at: Instant,
    downloading: bool,
    since: Timestamp,
    due: Option<Instant>,
    store_news: News,
    told: Option<(Instant, State)>,
}

impl Outbox {
    /// An outbox that talks over `handle`, if there is a broker; `epoch` counts the agent's starts.
    pub(crate) fn new(
        settings: &Settings,
        agent: Agent,
        handle: Option<ChannelHandle>,
        have: Have,
        store: Arc<Store>,
        epoch: u64,
    ) -> Self {
        let root = settings.broker.as_ref().map_or("", |broker| broker.root.as_str());
        Self {
            handle,
            topics: Topics::new(root, settings.device_id.as_str()),
            device: settings.device_id.clone(),
            groups: settings.groups.clone(),
            agent,
            store,
            run_dir: settings.run_dir.clone(),
            have,
            sid: String::new(),
            seq: epoch.saturating_mul(SEQUENCES).max(last_seq(settings)),
            workloads: Vec::new(),
            pulling: Pulling::default(),
            progress_at: Instant::now(),
            downloading: false,
            since: clock::wall(),
            due: Some(Instant::now()),
            store_news: News::default(),
            told: None,
        }
    }

    /// Sees the steps of every pull.
    pub(crate) fn watch(&self) -> Watch {
        let pulling = Arc::clone(&self.pulling);
        Arc::new(move |step| {
            let Ok(mut layers) = pulling.lock() else { return };
            let (digest, figures) = match step {
                Step::Present(_) | Step::Unpacked(_) | Step::Slowed(_) => return,
                Step::Layer { digest, done, total, refetched } => (digest, [done, total, refetched]),
            };
            match layers.iter_mut().find(|(known, _)| *known == digest) {
                Some(layer) => layer.1 = figures,
                None => layers.push((digest, figures)),
            }
        })
    }

    /// When [`Self::flush`] has something to do.
    pub(super) fn due(&self) -> Instant {
        let daily = self.told.as_ref().map_or_else(Instant::now, |(at, _)| *at + DAILY);
        let progress = self.downloading.then_some(self.progress_at);
        self.due.into_iter().chain(progress).fold(daily, Instant::min)
    }

    /// Tells what is due.
    pub(super) fn flush(&mut self, record: &Record) {
        let now = Instant::now();
        if self.downloading && now >= self.progress_at {
            self.progress_at = now + PROGRESS_EVERY;
            self.progress();
        }
        let daily = self.told.as_ref().is_none_or(|(at, _)| *at + DAILY <= now);
        if daily || self.due.is_some_and(|due| due <= now) {
            self.due = None;
            self.tell(record);
        }
    }

    /// The connection stands: everything retained is told anew, for the broker may be another one.
    pub(super) fn connected(&mut self, sid: &str, broker: &str) {
        events::connected(broker);
        sid.clone_into(&mut self.sid);
        self.told = None;
        self.soon(Duration::ZERO);
    }

    /// Notes how the workloads are.
    pub(super) fn saw(&mut self, workloads: Vec<Seen>) {
        let same = workloads.len() == self.workloads.len()
            && workloads.iter().zip(&self.workloads).all(|(new, old)| new.same_as(old));
        for new in &workloads {
            new.log_turns(&self.workloads);
        }
        self.workloads = workloads;
        if !same {
            self.soon(DEBOUNCE);
        }
    }

    /// Notes which document counts, for the next birth.
    pub(super) fn wants(&self, record: &Record) {
        if let Ok(mut have) = self.have.lock() {
            *have =
                record.winner(&self.device, &self.groups).map(|(wanted, _)| wanted.target.generation.clone());
        }
    }

    /// A passage went on.
    pub(super) fn passed(&mut self, before: &Rollout, after: &Rollout) {
        let (from, to) = (Status::of(&before.state), Status::of(&after.state));
        self.downloading = to == Status::Downloading;
        if from != to
            && self.downloading
            && let Ok(mut layers) = self.pulling.lock()
        {
            layers.clear();
        }
        let passage = |rollout: &Rollout| rollout.under_way().map(|(document, _)| document);
        let same = passage(before) == passage(after);
        if from == to && same && before.state.attempt() == after.state.attempt() {
            self.soon(DEBOUNCE);
            return;
        }
        self.since = clock::wall();
        // The refusal itself was told already, with where the rollout stood.
        if to == Status::Rejected {
            self.soon(Duration::ZERO);
            return;
        }
        // One passage may end by the step that begins another.
        if let Some((generation, end, fault)) = history::ended(before, after).filter(|(_, end, _)| *end != to)
        {
            self.event(from, end, Some(generation), fault);
        }
        let generation = after.under_way().or(before.under_way()).map(|(_, generation)| generation);
        self.event(from, to, generation.or(after.state.generation()), after.state.fault());
        self.soon(if to.is_terminal() { Duration::ZERO } else { DEBOUNCE });
    }

    /// A document was refused; the state may have more pressing things to say, an event always says it.
    pub(super) fn refused(&mut self, at: &Rollout, fault: &Fault) {
        self.event(Status::of(&at.state), Status::Rejected, None, Some(fault));
    }

    /// How the store is; what is newly damaged is an event too.
    pub(super) fn heard_of_store(&mut self, at: &Rollout, news: &News) {
        let status = Status::of(&at.state);
        let generation = at.active.as_ref().map(|active| active.generation.clone());
        let known = std::mem::replace(&mut self.store_news, news.clone());
        for fault in news.damaged.iter().filter(|fault| !known.damaged.contains(fault)) {
            self.event(status, status, generation.as_ref(), Some(fault));
        }
        self.soon(DEBOUNCE);
    }

    /// Something of the state changed that is no passage.
    pub(super) fn changed(&mut self) {
        self.soon(DEBOUNCE);
    }

    /// Other keys count than before.
    pub(super) fn trusts(&mut self, trust: &Policy) {
        (self.agent.trust, self.agent.trust_counter) = (trust.told(), trust.counter());
        self.soon(Duration::ZERO);
    }

    /// Tells everything retained anew, and has the broker hand out what it retained.
    pub(super) fn refresh(&mut self) {
        if let Some(handle) = &self.handle {
            handle.refresh();
        }
        self.soon(Duration::ZERO);
    }

    /// Answers a command.
    pub(super) fn reply(&self, verb: &str, payload: Vec<u8>) {
        self.publish(Publish {
            topic: self.topics.own(&format!("reply/{verb}")),
            payload: Bytes::from(payload),
            qos: Qos::AtLeastOnce,
            retain: false,
            expiry: Some(REPLY_EXPIRY),
            kind: Kind::Reply,
        });
    }

    /// Tells the last state and takes leave.
    pub(super) async fn end(mut self, record: &Record) {
        self.tell(record);
        if let Some(handle) = self.handle.take() {
            handle.stop().await;
        }
    }

    fn soon(&mut self, delay: Duration) {
        let at = Instant::now() + delay;
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    fn tell(&mut self, record: &Record) {
        let facts = Facts {
            device: &self.device,
            groups: &self.groups,
            agent: &self.agent,
            workloads: &self.workloads,
            since: self.since,
            state_dir: self.store.root(),
            owned: self.store.unpacked_bytes().unwrap_or(0),
            store: &self.store_news,
        };
        let mut state = report::state(record, &facts);
        self.seq += 1;
        (state.sid, state.seq) = (self.sid.clone(), self.seq);
        let bytes = state.to_bytes();
        self.write_down(&bytes);
        self.publish(Publish {
            topic: self.topics.own("state"),
            payload: Bytes::from(bytes),
            qos: Qos::AtLeastOnce,
            retain: true,
            expiry: None,
            kind: Kind::News,
        });
        self.told = Some((Instant::now(), state));
    }

    /// Where `coracle status` finds it. Memory: a reader sees the old or the new one, and a boot forgets both.
    fn write_down(&self, bytes: &[u8]) {
        let (path, fresh) = (self.run_dir.join(report::STATE_FILE), self.run_dir.join("state.json.new"));
        let written = std::fs::write(&fresh, bytes).and_then(|()| std::fs::rename(&fresh, &path));
        if let Err(error) = written {
            events::lacking("the state was not written down for `coracle status`", &error.to_string());
        }
    }

    fn event(
        &mut self,
        from: Status,
        to: Status,
        desired: Option<&coracle_core::deployment::Generation>,
        error: Option<&Fault>,
    ) {
        self.seq += 1;
        let event = Event { schema: "event/v1", seq: self.seq, ts: clock::wall(), from, to, desired, error };
        self.publish(Publish {
            topic: self.topics.own("event"),
            payload: Bytes::from(reported::written(&event)),
            qos: Qos::AtLeastOnce,
            retain: false,
            expiry: Some(EVENT_EXPIRY),
            kind: Kind::News,
        });
    }

    fn progress(&mut self) {
        let Ok(layers) = self.pulling.lock().map(|layers| layers.clone()) else { return };
        let [bytes, total, refetched] =
            layers.iter().fold([0; 3], |[a, b, c], (_, [x, y, z])| [a + x, b + y, c + z]);
        let percent = (bytes * 100).checked_div(total).unwrap_or(0);
        let progress =
            Progress { schema: "progress/v1", ts: clock::wall(), bytes, total, percent, refetched };
        self.publish(Publish {
            topic: self.topics.own("progress"),
            payload: Bytes::from(reported::written(&progress)),
            qos: Qos::AtMostOnce,
            retain: false,
            expiry: None,
            kind: Kind::News,
        });
    }

    fn publish(&self, publish: Publish) {
        let Some(handle) = &self.handle else { return };
        let topic = publish.topic.clone();
        if let Err(error) = handle.publish(publish) {
            events::lacking(&format!("nothing was published on {topic}"), &error.to_string());
        }
    }
}

/// The number of the last state since the board booted, where the journal did not hold the agent's last start: it was
/// damaged, or could not be written.
fn last_seq(settings: &Settings) -> u64 {
    let state = report::last_state(&settings.run_dir);
    let number = |state: serde_json::Value| state.get("seq").and_then(serde_json::Value::as_u64);
    state.and_then(number).unwrap_or(0)
}

/// What an agent says of itself and its board.
pub(crate) fn describe_agent(trust: &Policy, platforms: &[Platform], runtime: String) -> Agent {
    Agent {
        version: env!("CARGO_PKG_VERSION"),
        platform: platforms.first().map_or_else(|| "unknown".to_owned(), ToString::to_string),
        runtime,
        trust: trust.told(),
        trust_counter: trust.counter(),
    }
}
