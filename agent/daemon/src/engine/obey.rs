//! What a command makes of the agent: a word to the machine, an errand beside the loop, or an answer at once.

use coracle_core::command::{Action, Command, Message, Origin, console};
use coracle_core::desired::Scope;
use coracle_core::fault::{Code, Fault};
use coracle_core::gate::{Approval, Mode};
use coracle_core::ident::GroupName;
use coracle_core::limits::CONSOLE_BYTES_MAX;
use coracle_core::record::Hold;
use coracle_core::reported::Status;
use coracle_core::rollout::{Event, Place, State};
use coracle_core::standing::Standing;
use coracle_host::control::Asked;
use serde_json::{Value, json};

use super::commands::{Heard, Ticket, from};
use super::errands::{Errand, Now};
use super::turn::Engine;
use crate::events;

/// What a topic is about.
pub(super) enum Topic<'a> {
    /// A desired document.
    Desired,
    /// A document that replaces keys.
    Trust,
    /// A command, and its verb.
    Command(Origin, &'a str),
    /// Nothing that this board listens to.
    Stray,
}

/// Characters of a verb that is looked at; the longest has eight.
const VERB_CHARS_MAX: usize = 64;

/// Reads a topic. What was not subscribed to is [`Topic::Stray`], whoever sends it.
pub(super) fn topic<'a>(root: &str, device: &str, groups: &[GroupName], topic: &'a str) -> Topic<'a> {
    let Some(rest) = topic.strip_prefix(root).and_then(|rest| rest.strip_prefix('/')) else {
        return Topic::Stray;
    };
    let levels: Vec<&str> = rest.splitn(5, '/').collect();
    let own = |name: &str| groups.iter().find(|group| group.as_str() == name);
    match levels.as_slice() {
        ["trust"] => Topic::Trust,
        ["d", name, "desired"] if *name == device => Topic::Desired,
        ["g", name, "desired"] if own(name).is_some() => Topic::Desired,
        ["d", name, "cmd", verb] if *name == device && verb.len() <= VERB_CHARS_MAX => {
            Topic::Command(Origin::Device, verb)
        }
        ["g", name, "cmd", verb] if verb.len() <= VERB_CHARS_MAX => {
            own(name).map_or(Topic::Stray, |group| Topic::Command(Origin::Group(group.clone()), verb))
        }
        _ => Topic::Stray,
    }
}

impl Engine {
    /// Takes a message from a command topic.
    pub(super) fn commanded(&mut self, origin: &Origin, verb: &str, payload: &[u8], retained: bool) {
        let message = Message { origin, verb, payload, retained };
        let clock = self.clock.facts(self.record.newest_iat);
        let device = self.settings.device_id.as_str();
        if let Some((command, ticket)) = self.commands.take(message, device, clock, &self.outbox) {
            self.obey(command, ticket);
        }
    }

    /// Takes what came up besides messages.
    pub(super) fn came_up(&mut self, heard: Heard) {
        match heard {
            Heard::Asked(asked) => self.asked(asked),
            Heard::Done(done) => {
                let ended = self.commands.errands.ended(done);
                ended.0.answer(&self.outbox, ended.1);
                self.outbox.saw(self.workers.seen());
            }
            Heard::Due => {
                for (command, ticket) in self.commands.due() {
                    self.obey(command, ticket);
                }
            }
        }
    }

    /// A line from the console.
    fn asked(&mut self, asked: Asked) {
        let Asked { line, answer } = asked;
        let command = if line.len() > CONSOLE_BYTES_MAX {
            Err(Fault::new(Code::TooLarge, &format!("command has more than {CONSOLE_BYTES_MAX} bytes")))
        } else {
            console(&line)
        };
        match command {
            Ok(command) => {
                let ticket = Ticket::said(command.action.verb().wire(), answer);
                self.obey(command, ticket);
            }
            Err(fault) => Ticket::said("", answer).answer(&self.outbox, Err(fault)),
        }
    }

