//! What waits to be sent: kept here and not in the library, which drops it when a session fails.
//!
//! Invariant: at most one message a retained topic, [`EVENTS_MAX`] events, [`REPLIES_MAX`] replies, and no QoS 0 message
//! without a connection. Replies are kept apart, so that whoever asks much does not push out what happened.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::Bell;

/// Events that wait for a connection; older ones are dropped, which the contract calls harmless.
const EVENTS_MAX: usize = 64;
/// Replies that wait for a connection; older ones are dropped, for nobody waits that long.
const REPLIES_MAX: usize = 16;
/// Retained topics; a device has two.
const RETAINED_MAX: usize = 8;
/// Messages of QoS 0 that wait for the connection's next turn.
const FLEETING_MAX: usize = 4;
/// Bytes of one outgoing message; the longest document is the state's 16 KiB.
const PAYLOAD_BYTES_MAX: usize = 32 << 10;

/// How surely a message arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qos {
    /// Perhaps: progress.
    AtMostOnce,
    /// At least once.
    AtLeastOnce,
}

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Tells what is, or what happened.
    News,
    /// Answers somebody.
    Reply,
}

/// A message to the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Where.
    pub topic: String,
    /// What.
    pub payload: Bytes,
    /// How surely.
    pub qos: Qos,
    /// The broker keeps it for those who come later.
    pub retain: bool,
    /// How long it is worth delivering; MQTT 5 only.
    pub expiry: Option<Duration>,
    /// What it is for.
    pub kind: Kind,
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Longer than the outbox takes.
    #[error("message for {topic} has {bytes} bytes, more than {PAYLOAD_BYTES_MAX}")]
    TooLarge {
        /// Where it should have gone.
        topic: String,
        /// Its length.
        bytes: usize,
    },
    /// One retained topic too many.
    #[error("message for {topic} would be retained topic number {} of this device", RETAINED_MAX + 1)]
    TooManyTopics {
        /// Where it should have gone.
        topic: String,
    },
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    connected: bool,
    retained: BTreeMap<String, Publish>,
    events: VecDeque<Publish>,
    replies: VecDeque<Publish>,
    /// The subscriptions and the presence are to be said anew.
    refresh: bool,
    fleeting: VecDeque<Publish>,
}

impl Outbox {
    fn put(&mut self, publish: Publish) -> Result<(), PublishError> {
        let Publish { topic, payload, qos, retain, kind, .. } = &publish;
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(PublishError::TooLarge { topic: topic.clone(), bytes: payload.len() });
        }
        if *retain {
            if self.retained.len() >= RETAINED_MAX && !self.retained.contains_key(topic) {
                return Err(PublishError::TooManyTopics { topic: topic.clone() });
            }
            self.retained.insert(topic.clone(), publish);
        } else if *kind == Kind::Reply {
            self.replies.push_back(publish);
            bound(&mut self.replies, REPLIES_MAX);
        } else if *qos == Qos::AtLeastOnce {
            self.events.push_back(publish);
            bound(&mut self.events, EVENTS_MAX);
        } else if self.connected {
            self.fleeting.push_back(publish);
            bound(&mut self.fleeting, FLEETING_MAX);
        }
        Ok(())
    }

    /// The next to send: what is current before what somebody waits for, before what is history.
    fn next(&mut self) -> Option<Publish> {
        let retained = self.retained.pop_first().map(|(_, publish)| publish);
        let waited_for = retained.or_else(|| self.replies.pop_front());
        waited_for.or_else(|| self.events.pop_front()).or_else(|| self.fleeting.pop_front())
    }

    /// Takes back what was sent but never acknowledged; a newer message on a retained topic stays.
    fn put_back(&mut self, publish: Publish) {
        if publish.retain {
            self.retained.entry(publish.topic.clone()).or_insert(publish);
        } else if publish.kind == Kind::Reply {
            self.replies.push_front(publish);
            self.replies.truncate(REPLIES_MAX);
        } else if publish.qos == Qos::AtLeastOnce && self.events.len() < EVENTS_MAX {
            self.events.push_front(publish);
        }
    }

    fn set_connected(&mut self, connected: bool) {
        self.connected = connected;
        // A connection begins with all that a refresh would say.
        self.refresh = false;
        if !connected {
            self.fleeting.clear();
        }
    }
}

