//! The loop: one event at a time goes through the machine, the record is made durable, then what it calls for is
//! done. Everything that happens on this board by itself comes through here.
//!
//! Invariant: nothing is done that the journal does not hold; a board that loses power asks the same question again
//! and gets the same answer.

mod admit;
mod believe;
mod channel;
mod clock;
mod commands;
mod diagnosis;
mod errands;
mod heartbeat;
mod journal;
mod obey;
mod outbox;
mod refusals;
mod report;
mod staging;
mod trial;
mod trouble;
mod turn;
mod turns;
mod workers;

pub(crate) use channel::{Have, channel_config};
pub(crate) use clock::Clock;
pub(crate) use errands::Hands;
pub(crate) use heartbeat::Heartbeat;
pub(crate) use journal::{Journal, JournalError, Opened};
pub(crate) use outbox::{Outbox, describe_agent};
pub(crate) use report::{last_state, status};
pub(crate) use turn::{Beside, Engine, Parts};
pub(crate) use turns::Turns;
pub(crate) use workers::{Answer, Task, Workers};
