//! A short visit to the broker, by a tool and not by a board: what is retained there, one message more, and what comes
//! while somebody waits. Nothing is said of a presence, and a connection that is lost is not made again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coracle_core::retry::Loss;
use tokio::time::{Instant, timeout, timeout_at};

use super::ChannelConfig;
use super::inbox::{Inbox, Incoming};
use super::link::{Link, Lost, Said, Terms};
use super::outbox::{Kind, Publish, Qos};
use super::proofs::{Fresh, Proofs};

/// How long the broker may take to answer anything.
const ANSWER: Duration = Duration::from_secs(60);
/// How long a broker that hands retained messages out beside its answers may take with one.
const LATE: Duration = Duration::from_secs(1);
/// How long the broker may take to hand out what it acknowledged.
const ECHO: Duration = Duration::from_secs(10);
/// How long leave may take.
const LEAVE: Duration = Duration::from_secs(3);

/// Why a visit ended early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct VisitError {
    /// What kind of loss it is.
    pub loss: Loss,
    /// Why, in words.
    pub cause: String,
}

impl From<Lost> for VisitError {
    fn from(lost: Lost) -> Self {
        Self { loss: lost.loss, cause: lost.cause }
    }
}

/// A connection that stands.
pub struct Visit {
    link: Link,
    inbox: Inbox,
    filters: Vec<String>,
    waiting: Vec<Incoming>,
}

impl Visit {
    /// Connects, and subscribes to the configuration's topics where there are any.
    ///
    /// # Errors
    /// [`VisitError`] where the broker is not reached, or refuses the connection or a subscription.
    pub async fn begin(config: &ChannelConfig) -> Result<Self, VisitError> {
        let filters = config.subscriptions.clone();
        let inbox = Inbox::new(&filters);
        let Fresh { password, tls, .. } = Proofs::new(Arc::new(config.clone())).read()?;
        let terms = Terms { keepalive_s: config.keepalive_s, will: Vec::new(), password, tls };
        let link = Link::open(config, terms, inbox.clone())?;
        let mut visit = Self { link, inbox, filters, waiting: Vec::new() };
        visit.until(|said| matches!(said, Said::Connected)).await?;
        visit.subscribe().await?;
        Ok(visit)
    }

    async fn subscribe(&mut self) -> Result<(), VisitError> {
        if self.filters.is_empty() {
            return Ok(());
        }
        self.link.subscribe(&self.filters)?;
        let answer = self.until(|said| matches!(said, Said::Subscribed { .. })).await?;
        if let Said::Subscribed { refused: refused @ 1.. } = answer {
            let cause = format!("the broker refused {refused} of {} subscriptions", self.filters.len());
            return Err(Lost::new(Loss::Credentials, cause).into());
        }
        Ok(())
    }

    /// Waits until the broker says what is `wanted`; messages are put aside.
    async fn until(&mut self, wanted: impl Fn(&Said) -> bool) -> Result<Said, VisitError> {
        let deadline = Instant::now() + ANSWER;
        loop {
            let said = timeout_at(deadline, self.link.said()).await;
            self.waiting.extend(std::iter::from_fn(|| self.inbox.next()));
            match said.map_err(|_| Lost::new(Loss::Network, "the broker did not answer in time"))? {
                said if wanted(&said) => return Ok(said),
                said => said.or_lost()?,
            }
        }
    }

    /// What the broker keeps on `topic`, one of those subscribed; `None` where it keeps nothing.
    ///
    /// # Errors
    /// [`VisitError`] where the connection is lost.
    pub async fn retained(&mut self, topic: &str) -> Result<Option<Bytes>, VisitError> {
        // The answer to a second subscription comes after what the first one brought.
        self.subscribe().await?;
        let deadline = Instant::now() + LATE;
        loop {
            self.waiting.extend(std::iter::from_fn(|| self.inbox.next()));
            if let Some(at) = self.waiting.iter().rposition(|message| message.topic == topic) {
                let found = self.waiting.remove(at).payload;
                self.waiting.retain(|message| message.topic != topic);
                return Ok(Some(found).filter(|payload| !payload.is_empty()));
            }
            match timeout_at(deadline, self.link.said()).await {
                Err(_) => return Ok(None),
                Ok(said) => said.or_lost()?,
            }
        }
    }

    /// Has the broker keep `payload` on `topic`; done when it acknowledged that, and where the topic is one of those
    /// subscribed, has handed it out: MQTT 3.1.1 acknowledges what an access list drops.
    ///
    /// # Errors
    /// [`VisitError`] where the connection is lost before, or the broker hands nothing out.
    pub async fn publish(&mut self, topic: &str, payload: Vec<u8>) -> Result<(), VisitError> {
        let payload = Bytes::from(payload);
        self.link.publish(&Publish {
            topic: topic.to_owned(),
            payload: payload.clone(),
            qos: Qos::AtLeastOnce,
            retain: true,
            expiry: None,
            kind: Kind::News,
        })?;
        let answer = self.until(|said| matches!(said, Said::Acknowledged | Said::NotTaken(_))).await?;
        if let Said::NotTaken(why) = answer {
            let cause =
                format!("it does not take the message for {topic}: {why}; may this account write there?");
            return Err(Lost::new(Loss::Credentials, cause).into());
        }
        if !self.filters.iter().any(|filter| filter == topic) {
            return Ok(());
        }
        let deadline = Instant::now() + ECHO;
        loop {
            self.waiting.extend(std::iter::from_fn(|| self.inbox.next()));
            let ours = |message: &Incoming| message.topic == topic && message.payload == payload;
            if self.waiting.iter().any(ours) {
                self.waiting.retain(|message| message.topic != topic);
                return Ok(());
            }
            match timeout_at(deadline, self.link.said()).await {
                Err(_) => {
                    let cause = format!(
                        "it took the message for {topic} and hands it out to nobody; may this account write there?"
                    );
                    return Err(Lost::new(Loss::Credentials, cause).into());
                }
                Ok(said) => said.or_lost()?,
            }
        }
    }

    /// The next message on the subscribed topics; `None` when nothing came for so long.
    ///
    /// # Errors
    /// [`VisitError`] where the connection is lost.
    pub async fn next(&mut self, patience: Duration) -> Result<Option<(String, Bytes)>, VisitError> {
        let deadline = Instant::now() + patience;
        loop {
            self.waiting.extend(std::iter::from_fn(|| self.inbox.next()));
            if !self.waiting.is_empty() {
                let Incoming { topic, payload, .. } = self.waiting.remove(0);
                return Ok(Some((topic, payload)));
            }
            match timeout_at(deadline, self.link.said()).await {
                Err(_) => return Ok(None),
                Ok(said) => said.or_lost()?,
            }
        }
    }

    /// Takes leave of the broker.
    pub async fn end(mut self) {
        self.link.disconnect();
        // Whether it answers is its own affair.
        let _ = timeout(LEAVE, self.until(|_| false)).await;
    }
}