fn bound(queue: &mut VecDeque<Publish>, most: usize) {
    while queue.len() > most {
        queue.pop_front();
    }
}

/// The outbox as its two sides see it.
#[derive(Clone, Default)]
pub(super) struct Shared {
    outbox: Arc<Mutex<Outbox>>,
    bell: Bell,
}

impl Shared {
    fn with<T>(&self, act: impl FnOnce(&mut Outbox) -> T) -> T {
        // Nothing in here panics half-way, so a poisoned lock still guards a sound outbox.
        act(&mut self.outbox.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn put(&self, publish: Publish) -> Result<(), PublishError> {
        self.with(|outbox| outbox.put(publish))?;
        self.bell.notify_one();
        Ok(())
    }

    pub(super) fn next(&self) -> Option<Publish> {
        self.with(Outbox::next)
    }

    /// Has the subscriptions and the presence said anew; without a connection, the next one does so anyway.
    pub(super) fn refresh(&self) {
        self.with(|outbox| outbox.refresh = outbox.connected);
        self.bell.notify_one();
    }

    /// Whether that is to be done now; once for each time it was asked for.
    pub(super) fn take_refresh(&self) -> bool {
        self.with(|outbox| std::mem::take(&mut outbox.refresh))
    }

    pub(super) fn put_back(&self, publish: Publish) {
        self.with(|outbox| outbox.put_back(publish));
    }

    pub(super) fn set_connected(&self, connected: bool) {
        self.with(|outbox| outbox.set_connected(connected));
    }

    /// Waits until something may have been put.
    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str, payload: &str, qos: Qos, retain: bool) -> Publish {
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        Publish { topic: topic.into(), payload, qos, retain, expiry: None, kind: Kind::News }
    }

    fn drain(outbox: &mut Outbox) -> Vec<String> {
        let next = || outbox.next().map(|publish| String::from_utf8(publish.payload.to_vec()).unwrap());
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn the_latest_state_goes_first_then_the_events_in_order() {
        let mut outbox = Outbox::default();
        for (topic, payload, retain) in
            [("event", "e1", false), ("state", "s1", true), ("event", "e2", false), ("state", "s2", true)]
        {
            outbox.put(message(topic, payload, Qos::AtLeastOnce, retain)).unwrap();
        }
        assert_eq!(drain(&mut outbox), ["s2", "e1", "e2"]);
    }

    #[test]
    fn everything_that_waits_is_bounded() {
        let mut outbox = Outbox::default();
        for i in 0..1000 {
            outbox.put(message("event", &i.to_string(), Qos::AtLeastOnce, false)).unwrap();
            outbox.put(message("progress", "p", Qos::AtMostOnce, false)).unwrap();
        }
        assert_eq!(drain(&mut outbox), (936..1000).map(|i| i.to_string()).collect::<Vec<_>>());
        let topics = (0..9).map(|i| outbox.put(message(&i.to_string(), "", Qos::AtLeastOnce, true)).is_ok());
        assert_eq!(topics.filter(|ok| *ok).count(), RETAINED_MAX);
        let long = "x".repeat(PAYLOAD_BYTES_MAX + 1);
        assert!(outbox.put(message("event", &long, Qos::AtLeastOnce, false)).is_err());
    }

    #[test]
    fn what_was_not_acknowledged_comes_back_unless_something_newer_is_there() {
        let mut outbox = Outbox::default();
        outbox.put(message("state", "new", Qos::AtLeastOnce, true)).unwrap();
        outbox.put(message("event", "e2", Qos::AtLeastOnce, false)).unwrap();
        outbox.put_back(message("state", "old", Qos::AtLeastOnce, true));
        outbox.put_back(message("event", "e1", Qos::AtLeastOnce, false));
        outbox.put_back(message("progress", "p", Qos::AtMostOnce, false));
        assert_eq!(drain(&mut outbox), ["new", "e1", "e2"]);
    }

    #[test]
    fn progress_is_only_for_those_who_listen() {
        let mut outbox = Outbox::default();
        outbox.put(message("progress", "lost", Qos::AtMostOnce, false)).unwrap();
        outbox.set_connected(true);
        outbox.put(message("progress", "seen", Qos::AtMostOnce, false)).unwrap();
        assert_eq!(drain(&mut outbox), ["seen"]);
    }
}
