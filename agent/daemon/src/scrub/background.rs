//! The agent's own passes: the records at every start, the content once in `store.scrub_days`, and what is damaged
//! fetched again by itself.
//!
//! Invariant: while all is well nothing is written but the time of one file, once a pass. A pass waits while an update
//! is under way.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use coracle_core::fault::{Code, Fault};
use coracle_core::oci::Digest;
use coracle_core::retry::{Backoff, backoff_ms};
use coracle_core::scrub::{Pace, due};
use coracle_host::store::{Depth, StoreError};
use coracle_host::{clock, priority};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::{Finding, Inventory, Mended, Report, Thing, Wanted, look, mend, sweep};
use crate::config::Settings;
use crate::exit::chain;
use crate::images::Images;
use crate::units::Units;
use crate::{events, local};

/// Its time of change is when the last pass over the content ended; there is nothing in it.
const MARK: &str = "scrubbed";
/// Between two looks at the clock, and at whether workloads left the copies that were kept for them.
const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// The least between two passes over the content, whatever the mark says.
const REST: Duration = Duration::from_secs(86_400);
const STALE_EVERY: Duration = Duration::from_secs(10);
/// Before a repair that failed is tried again.
const AGAIN: Backoff = Backoff { base_ms: 30_000, cap_ms: 300_000 };
/// Damaged things that are told of one by one.
const FAULTS_MAX: usize = 16;
/// While a pass is held up: how often it asks whether it still is.
const HELD: Duration = Duration::from_millis(500);

/// How the store is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// What is damaged, each with a workload that runs on it.
    pub(crate) damaged: Vec<Fault>,
    /// Workloads that still run on a damaged copy of what was repaired.
    pub(crate) stale: Vec<String>,
    /// Whether something was repaired just now.
    pub(crate) mended: bool,
}

/// The engine's hold on it.
pub(crate) struct Scrubber {
    held: Arc<AtomicBool>,
    asks: mpsc::Sender<()>,
}

impl Scrubber {
    /// Starts beside the loop; news come over the channel.
    pub(crate) fn start(
        settings: &Settings,
        images: Arc<Images>,
        units: Units,
    ) -> (Self, mpsc::Receiver<News>) {
        let (asks, asked) = mpsc::channel(1);
        let (news, heard) = mpsc::channel(4);
        let held = Arc::new(AtomicBool::new(false));
        let task = Task {
            pace: Pace { days: settings.store.scrub_days, seed: seed(settings) },
            settings: settings.clone(),
            images,
            units,
            held: Arc::clone(&held),
            news,
            told: News::default(),
            failures: 0,
            again_at: None,
            broken: Vec::new(),
            passed_at: None,
        };
        tokio::spawn(task.run(asked));
        (Self { held, asks }, heard)
    }

    /// Holds passes up while an update is under way.
    pub(crate) fn hold(&self, held: bool) {
        self.held.store(held, Ordering::Relaxed);
    }

    /// Something of a deployment is not there: it is looked for, and fetched.
    pub(crate) fn ask(&self) {
        // One wish that waits is as good as two.
        let _ = self.asks.try_send(());
    }
}

