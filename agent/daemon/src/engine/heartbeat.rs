//! What the service manager hears of the loop: that it turns, and where the board stands, in one line for people.
//!
//! Invariant: only the loop itself speaks here. One that hangs says nothing more, and the manager starts the agent
//! again.

use std::time::Duration;

use coracle_core::standing::Standing;
use coracle_host::notify::{Notice, Notifier, watchdog_interval};
use tokio::time::Instant;

use super::turn::NEVER;
use crate::events;

/// Signs of life within the time that the manager allows: one may be late, and one may be lost.
const SIGNS: u32 = 3;

/// The way to the service manager, if there is one.
pub(crate) struct Heartbeat {
    notifier: Option<Notifier>,
    every: Option<Duration>,
    due: Instant,
    said: Option<String>,
}

impl Heartbeat {
    /// To the manager that the environment names; nobody hears it where there is none.
    pub(crate) fn from_environment() -> Self {
        let notifier = Notifier::from_environment().unwrap_or_else(|error| {
            events::lacking("the service manager cannot be told how the agent is", &error.to_string());
            None
        });
        let every = notifier.as_ref().and_then(|_| watchdog_interval()).map(|limit| limit / SIGNS);
        Self { notifier, every, due: Instant::now(), said: None }
    }

    /// When the loop must turn again although nothing happens.
    pub(crate) fn due(&self) -> Instant {
        self.every.map_or_else(|| Instant::now() + NEVER, |_| self.due)
    }

    /// The loop turned once more, and the board stands so. The first time says that the agent is ready.
    pub(crate) fn turned(&mut self, standing: &Standing<'_>) {
        let Some(notifier) = &self.notifier else { return };
        let now = Instant::now();
        let standing = standing.to_string();
        let mut notices = Vec::new();
        if self.said.is_none() {
            notices.push(Notice::Ready);
        }
        if self.said.as_ref() != Some(&standing) {
            notices.push(Notice::Status(&standing));
        }
        if let Some(every) = self.every.filter(|_| self.due <= now) {
            notices.push(Notice::Watchdog);
            self.due = now + every;
        }
        // A manager that does not listen is asked again at the next turn.
        if !notices.is_empty() && notifier.tell(&notices).is_ok() {
            self.said = Some(standing);
        }
    }

    /// The loop has ended.
    pub(crate) fn stopping(&self) {
        if let Some(notifier) = &self.notifier {
            // Who does not hear it sees the end itself.
            let _ = notifier.tell(&[Notice::Stopping]);
        }
    }
}
