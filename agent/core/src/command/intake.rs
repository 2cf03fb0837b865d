//! The border for what comes over the broker: which message is a command, and what the sender of another one hears.
//!
//! Invariant: of messages with one id, one is taken within their life: as many ids are remembered as the rate lets
//! through in that time.

use std::collections::VecDeque;

use super::parse::{self, Envelope};
use super::rate::{BURST, Rate, TOKEN_MS, Verdict};
use super::{Action, Command, LIFE_S_MAX, Origin, Verb};
use crate::desired::{Clock, trusted_time};
use crate::fault::{Code, Fault};
use crate::gate::spread_delay_s;
use crate::limits::COMMAND_BYTES_MAX;
use crate::time::Timestamp;

/// Ids that are remembered.
const IDS_MAX: usize = 192;

const _: () = {
    let taken_in_a_life = BURST as u64 + LIFE_S_MAX * 1000 / TOKEN_MS;
    assert!((IDS_MAX as u64) > taken_in_a_life);
};

/// What came on a command topic.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Whose topic.
    pub origin: &'a Origin,
    /// The topic's last level.
    pub verb: &'a str,
    /// What came.
    pub payload: &'a [u8],
    /// The broker had kept it from before.
    pub retained: bool,
}

/// What a command is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// This board.
    pub device: &'a str,
    /// What is known of the time.
    pub clock: Clock,
    /// Milliseconds that never go back.
    pub now_ms: u64,
}

/// Why a message is no command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What its sender called it, where that could be read.
    pub id: Option<String>,
    /// Why.
    pub fault: Box<Fault>,
    /// Whether the sender is told. A fleet does not shout back, and a flood is not answered with one.
    pub told: bool,
}

/// What is remembered of the commands that came over the broker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Intake {
    rate: Rate,
    ids: VecDeque<String>,
}

impl Intake {
    /// Takes a message, or says why not.
    ///
    /// # Errors
    /// [`Refusal`]; nothing is to be done for such a message, but perhaps its sender told.
    pub fn take(&mut self, message: Message<'_>, facts: &Facts<'_>) -> Result<Command, Refusal> {
        let told = matches!(message.origin, Origin::Device | Origin::Console);
        let refuse = |id: Option<String>, fault: Fault| Refusal { id, fault: Box::new(fault), told };
        if message.retained {
            let fault = Fault::new(
                Code::Expired,
                "command was retained by the broker, so nobody knows its age",
            )
            .hint(
                "publish commands without the retain flag, and take this one away with an empty retained one",
            );
            return Err(Refusal { id: None, fault: Box::new(fault), told: false });
        }
        let verdict = self.rate.take(facts.now_ms);
        if verdict != Verdict::Taken {
            let told = told && verdict == Verdict::Over;
            let id = if told { Envelope::id_of(message.payload) } else { None };
            return Err(Refusal { id, fault: Box::new(busy()), told });
        }
        if message.payload.len() > COMMAND_BYTES_MAX {
            let fault =
                Fault::new(Code::TooLarge, &format!("command has more than {COMMAND_BYTES_MAX} bytes"));
            return Err(refuse(None, fault));
        }
        let id = Envelope::id_of(message.payload);
        let (envelope, action) = read(&message).map_err(|fault| refuse(id.clone(), fault))?;
        in_time(&envelope, &facts.clock).map_err(|fault| refuse(id.clone(), fault))?;
        if self.ids.contains(&envelope.id) {
            let fault = Fault::new(Code::Duplicate, &format!("command {} was taken already", envelope.id));
            return Err(refuse(id, fault));
        }
        self.ids.push_back(envelope.id.clone());
        if self.ids.len() > IDS_MAX {
            self.ids.pop_front();
        }
        let delay_s = spread_delay_s(&envelope.id, facts.device, envelope.spread_s);
        Ok(Command { id: Some(envelope.id), origin: message.origin.clone(), action, delay_s })
    }
}

fn read(message: &Message<'_>) -> Result<(Envelope, Action), Fault> {
    let verb = Verb::parse(message.verb).filter(|verb| verb.is_for(message.origin));
    let verb = verb.ok_or_else(|| unknown(message.origin))?;
    parse::broker(verb, message.origin, message.payload)
}

/// The error for a word that is no verb there; says which are.
pub(super) fn unknown(origin: &Origin) -> Fault {
    let known: Vec<&str> =
        Verb::ALL.iter().filter(|verb| verb.is_for(origin)).map(|verb| verb.wire()).collect();
    let whose = match origin {
        Origin::Device | Origin::Console => "this device",
        Origin::Group(_) => "a group",
    };
    Fault::new(Code::UnknownVerb, &format!("no command of {whose} has this name"))
        .hint(&format!("there are {}", known.join(", ")))
}

fn busy() -> Fault {
    let message =
        format!("more commands than one in {} s after a burst of {BURST} are not taken", TOKEN_MS / 1000);
    Fault::new(Code::Busy, &message).hint("send it again later, under the same id")
}

fn in_time(envelope: &Envelope, clock: &Clock) -> Result<(), Fault> {
    let now = trusted_time(clock);
    let shown = Timestamp::rfc3339;
    if now >= envelope.expires {
        let message =
            format!("command {} expired at {}; it is {}", envelope.id, shown(envelope.expires), shown(now));
        return Err(Fault::new(Code::Expired, &message));
    }
    // A board whose clock stands knows of no future.
    if clock.synced.is_some() && envelope.issued.since(now) > LIFE_S_MAX {
        let message = format!(
            "command {} is of a time to come, {}; it is {}",
            envelope.id,
            shown(envelope.issued),
            shown(now)
        );
        return Err(Fault::new(Code::Expired, &message).hint("set the clock of whoever sends commands"));
    }
    Ok(())
}