/// This board's place in its fleet.
fn seed(settings: &Settings) -> u64 {
    let digest = Digest::of(settings.device_id.as_str().as_bytes());
    digest.bytes().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

struct Task {
    settings: Settings,
    images: Arc<Images>,
    units: Units,
    pace: Pace,
    held: Arc<AtomicBool>,
    news: mpsc::Sender<News>,
    told: News,
    /// Repairs in a row that did not get everything.
    failures: u32,
    again_at: Option<Instant>,
    /// The layers that are still damaged.
    broken: Vec<Digest>,
    /// When the last pass over the content began.
    passed_at: Option<Instant>,
}

impl Task {
    async fn run(mut self, mut asked: mpsc::Receiver<()>) {
        let started = Instant::now();
        let content_from = started + self.settings.store.scrub_after;
        self.records().await;
        loop {
            let now = Instant::now();
            if now >= content_from && self.is_due(now.duration_since(started)) {
                self.content(&mut asked).await;
                continue;
            }
            let stale_at = now + if self.told.stale.is_empty() { LOOK_EVERY } else { STALE_EVERY };
            let next = if now < content_from { content_from } else { now + LOOK_EVERY };
            let again_at = self.again_at.unwrap_or(next);
            tokio::select! {
                wish = asked.recv() => match wish {
                    None => return,
                    Some(()) => self.wished().await,
                },
                () = sleep_until(again_at) => if self.again_at.is_some() {
                    self.again().await;
                },
                () = sleep_until(next) => {}
                () = sleep_until(stale_at) => self.look_at_stale().await,
            }
        }
    }

    fn mark(&self) -> PathBuf {
        self.settings.state_dir.join(MARK)
    }

    fn is_due(&self, up: Duration) -> bool {
        // A mark that cannot be kept must not make a board read its flash without end.
        let rested = self.passed_at.is_none_or(|at| at.elapsed() >= REST);
        rested && due(self.pace, clock::modified(&self.mark()), clock::wall(), up.as_secs())
    }

    /// Whether everything is there, as far as its records say.
    async fn records(&mut self) {
        let found = self.looking(Depth::Records, Wanted::default()).await;
        self.found(found).await;
    }

    /// Every byte; a wish is seen to meanwhile.
    async fn content(&mut self, asked: &mut mpsc::Receiver<()>) {
        self.passed_at = Some(Instant::now());
        let looking = self.looking(Depth::Content, Wanted::default());
        tokio::pin!(looking);
        let found = loop {
            tokio::select! {
                found = &mut looking => break found,
                Some(()) = asked.recv() => self.wished().await,
            }
        };
        if self.found(found).await
            && let Err(error) = touch(&self.mark())
        {
            events::lacking("the time of the last scrub was not kept", &error.to_string());
        }
    }

    /// Something of a deployment is not there. A repair that failed has its own time.
    async fn wished(&mut self) {
        if self.again_at.is_none() {
            self.records().await;
        }
    }

    /// A repair that failed before: only what it was about is read again.
    async fn again(&mut self) {
        let layers = self.broken.clone();
        let mut found = self.looking(Depth::Records, Wanted::default()).await;
        if let (Ok((_, report)), false) = (&mut found, layers.is_empty()) {
            let wanted = Wanted { images: Vec::new(), layers };
            if let Ok((_, read)) = self.looking(Depth::Content, wanted).await {
                let new =
                    |finding: &Finding| report.findings.iter().all(|known| known.thing != finding.thing);
                let read: Vec<_> = read.findings.into_iter().filter(new).collect();
                report.findings.extend(read);
            }
        }
        self.found(found).await;
    }

    /// Repairs what a pass found; whether there was a pass.
    async fn found(&mut self, found: Result<(Inventory, Report), String>) -> bool {
        match found {
            Ok((inventory, report)) => {
                self.repair(&inventory, &report.findings).await;
                true
            }
            Err(error) => {
                events::lacking("the store could not be verified", &error);
                self.later();
                false
            }
        }
    }

    async fn repair(&mut self, inventory: &Inventory, findings: &[Finding]) {
        let mut mended = Mended::default();
        if !findings.is_empty() {
            for finding in findings {
                events::damaged(&finding.line(), &names(finding));
            }
            self.tell(findings.iter(), false).await;
            let quiet: crate::images::Watch = Arc::new(|_| {});
            mended = mend(&self.images, inventory, findings, &quiet).await;
            if !mended.things.is_empty() {
                events::mended(mended.things.len(), mended.layers.len(), mended.bytes);
                let (state_dir, units) = (self.settings.state_dir.clone(), self.units.clone());
                // What people want back may have waited for just this.
                tokio::task::spawn_blocking(move || local::bring_back(&state_dir, &units));
            }
        }
        for (thing, why) in &mended.failed {
            events::not_repaired(&thing.to_string(), why);
        }
        if mended.failed.is_empty() {
            (self.failures, self.again_at) = (0, None);
        } else {
            self.later();
        }
        let layer = |(thing, _): &(Thing, String)| match thing {
            Thing::Layer(digest) => Some(*digest),
            Thing::Blob(..) | Thing::Image(_) | Thing::File(_) => None,
        };
        self.broken = mended.failed.iter().filter_map(layer).collect();
        let left = |finding: &&Finding| mended.failed.iter().any(|(thing, _)| *thing == finding.thing);
        self.tell(findings.iter().filter(left), !mended.things.is_empty()).await;
    }

    fn later(&mut self) {
        self.failures = self.failures.saturating_add(1);
        let pause = backoff_ms(AGAIN, self.failures, self.pace.seed);
        self.again_at = Some(Instant::now() + Duration::from_millis(pause));
    }

    async fn look_at_stale(&mut self) {
        let damaged = self.told.damaged.clone();
        self.send(News { damaged, stale: self.stale().await, mended: false }).await;
    }

    async fn tell(&mut self, damaged: impl Iterator<Item = &Finding>, mended: bool) {
        let damaged = damaged.flat_map(faults).take(FAULTS_MAX).collect();
        self.send(News { damaged, stale: self.stale().await, mended }).await;
    }

    async fn send(&mut self, news: News) {
        if news != self.told || news.mended {
            self.told = News { mended: false, ..news.clone() };
            // The loop is gone only when the agent ends.
            let _ = self.news.send(news).await;
        }
    }

    /// Lets go of copies that nobody runs on any more, and names who runs on the others.
    async fn stale(&self) -> Vec<String> {
        let units = self.units.clone();
        let swept = tokio::task::spawn_blocking(move || sweep(&units.store, &units.supervisor)).await;
        match swept {
            Ok(Ok(stale)) => stale.iter().map(ToString::to_string).collect(),
            Ok(Err(error)) => {
                events::lacking("damaged copies that nobody needs were not removed", &chain(&error));
                self.told.stale.clone()
            }
            Err(_) => self.told.stale.clone(),
        }
    }

    /// Reads in a thread of the lowest priority, which an end of the agent need not wait for.
    fn looking(
        &self,
        depth: Depth,
        wanted: Wanted,
    ) -> impl Future<Output = Result<(Inventory, Report), String>> + use<> {
        let (settings, units) = (self.settings.clone(), self.units.clone());
        let held = Arc::clone(&self.held);
        let (done, outcome) = oneshot::channel();
        let work = move || {
            let mut pace = (!priority::lower_thread()).then(priority::Pace::begin);
            let looked = Inventory::take(&settings, &units.store, &units.supervisor).and_then(|inventory| {
                let mut wait = |_| {
                    while depth == Depth::Content && held.load(Ordering::Relaxed) {
                        std::thread::sleep(HELD);
                    }
                    if let Some(pace) = pace.as_mut().filter(|_| depth == Depth::Content) {
                        pace.rest();
                    }
                };
                let report = look(&units.store, &inventory, &wanted, depth, &mut wait)?;
                Ok::<_, StoreError>((inventory, report))
            });
            // Nobody waits for it when the agent ends.
            let _ = done.send(looked.map_err(|error| chain(&error)));
        };
        let spawned = std::thread::Builder::new().name("scrub".to_owned()).spawn(work);
        async move {
            spawned.map_err(|error| error.to_string())?;
            outcome.await.map_err(|_| "its thread ended".to_owned())?
        }
    }
}

fn names(finding: &Finding) -> String {
    finding.workloads.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// One for each workload that runs on what is damaged; one without where none does.
fn faults(finding: &Finding) -> Vec<Fault> {
    let fault = Fault::new(Code::Store, &finding.line()).hint("coracle verify --repair");
    if finding.workloads.is_empty() {
        return vec![fault];
    }
    finding.workloads.iter().map(|id| fault.clone().of(&id.project, &id.service)).collect()
}

fn touch(path: &std::path::Path) -> io::Result<()> {
    let file = File::options().write(true).create(true).truncate(false).open(path)?;
    file.set_modified(SystemTime::now())?;
    file.sync_all()
}
