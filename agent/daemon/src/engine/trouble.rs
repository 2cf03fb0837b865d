//! What is wrong right now and passes by itself, kept in memory for whoever asks why.

use coracle_core::explain::{self, Live};
use coracle_core::fault::Fault;
use coracle_core::pace::Slowed;
use coracle_core::standing::Link;
use tokio::time::{Duration, Instant};

/// The last failure of each kind, until it has passed.
#[derive(Default)]
pub(super) struct Trouble {
    lost: Option<(String, Instant)>,
    unkept: Option<Fault>,
}

impl Trouble {
    /// The connection stands.
    pub(super) fn connected(&mut self) {
        self.lost = None;
    }

    /// It does not, and is tried again.
    pub(super) fn disconnected(&mut self, cause: &str, retry_in: Duration) {
        self.lost = Some((cause.to_owned(), Instant::now() + retry_in));
    }

    /// The good deployment runs, or why not.
    pub(super) fn kept(&mut self, fault: Option<&Fault>) {
        self.unkept = fault.cloned();
    }

    /// All of it; `waits` is what the board is not provisioned with yet.
    pub(super) fn tell(
        &self,
        link: Link,
        waits: Option<&str>,
        durable: bool,
        slowed: Option<Slowed>,
    ) -> Live {
        let link = match (link, &self.lost) {
            (Link::NoBroker, _) => explain::Link::NoBroker,
            (Link::Unprovisioned, _) => {
                explain::Link::Unprovisioned { why: waits.unwrap_or_default().to_owned() }
            }
            (Link::Up, _) => explain::Link::Up,
            (Link::Down, None) => explain::Link::Down { cause: None, retry_in_s: 0 },
            (Link::Down, Some((cause, at))) => explain::Link::Down {
                cause: Some(cause.clone()),
                retry_in_s: at.saturating_duration_since(Instant::now()).as_secs(),
            },
        };
        Live { link, durable, unkept: self.unkept.clone(), slowed }
    }
}
