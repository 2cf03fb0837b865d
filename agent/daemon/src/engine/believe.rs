//! What becomes of documents, desired ones and those that replace keys, whether a broker or a person brings them.
//!
//! Invariant: both ways lead through the same judgment, and a document counts when the journal, or the file of the
//! trust, holds it.

use coracle_core::deployment::Generation;
use coracle_core::fault::{Code, Fault};
use coracle_core::rollout::Event;
use coracle_core::trust::{Policy, Rotated};
use coracle_host::clock;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::admit::{self, Admission};
use super::commands::Ticket;
use super::turn::Engine;
use crate::{events, trust};

/// Who brings a document that a person applies.
const CONSOLE: &str = "the console";

/// What a document that was not refused came to.
pub(super) enum Taken {
    /// It was no document.
    Empty,
    /// It was accepted before.
    Known(Generation),
    /// It is accepted.
    New(Generation),
}

impl Engine {
    /// Takes a desired document.
    pub(super) fn document(&mut self, from: &str, payload: &[u8]) -> Result<Taken, Fault> {
        let (settings, platforms) = (&self.settings, &self.platforms);
        match admit::document(settings, &self.trust, platforms, &self.record, &self.clock, payload) {
            Admission::Empty => Ok(Taken::Empty),
            Admission::Known(generation) => Ok(Taken::Known(generation)),
            Admission::Refused(fault) => {
                if self.tells(from) {
                    self.refuse(from, &fault);
                    self.feed(Event::Refused(fault.clone()));
                }
                Err(fault)
            }
            Admission::Accepted { scope, wanted, issued, unsigned } => {
                if !unsigned {
                    clock::at_least(issued);
                }
                let generation = wanted.target.generation.clone();
                events::accepted(&wanted.target);
                self.record.newest_iat = self.record.newest_iat.max(issued);
                self.record.unsigned |= unsigned;
                self.record.accepted.insert(scope, *wanted);
                self.outbox.wants(&self.record);
                self.arbitrate().map(|()| Taken::New(generation))
            }
        }
    }

    /// Tells the machine of the document that counts, if that is another one than before.
    ///
    /// # Errors
    /// The fault of one that is known to be bad.
    pub(super) fn arbitrate(&mut self) -> Result<(), Fault> {
        let Some((wanted, _)) = self.record.winner(&self.settings.device_id, &self.settings.groups) else {
            return Ok(());
        };
        let target = wanted.target.clone();
        if self.record.current.replace(target.document) == Some(target.document) {
            return Ok(());
        }
        let Some(bad) = self.record.rollout.known_bad(&target.generation) else {
            self.feed(Event::Desired(target));
            return Ok(());
        };
        let fault = bad.refusal();
        self.refuse(&target.generation.scope, &fault);
        self.feed(Event::Refused(fault.clone()));
        Err(fault)
    }

    /// Takes a document that replaces keys; says whether it is news.
    pub(super) fn replace_keys(&mut self, from: &str, payload: &[u8]) -> Result<bool, Fault> {
        // An empty message holds, here as well.
        if payload.is_empty() {
            return Ok(false);
        }
        let rotated = self.trust.rotate(payload).and_then(|rotated| self.keep(rotated));
        match &rotated {
            Ok(false) => {}
            Ok(true) => {
                events::keys_replaced(from, &self.trust);
                self.outbox.trusts(&self.trust);
                // What the new keys signed may have come before they did.
                self.outbox.refresh();
            }
            // What runs, and what is wanted of the board, is not touched by it.
            Err(fault) => {
                if self.tells(from) {
                    self.refuse(from, fault);
                }
            }
        }
        rotated
    }

    /// Durable first, then it counts.
    fn keep(&mut self, rotated: Option<Rotated>) -> Result<bool, Fault> {
        let Some(Rotated(lineage)) = rotated else { return Ok(false) };
        trust::keep(&self.settings.state_dir, &lineage).map_err(|error| {
            let message = format!("trust document could not be written to the state directory: {error}");
            Fault::new(Code::Store, &message).hint("make room on its disk")
        })?;
        self.trust = Policy::Keys(Box::new(lineage));
        Ok(true)
    }

    /// Whether a refusal is told. A person's always is; those of a flood are counted.
    fn tells(&mut self, from: &str) -> bool {
        if from == CONSOLE {
            return true;
        }
        match self.refusals.tell(Instant::now()) {
            Some(untold) => {
                events::refused_before(untold);
                true
            }
            None => false,
        }
    }

    fn refuse(&mut self, from: &str, fault: &Fault) {
        events::refused(from, fault);
        self.outbox.refused(&self.record.rollout, fault);
    }

    /// A desired document that a person brings.
    pub(super) fn apply(&mut self, ticket: Ticket, bytes: &[u8]) {
        match self.document(CONSOLE, bytes) {
            Ok(Taken::New(generation)) => {
                self.commands.unanswered.push(ticket.about(self.told(&generation, true)));
            }
            Ok(Taken::Known(generation)) => {
                let ticket = ticket.about(self.told(&generation, false));
                ticket.answer(&self.outbox, Ok(self.standing()));
            }
            Ok(Taken::Empty) => {
                let fault = Fault::new(Code::Schema, "there is no document: nothing came");
                ticket.answer(&self.outbox, Err(fault));
            }
            Err(fault) => ticket.answer(&self.outbox, Err(fault)),
        }
    }

    fn told(&self, generation: &Generation, new: bool) -> Value {
        let winner = self.record.winner(&self.settings.device_id, &self.settings.groups);
        let counts = winner.is_some_and(|(wanted, _)| wanted.target.generation == *generation);
        json!({
            "scope": generation.scope, "gen": generation.number, "rev": generation.rev, "new": new, "counts": counts,
        })
    }

    /// A document that replaces keys, and that a person brings.
    pub(super) fn install(&mut self, ticket: Ticket, bytes: &[u8]) {
        let outcome = if bytes.is_empty() {
            Err(Fault::new(Code::Schema, "there is no trust document: nothing came"))
        } else {
            self.replace_keys(CONSOLE, bytes)
        };
        let outcome = outcome
            .map(|new| json!({ "counter": self.trust.counter(), "trust": self.trust.told(), "new": new }));
        ticket.answer(&self.outbox, outcome);
    }
}
