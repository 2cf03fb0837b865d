//! One connection from CONNECT to its end.
//!
//! Order: CONNACK, one SUBSCRIBE, SUBACK, birth, then the outbox, one acknowledged message at a time.

use std::collections::BTreeSet;
use std::future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coracle_core::retry::Loss;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::inbox::{Inbox, Incoming};
use super::link::{Link, Lost, Said, Terms};
use super::outbox::{Kind, Publish, Qos, Shared};
use super::proofs::{Fresh, Look, Proofs};
use super::{ChannelConfig, ChannelEvent};

/// How long the whole way to a standing subscription may take.
const SETUP: Duration = Duration::from_secs(60);
/// How long a graceful end may take.
const LEAVE: Duration = Duration::from_secs(3);
/// Between two repairs of the presence, so that nobody can make this device shout.
const REPAIR_EVERY: Duration = Duration::from_secs(1);

/// How a connection ended.
pub(super) enum End {
    /// As asked.
    Left,
    /// For another one with what the files have now.
    Renewed,
    /// Not as asked; since when it had stood.
    Lost(Lost, Option<Instant>),
}

/// How often in a row a stranger's word was found on the presence topic before that counts as a namesake: a broker that
/// was restored from an old copy shows one, once.
const STRANGERS_MAX: u32 = 2;

/// What one connection leaves to the next. Few brokers say that a session was taken over, and none does in MQTT 3.1.1;
/// but whoever takes it leaves its own presence behind.
pub(super) struct Memory {
    pub(super) proofs: Proofs,
    /// The presence documents of the last connection that stood.
    said: Vec<Bytes>,
    /// Connections in a row that found another one.
    strangers: u32,
}

impl Memory {
    pub(super) fn new(config: Arc<ChannelConfig>) -> Self {
        Self { proofs: Proofs::new(config), said: Vec::new(), strangers: 0 }
    }
}

pub(super) struct Session<'a> {
    pub(super) config: &'a ChannelConfig,
    pub(super) sid: &'a str,
    pub(super) outbox: &'a Shared,
    pub(super) events: &'a mpsc::Sender<ChannelEvent>,
    pub(super) keepalive_s: u16,
}

/// How a standing connection came to its end by itself.
enum Parted {
    Lost(Lost),
    Renewed,
}

/// What changes while a connection stands.
struct Standing {
    link: Link,
    inbox: Inbox,
    /// Sent, and not acknowledged yet.
    sent: Option<(Publish, Instant)>,
    /// The presence the broker should hold now.
    presence: Bytes,
    will: Bytes,
    /// The presence documents of the last connection; none before the first.
    said_before: Vec<Bytes>,
    /// Connections in a row that found a stranger's presence; one that was too short to find any changes nothing.
    strangers: u32,
    /// When the presence is to be said again.
    repair_at: Option<Instant>,
    repaired_at: Option<Instant>,
    heard_at: Instant,
    /// When the files are looked at next.
    look_at: Instant,
    /// For the owner, who has not taken it yet.
    waiting: Option<ChannelEvent>,
    /// Topics that the broker took nothing for; each is told of once a connection.
    not_taken: BTreeSet<String>,
}

