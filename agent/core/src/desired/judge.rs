//! Whether a document is to be believed, in the contract's order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Desired, Scope, Tags};
use crate::fault::{Code, Fault};
use crate::fields::schema;
use crate::ident::{DeviceId, GroupName};
use crate::limits::GENERATION_STEP_MAX;
use crate::oci::{Digest, Platform};
use crate::time::Timestamp;
use crate::trust::{Envelope, Kind, Policy, Verified};

/// Seconds that a signer's clock may be ahead of the board's. A document of a far future would make all honest ones
/// after it look expired, for the newest `iat` counts as time.
const AHEAD_S_MAX: u64 = 3600;

/// What a board remembers, durably, of the newest document it accepted for a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Counts content.
    #[serde(rename = "gen")]
    pub number: u64,
    /// Counts policy.
    pub rev: u64,
    /// The payload's exact bytes.
    pub digest: Digest,
}

/// How a document stands to the newest accepted one of its scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Newer, or the first.
    Fresh,
    /// The same bytes again.
    Same,
    /// Older: a replay.
    Older,
    /// The same numbers with other bytes.
    Equivocation,
}

/// Compares by `(gen, rev)`, then by bytes.
#[must_use]
pub fn order(accepted: &BTreeMap<Scope, Accepted>, scope: &Scope, incoming: &Accepted) -> Order {
    let Some(known) = accepted.get(scope) else { return Order::Fresh };
    match (incoming.number, incoming.rev).cmp(&(known.number, known.rev)) {
        std::cmp::Ordering::Greater => Order::Fresh,
        std::cmp::Ordering::Less => Order::Older,
        std::cmp::Ordering::Equal if incoming.digest == known.digest => Order::Same,
        std::cmp::Ordering::Equal => Order::Equivocation,
    }
}

/// What is known of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// The system clock, where it is synchronized.
    pub synced: Option<Timestamp>,
    /// When the agent was built.
    pub built: Timestamp,
    /// The newest `iat` of an accepted document.
    pub newest_issued: Timestamp,
}

/// Time that is fit to compare with a document's; boards without a clock start in 1970.
#[must_use]
pub fn trusted_time(clock: &Clock) -> Timestamp {
    clock.synced.unwrap_or_default().max(clock.built).max(clock.newest_issued)
}

/// What a document is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// This board.
    pub device: &'a DeviceId,
    /// Its groups, from its own configuration.
    pub groups: &'a [GroupName],
    /// Whom it believes.
    pub trust: &'a Policy,
    /// What it says of images without a digest.
    pub tags: Tags,
    /// The newest accepted, by scope.
    pub accepted: &'a BTreeMap<Scope, Accepted>,
    /// What is known of the time.
    pub clock: Clock,
    /// The agent's version.
    pub agent: &'a str,
    /// What the board can execute.
    pub platforms: &'a [Platform],
}

/// What a payload of a `desired` topic turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    /// Nothing: what runs is held, and nothing is removed.
    Empty,
    /// The document that was accepted already.
    Same(Box<Verified<Desired>>),
    /// To be journaled with the numbers, then obeyed.
    Fresh(Box<Verified<Desired>>, Accepted),
}

/// Judges what came on a `desired` topic: trust, form, scope, order, time, needs. Nothing is remembered here.
///
/// # Errors
/// The first [`Fault`] in that order; what runs stays as it is.
pub fn receive(bytes: &[u8], facts: &Facts<'_>) -> Result<Received, Fault> {
    if bytes.is_empty() {
        return Ok(Received::Empty);
    }
    let payload = facts.trust.admit(Envelope::parse(Kind::Desired, bytes)?)?;
    judge(payload.read(|payload| Desired::parse(&payload, facts.tags))?, facts)
}

/// Judges a document that somebody vouches for.
fn judge(desired: Verified<Desired>, facts: &Facts<'_>) -> Result<Received, Fault> {
    let (scope, number, rev) = (&desired.scope, desired.number, desired.rev);
    if !scope.is_of(facts.device, facts.groups) {
        let message = format!("document is for {scope}, which is neither this device nor a group of it");
        return Err(Fault::new(Code::Scope, &message));
    }
    let incoming = Accepted { number, rev, digest: desired.digest() };
    match order(facts.accepted, scope, &incoming) {
        Order::Same => return Ok(Received::Same(Box::new(desired))),
        Order::Older => {
            let message = format!("document {number}.{rev} of {scope} is older than the accepted one");
            return Err(Fault::new(Code::Replay, &message));
        }
        Order::Equivocation => {
            let message = format!("two different documents of {scope} carry the numbers {number}.{rev}");
            return Err(Fault::new(Code::Equivocation, &message));
        }
        Order::Fresh => {}
    }
    let before = facts.accepted.get(scope).map_or(0, |accepted| accepted.number);
    if number.saturating_sub(before) > GENERATION_STEP_MAX {
        let rule = format!("is more than {GENERATION_STEP_MAX} above {before}, the accepted one of {scope}");
        return Err(schema("gen", &rule));
    }
    in_time(&desired, &facts.clock)?;
    desired.requires.met(facts.agent, facts.platforms)?;
    Ok(Received::Fresh(Box::new(desired), incoming))
}

fn in_time(desired: &Desired, clock: &Clock) -> Result<(), Fault> {
    let (scope, number, rev) = (&desired.scope, desired.number, desired.rev);
    let now = trusted_time(clock);
    if let Some(expires) = desired.expires.filter(|expires| now >= *expires) {
        let message = format!(
            "document {number}.{rev} of {scope} expired at {}; it is {}",
            expires.rfc3339(),
            now.rfc3339()
        );
        return Err(Fault::new(Code::Expired, &message));
    }
    // A board whose clock stands knows of no future.
    if clock.synced.is_some() && desired.issued.since(now) > AHEAD_S_MAX {
        let message = format!(
            "document {number}.{rev} of {scope} was issued at {}, which is yet to come; it is {}",
            desired.issued.rfc3339(),
            now.rfc3339()
        );
        return Err(Fault::new(Code::Expired, &message).hint("set the clock of whoever issues documents"));
    }
    Ok(())
}