    fn obey(&mut self, command: Command, ticket: Ticket) {
        events::commanded(command.action.verb().wire(), &from(&command.origin), command.id.as_deref());
        match command.action {
            Action::Refresh => {
                self.outbox.refresh();
                // A fault is told where all are.
                drop(self.arbitrate());
                ticket.answer(&self.outbox, Ok(self.standing()));
            }
            Action::Cancel(named) => self.person(ticket, named, Event::Cancel),
            Action::Retry(named) => {
                let event = self.record.retry(&self.settings.device_id, &self.settings.groups);
                self.person(ticket, named, event);
            }
            Action::Confirm(named) => match self.unconfirmed() {
                Ok(()) => self.person(ticket, named, Event::Confirm),
                Err(fault) => ticket.answer(&self.outbox, Err(fault)),
            },
            Action::Hold(why) => self.hold(ticket, &command.origin, Some(&why)),
            Action::Release => self.hold(ticket, &command.origin, None),
            Action::Rollback(named) => self.roll_back(ticket, named),
            Action::Why => {
                let (waits, durable) = (self.settings.waits.as_deref(), self.journal.holds(&self.record));
                let live = self.trouble.tell(self.link, waits, durable, self.workers.slowed());
                ticket.answer(&self.outbox, Ok(serde_json::to_value(live).unwrap_or_default()));
            }
            Action::Apply(document) => self.apply(ticket, &document),
            Action::Trust(document) => self.install(ticket, &document),
            Action::Restart(_) | Action::Logs { .. } | Action::Diag | Action::Gc => {
                let about = self.about();
                let errand = Errand { ticket, action: command.action, about };
                if let Err(refused) = self.commands.errands.take(errand) {
                    let fault = Fault::new(Code::Busy, "other commands are being obeyed; try again later");
                    refused.ticket.answer(&self.outbox, Err(fault));
                }
            }
        }
    }

    /// Nothing new goes on here, or goes on again; whoever lets go lets go of the own hold alone.
    fn hold(&mut self, ticket: Ticket, origin: &Origin, why: Option<&str>) {
        let hold = why.map(|why| Hold::new(self.clock.wall(), why));
        let scope = match origin {
            Origin::Console => None,
            Origin::Device => Some(Scope::Device(self.settings.device_id.clone())),
            Origin::Group(group) => Some(Scope::Group(group.clone())),
        };
        match (scope, hold) {
            (None, hold) => self.record.hold = hold,
            (Some(scope), Some(hold)) => drop(self.record.holds.insert(scope, hold)),
            (Some(scope), None) => drop(self.record.holds.remove(&scope)),
        }
        self.outbox.changed();
        self.commands.unanswered.push(ticket);
    }

    /// The good deployment before this one comes back.
    fn roll_back(&mut self, ticket: Ticket, named: Option<u64>) {
        let back = self.record.rollout.way_back().map(|back| back.generation.number);
        let conflict = match (back, named) {
            (Some(back), Some(named)) if back != named => {
                format!("what would come back is generation {back}, and not {named}")
            }
            (Some(_), _) => return self.person(ticket, None, Event::RollBack),
            (None, _) if self.record.rollout.is_rolling_back() => {
                "a roll back is under way already".to_owned()
            }
            (None, _) => {
                "there is no good deployment to go back to: none was before this one, or it was left as bad"
                    .to_owned()
            }
        };
        ticket.answer(&self.outbox, Err(Fault::new(Code::Conflict, &conflict)));
    }

    /// A person's word to the machine.
    fn person(&mut self, ticket: Ticket, named: Option<u64>, event: Event) {
        let subject = self.record.rollout.state.generation();
        if let Some(named) = named
            && subject.is_none_or(|generation| generation.number != named)
        {
            let busy = subject.map_or("none".to_owned(), |generation| generation.number.to_string());
            let message =
                format!("the command is for generation {named}, and the passage here is that of {busy}");
            return ticket.answer(&self.outbox, Err(Fault::new(Code::Conflict, &message)));
        }
        let before = self.record.rollout.clone();
        self.feed(event);
        if self.record.rollout == before {
            let status = Status::of(&before.state).wire();
            let message = format!("there is nothing to {} where the rollout is {status}", ticket.verb());
            return ticket.answer(&self.outbox, Err(Fault::new(Code::Conflict, &message)));
        }
        self.commands.unanswered.push(ticket);
    }

    /// Whether something waits for a person's approval.
    fn unconfirmed(&self) -> Result<(), Fault> {
        let conflict = |message: &str| Err(Fault::new(Code::Conflict, message));
        let state = &self.record.rollout.state;
        let (target, generation) = match (state.place(), state.target()) {
            // What a failed trial left for a look.
            (Place::Kept, _) => return Ok(()),
            (Place::BeforeSwitch, Some(target)) => (target, target.generation.number),
            (Place::BeforeSwitch | Place::OnTrial | Place::GoingBack | Place::Ended, _) => {
                return conflict("no update waits, so there is nothing to confirm");
            }
        };
        match (target.gates.mode, target.approval) {
            (Mode::Confirm, Approval::Pending) => Ok(()),
            (Mode::Confirm, Approval::Given) => {
                conflict(&format!("generation {generation} is confirmed already"))
            }
            (Mode::Soft | Mode::Force | Mode::Download, _) => {
                conflict(&format!("generation {generation} asks for no confirmation"))
            }
        }
    }