impl Session<'_> {
    /// Connects and stays until the connection is lost or `stop` says so.
    pub(super) async fn run(&self, memory: &mut Memory, stop: &mut watch::Receiver<bool>) -> End {
        let mut standing = tokio::select! {
            opened = self.open(memory) => match opened {
                Ok(standing) => standing,
                Err(lost) => return End::Lost(lost, None),
            },
            () = asked(stop) => return End::Left,
        };
        let since = Instant::now();
        self.outbox.set_connected(true);
        let parted = tokio::select! {
            parted = self.stay(&mut standing, &mut memory.proofs) => Some(parted),
            () = asked(stop) => None,
        };
        memory.strangers = standing.strangers;
        memory.said = vec![standing.presence.clone(), standing.will.clone()];
        let end = match parted {
            Some(Parted::Lost(lost)) => End::Lost(lost, Some(since)),
            Some(Parted::Renewed) => {
                hang_up(&mut standing).await;
                End::Renewed
            }
            None => {
                self.leave(&mut standing).await;
                End::Left
            }
        };
        self.outbox.set_connected(false);
        if let Some((publish, _)) = standing.sent.take().filter(|(publish, _)| !self.is_presence(publish)) {
            self.outbox.put_back(publish);
        }
        end
    }

    async fn open(&self, memory: &mut Memory) -> Result<Standing, Lost> {
        let presence = &self.config.presence;
        let will = Bytes::from((presence.will)(self.sid));
        let Fresh { password, tls, trouble } = memory.proofs.read()?;
        if let Some(why) = trouble {
            self.tell(ChannelEvent::Unusable { why }).await?;
        }
        let terms = Terms { keepalive_s: self.keepalive_s, will: will.to_vec(), password, tls };
        let filters = self.filters();
        let inbox = Inbox::new(&filters);
        let mut link = Link::open(self.config, terms, inbox.clone())?;
        let deadline = Instant::now() + SETUP;
        loop {
            let said = timeout_at(deadline, link.said()).await;
            match said.map_err(|_| Lost::new(Loss::Network, "the broker did not answer in time"))? {
                Said::Connected => link.subscribe(&filters)?,
                Said::Subscribed { refused: 0 } => break,
                Said::Subscribed { refused } => {
                    let cause = format!("the broker refused {refused} of {} subscriptions", filters.len());
                    return Err(Lost::new(Loss::Credentials, cause));
                }
                Said::Acknowledged | Said::NotTaken(_) | Said::Alive => {}
                Said::Lost(lost) => return Err(lost),
            }
        }
        let now = Instant::now();
        let waiting = Some(ChannelEvent::Connected { sid: self.sid.to_owned() });
        Ok(Standing {
            link,
            inbox,
            sent: None,
            presence: Bytes::new(),
            will,
            said_before: memory.said.clone(),
            strangers: memory.strangers,
            repair_at: Some(now),
            repaired_at: None,
            heard_at: now,
            look_at: now + self.config.look_every,
            waiting,
            not_taken: BTreeSet::new(),
        })
    }

    async fn stay(&self, standing: &mut Standing, proofs: &mut Proofs) -> Parted {
        let patience = Duration::from_secs(u64::from(self.keepalive_s) * 2);
        loop {
            if let Err(lost) = self.send(standing).and_then(|()| self.take(standing)) {
                return Parted::Lost(lost);
            }
            if standing.waiting.is_none() && standing.look_at <= Instant::now() {
                standing.look_at = Instant::now() + self.config.look_every;
                match proofs.again() {
                    Look::Same => {}
                    Look::Unusable(why) => standing.waiting = Some(ChannelEvent::Unusable { why }),
                    Look::Renewed => {
                        // Without a listener the next connection finds that out.
                        let _ = self.tell(ChannelEvent::Renewing).await;
                        return Parted::Renewed;
                    }
                }
            }
            let unanswered = standing.sent.as_ref().map_or(standing.heard_at, |(_, at)| *at);
            let watchdog = standing.heard_at.min(unanswered) + patience;
            tokio::select! {
                said = standing.link.said() => {
                    standing.heard_at = Instant::now();
                    match said {
                        Said::Acknowledged => standing.sent = None,
                        Said::NotTaken(why) => standing.not_taken(why),
                        Said::Lost(lost) => return Parted::Lost(lost),
                        Said::Connected | Said::Subscribed { .. } | Said::Alive => {}
                    }
                }
                permit = self.events.reserve(), if standing.waiting.is_some() => {
                    let Ok(permit) = permit else { return Parted::Lost(nobody()) };
                    if let Some(event) = standing.waiting.take() {
                        permit.send(event);
                    }
                }
                () = self.outbox.rung(), if standing.sent.is_none() => {}
                () = standing.inbox.rung(), if standing.waiting.is_none() => {}
                () = at(standing.repair_at), if standing.sent.is_none() => {}
                () = sleep_until(standing.look_at), if standing.waiting.is_none() => {}
                () = sleep_until(watchdog) => {
                    let cause = format!("the broker acknowledged nothing for {} s", patience.as_secs());
                    return Parted::Lost(Lost::new(Loss::Network, cause));
                }
            }
        }
    }

    async fn tell(&self, event: ChannelEvent) -> Result<(), Lost> {
        self.events.send(event).await.map_err(|_| nobody())
    }

    /// Sends what is due: the presence first, then the outbox until one must be acknowledged.
    fn send(&self, standing: &mut Standing) -> Result<(), Lost> {
        let now = Instant::now();
        if standing.sent.is_none() && self.outbox.take_refresh() {
            // The broker hands out every retained message again.
            standing.link.subscribe(&self.filters())?;
            standing.repair_at = Some(standing.repair_earliest(now));
            standing.look_at = now;
        }
        if standing.sent.is_none() && standing.repair_at.is_some_and(|at| at <= now) {
            standing.repair_at = None;
            standing.repaired_at = Some(now);
            standing.presence = (self.config.presence.birth)(self.sid).into();
            let birth = self.presence(standing.presence.clone());
            standing.link.publish(&birth)?;
            standing.sent = Some((birth, now));
        }
        while standing.sent.is_none() {
            let Some(publish) = self.outbox.next() else { break };
            let result = standing.link.publish(&publish);
            match publish.qos {
                Qos::AtLeastOnce => standing.sent = Some((publish, now)),
                Qos::AtMostOnce => {}
            }
            result?;
        }
        Ok(())
    }

    /// Moves messages from the inbox to the owner's side; the device's own presence is looked after here.
    fn take(&self, standing: &mut Standing) -> Result<(), Lost> {
        while standing.waiting.is_none() {
            let Some(message) = standing.inbox.next() else { break };
            let Incoming { topic, payload, retained, missed } = message;
            if topic != self.config.presence.topic {
                standing.waiting = Some(ChannelEvent::Message { topic, payload, retained, missed });
            } else if retained {
                standing.found(&payload)?;
            } else if payload != standing.presence {
                // An old will, or a namesake's word.
                standing.repair_at = Some(standing.repair_earliest(Instant::now()));
            }
        }
        Ok(())
    }

    /// Sends what is left, the farewell and DISCONNECT.
    async fn leave(&self, standing: &mut Standing) {
        let deadline = Instant::now() + LEAVE;
        let mut farewell = Some(self.presence((self.config.presence.farewell)(self.sid).into()));
        standing.repair_at = None;
        loop {
            while standing.sent.is_none() {
                let Some(publish) = self.outbox.next().or_else(|| farewell.take()) else { break };
                if standing.link.publish(&publish).is_err() {
                    return;
                }
                standing.sent =
                    Some((publish, deadline)).filter(|(publish, _)| publish.qos == Qos::AtLeastOnce);
            }
            if standing.sent.is_none() {
                standing.link.disconnect();
            }
            match timeout_at(deadline, standing.link.said()).await {
                Ok(Said::Acknowledged | Said::NotTaken(_)) => standing.sent = None,
                Ok(Said::Connected | Said::Subscribed { .. } | Said::Alive) => {}
                Ok(Said::Lost(_)) | Err(_) => return,
            }
        }
    }

    fn filters(&self) -> Vec<String> {
        let own = std::iter::once(&self.config.presence.topic);
        self.config.subscriptions.iter().chain(own).cloned().collect()
    }

    fn presence(&self, payload: Bytes) -> Publish {
        let topic = self.config.presence.topic.clone();
        Publish { topic, payload, qos: Qos::AtLeastOnce, retain: true, expiry: None, kind: Kind::News }
    }

    fn is_presence(&self, publish: &Publish) -> bool {
        publish.topic == self.config.presence.topic
    }
}

