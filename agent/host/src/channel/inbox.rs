//! What came from the broker and waits for the engine.
//!
//! Invariant: an exact topic has one place, where the newest message replaces older ones; the rest is bounded.
//! So a flood costs the sender, and the link task never waits for the engine.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use coracle_core::limits::DESIRED_BYTES_MAX;

use super::Bell;

/// Messages that wait beside those of exact topics: commands.
const MESSAGES_MAX: usize = 16;

/// One message from the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Incoming {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) retained: bool,
    /// How many before it were dropped.
    pub(super) missed: u32,
}

impl Incoming {
    /// Copies the message out of the read buffer it lies in; no more of it than tells that it is too long.
    pub(super) fn copied(topic: &[u8], payload: &[u8], retained: bool) -> Self {
        let kept = payload.get(..=DESIRED_BYTES_MAX).unwrap_or(payload);
        let topic = String::from_utf8_lossy(topic).into_owned();
        Self { topic, payload: Bytes::copy_from_slice(kept), retained, missed: 0 }
    }
}

/// Where the link task puts messages and the session takes them.
#[derive(Clone)]
pub(super) struct Inbox {
    waiting: Arc<Mutex<Waiting>>,
    exact: Arc<[String]>,
    bell: Bell,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Incoming>,
    missed: u32,
}

impl Inbox {
    pub(super) fn new(filters: &[String]) -> Self {
        let exact = filters.iter().filter(|filter| !filter.contains(['+', '#'])).cloned().collect();
        Self { waiting: Arc::default(), exact, bell: Bell::default() }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Waiting) -> T) -> T {
        // Nothing in here panics half-way, so a poisoned lock still guards a sound queue.
        act(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn put(&self, message: Incoming) {
        let exact = self.exact.contains(&message.topic);
        self.with(|Waiting { messages, missed }| {
            if exact {
                messages.retain(|waiting| waiting.topic != message.topic);
                messages.push_back(message);
            } else if messages.len() < MESSAGES_MAX {
                messages.push_back(message);
            } else {
                *missed = missed.saturating_add(1);
            }
        });
        self.bell.notify_one();
    }

    pub(super) fn next(&self) -> Option<Incoming> {
        self.with(|Waiting { messages, missed }| {
            messages.pop_front().map(|message| Incoming { missed: std::mem::take(missed), ..message })
        })
    }

    /// Waits until something may have come.
    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_leaves_the_newest_document_and_few_commands() {
        let inbox = Inbox::new(&["d/desired".into(), "cmd/+".into()]);
        for i in 0..1000_u16 {
            inbox.put(Incoming::copied(b"d/desired", &i.to_be_bytes(), false));
            inbox.put(Incoming::copied(b"cmd/refresh", &i.to_be_bytes(), false));
        }
        let waiting: Vec<Incoming> = std::iter::from_fn(|| inbox.next()).collect();
        assert_eq!(waiting.len(), MESSAGES_MAX);
        assert_eq!(waiting.iter().map(|message| message.missed).sum::<u32>(), 1000 - 15);
        let documents: Vec<_> = waiting.iter().filter(|message| message.topic == "d/desired").collect();
        assert_eq!(documents.len(), 1);
        assert_eq!(documents[0].payload.as_ref(), 999_u16.to_be_bytes());
    }

    #[test]
    fn a_long_message_is_kept_as_far_as_it_tells() {
        let long = vec![0; DESIRED_BYTES_MAX * 2];
        assert_eq!(Incoming::copied(b"t", &long, true).payload.len(), DESIRED_BYTES_MAX + 1);
        assert_eq!(Incoming::copied(b"t", &long[..5], true).payload.len(), 5);
    }
}