    /// Starts errands, and answers what the journal holds by now.
    pub(super) fn after_settling(&mut self) {
        self.commands.errands.others_had_their_turn();
        self.start_errands();
        if self.commands.unanswered.is_empty() {
            return;
        }
        let outcome = if self.journal.holds(&self.record) {
            Ok(self.standing())
        } else {
            let message = "the command was taken, but the journal cannot be written: nothing comes of it until \
                           it can";
            Err(Fault::new(Code::Store, message).hint("make room on the disk of the state directory"))
        };
        for ticket in std::mem::take(&mut self.commands.unanswered) {
            ticket.answer(&self.outbox, outcome.clone());
        }
    }

    /// Starts errands that are in nobody's way.
    pub(super) fn start_errands(&mut self) {
        let downloading = matches!(self.record.rollout.state, State::Downloading { .. });
        let now = Now { doing: self.workers.doing(), downloading };
        let refused = self.commands.errands.start(now, &self.record.rollout);
        for (ticket, fault) in refused {
            ticket.answer(&self.outbox, Err(fault));
        }
    }

    /// Where things stand, in a few words for whoever gave a command.
    pub(super) fn standing(&self) -> Value {
        let rollout = &self.record.rollout;
        let number = rollout.state.generation().map(|generation| generation.number);
        json!({
            "status": Status::of(&rollout.state),
            "gen": number,
            "lastGood": rollout.active.as_ref().map(|active| active.generation.number),
            "held": self.record.held(&self.settings.device_id, &self.settings.groups),
            "standing": Standing::of(rollout, self.link).to_string(),
        })
    }

    /// What the record holds, in figures: for a diagnosis, without what workloads are told.
    fn about(&self) -> Value {
        let rollout = &self.record.rollout;
        let scopes = self.record.accepted.iter().map(|(scope, wanted)| {
            let generation = &wanted.target.generation;
            json!({ "scope": scope.to_string(), "gen": generation.number, "rev": generation.rev })
        });
        json!({
            "status": Status::of(&rollout.state),
            "attempt": rollout.state.attempt(),
            "error": rollout.state.fault(),
            "active": rollout.active.as_ref().map(|active| &active.generation),
            "fallback": rollout.fallback.as_ref().map(|fallback| &fallback.generation),
            "candidate": rollout.candidate().map(|candidate| &candidate.generation),
            "bad": rollout.bad.iter().map(|bad| json!({
                "scope": bad.generation.scope, "gen": bad.generation.number, "code": bad.fault.code,
            })).collect::<Vec<_>>(),
            "accepted": scopes.collect::<Vec<_>>(),
            "trust": self.trust.told(),
            "trustCounter": self.trust.counter(),
            "durable": self.journal.holds(&self.record),
            "starts": self.record.epoch,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_says_whose_command_it_is_and_strange_ones_say_nothing() {
        let groups = [GroupName::parse("eu").unwrap()];
        let long = format!("d/board/cmd/{}", "x".repeat(65));
        for (text, expected) in [
            ("trust", "trust"),
            ("d/board/desired", "desired"),
            ("g/eu/desired", "desired"),
            ("d/board/cmd/gc", "device gc"),
            ("g/eu/cmd/refresh", "group eu refresh"),
            ("g/eu/cmd/refresh/x", "stray"),
            ("g/us/cmd/refresh", "stray"),
            ("g/us/desired", "stray"),
            ("d/other/desired", "stray"),
            ("d/other/cmd/gc", "stray"),
            ("d/board/up", "stray"),
            ("", "stray"),
            (&long, "stray"),
        ] {
            let text = format!("tenant/coracle/v1/{text}");
            let found = match topic("tenant/coracle/v1", "board", &groups, &text) {
                Topic::Desired => "desired".to_owned(),
                Topic::Trust => "trust".to_owned(),
                Topic::Command(Origin::Group(group), verb) => format!("group {group} {verb}"),
                Topic::Command(Origin::Device | Origin::Console, verb) => format!("device {verb}"),
                Topic::Stray => "stray".to_owned(),
            };
            assert_eq!(found, expected, "{text}");
        }
        assert!(matches!(topic("coracle/v1", "board", &groups, "d/board/desired"), Topic::Stray));
    }
}