impl Standing {
    fn repair_earliest(&self, now: Instant) -> Instant {
        self.repaired_at.map_or(now, |at| at + REPAIR_EVERY).max(now)
    }

    /// What was sent is lost, for a broker that refuses it once refuses it again.
    fn not_taken(&mut self, why: String) {
        let Some((Publish { topic, .. }, _)) = self.sent.take() else { return };
        // While the owner has something else to take, the next one of this topic is told of.
        if self.waiting.is_none() && self.not_taken.insert(topic.clone()) {
            self.waiting = Some(ChannelEvent::NotTaken { topic, why });
        }
    }

    /// Judges the presence that was there before this connection's birth.
    fn found(&mut self, payload: &Bytes) -> Result<(), Lost> {
        let own =
            self.said_before.is_empty() || self.said_before.contains(payload) || *payload == self.presence;
        if own || payload.is_empty() {
            self.strangers = 0;
            return Ok(());
        }
        self.strangers = self.strangers.saturating_add(1);
        if self.strangers < STRANGERS_MAX {
            return Ok(());
        }
        Err(Lost::new(Loss::TakenOver, "another client speaks with this device's id"))
    }
}

fn nobody() -> Lost {
    Lost::new(Loss::Network, "nobody listens to the channel")
}

/// Sends DISCONNECT, so that the broker forgets the will: the next connection is about to begin.
async fn hang_up(standing: &mut Standing) {
    standing.link.disconnect();
    let deadline = Instant::now() + LEAVE;
    while let Ok(said) = timeout_at(deadline, standing.link.said()).await {
        match said {
            Said::Lost(_) => return,
            Said::Acknowledged | Said::NotTaken(_) => standing.sent = None,
            Said::Connected | Said::Subscribed { .. } | Said::Alive => {}
        }
    }
}

/// Waits until the end is asked for. An owner that is gone has asked, too.
pub(super) async fn asked(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => future::pending().await,
    }
}
