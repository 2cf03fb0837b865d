//! Three readings of time: what the clock shows, time that only goes forward, and time fit for documents.

use std::time::Instant;

use coracle_core::desired::{Clock as TimeFacts, trusted_time};
use coracle_core::time::Timestamp;
use coracle_host::clock;

/// The board's clocks.
pub(crate) struct Clock {
    started: Instant,
    started_at: Timestamp,
    built_at: Timestamp,
}

impl Clock {
    /// Clocks that start now.
    pub(crate) fn start() -> Self {
        let exe = std::env::current_exe().ok();
        let built_at = exe.and_then(|exe| clock::modified(&exe)).unwrap_or_default();
        Self { started: Instant::now(), started_at: clock::wall(), built_at }
    }

    /// What the clock shows.
    pub(crate) fn wall(&self) -> Timestamp {
        clock::wall()
    }

    /// Whether it follows a time server.
    pub(crate) fn synced(&self) -> bool {
        clock::synced()
    }

    /// Seconds that neither a time server nor a person can move while the agent runs: a clock that jumps from 1970
    /// to today must not end a trial.
    pub(crate) fn steady(&self) -> Timestamp {
        self.started_at.after(self.started.elapsed().as_secs())
    }

    /// Time fit to be compared with a document's.
    pub(crate) fn trusted(&self, newest_issued: Timestamp) -> Timestamp {
        trusted_time(&self.facts(newest_issued))
    }

    /// What is known of the time.
    pub(crate) fn facts(&self, newest_issued: Timestamp) -> TimeFacts {
        TimeFacts { synced: self.synced().then(|| self.wall()), built: self.built_at, newest_issued }
    }
}
