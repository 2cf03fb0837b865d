//! What is asked of the agent, over the broker and at the console: who asked, and who still waits for an answer.
//!
//! Invariant: everything that waits here is bounded, and a command whose effect must outlive a power cut is answered
//! when the journal holds it.

use std::time::Duration;

use coracle_core::command::{Command, Facts, Intake, Message, Origin, Refusal, Reply};
use coracle_core::desired;
use coracle_core::fault::{Code, Fault};
use coracle_host::clock;
use coracle_host::control::Asked;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::Outbox;
use super::errands::{Done, Errands, Hands};
use crate::events;

/// Commands for groups that wait for this board's moment.
const LATER_MAX: usize = 16;
/// Errands that have ended and wait for the loop.
const DONE_MAX: usize = 4;
/// Between two lines of the log on commands that were not taken: whoever may publish there could fill the log.
const REFUSED_EVERY: Duration = Duration::from_secs(60);
/// Characters of a verb that a reply's topic may end with.
const VERB_CHARS_MAX: usize = 64;

/// Who waits for an answer, and to what.
#[derive(Debug)]
pub(super) struct Ticket {
    id: Option<String>,
    verb: String,
    /// What the answer says besides.
    document: Option<Value>,
    to: To,
}

#[derive(Debug)]
enum To {
    Broker,
    Console(oneshot::Sender<Vec<u8>>),
}

impl Ticket {
    /// Whoever published a command.
    fn published(id: Option<String>, verb: &str) -> Self {
        Self { id, verb: verb.to_owned(), document: None, to: To::Broker }
    }

    /// Whoever said a line at the console.
    pub(super) fn said(verb: &str, answer: oneshot::Sender<Vec<u8>>) -> Self {
        Self { id: None, verb: verb.to_owned(), document: None, to: To::Console(answer) }
    }

    /// With what the answer says of a document, should it be a good one.
    pub(super) fn about(self, document: Value) -> Self {
        Self { document: Some(document), ..self }
    }

    /// What it asks for.
    pub(super) fn verb(&self) -> &str {
        &self.verb
    }

    /// Answers.
    pub(super) fn answer(self, outbox: &Outbox, outcome: Result<Value, Fault>) {
        let outcome = outcome.map(|mut result| {
            if let (Some(document), Some(fields)) = (self.document, result.as_object_mut()) {
                fields.insert("document".to_owned(), document);
            }
            result
        });
        let reply = Reply::new(self.id.as_deref(), &self.verb, clock::wall(), outcome);
        match self.to {
            To::Broker => {
                // A word that was no verb may be anything.
                let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                let fits = (1..=VERB_CHARS_MAX).contains(&self.verb.len());
                if fits && self.verb.chars().all(legal) {
                    outbox.reply(&self.verb, reply.to_bytes());
                }
            }
            // Whoever asked may have gone; what was done stays done.
            To::Console(answer) => drop(answer.send(reply.to_bytes())),
        }
    }
}

/// What came up, besides messages of the broker.
pub(super) enum Heard {
    /// Somebody at the console.
    Asked(Asked),
    /// An errand ended.
    Done(Done),
    /// The moment of a command has come.
    Due,
}

/// Everything that is known of commands.
pub(super) struct Commands {
    pub(super) errands: Errands,
    /// Obeyed, and to be answered once the journal holds it.
    pub(super) unanswered: Vec<Ticket>,
    intake: Intake,
    began: Instant,
    console: Option<mpsc::Receiver<Asked>>,
    done: mpsc::Receiver<Done>,
    later: Vec<(Instant, Command, Ticket)>,
    refused: u64,
    refusals_at: Option<Instant>,
}

impl Commands {
    /// Nothing was asked yet; people at the board speak over `console`.
    pub(super) fn new(hands: Hands, console: Option<mpsc::Receiver<Asked>>) -> Self {
        let (done, ended) = mpsc::channel(DONE_MAX);
        Self {
            errands: Errands::new(hands, done),
            unanswered: Vec::new(),
            intake: Intake::default(),
            began: Instant::now(),
            console,
            done: ended,
            later: Vec::new(),
            refused: 0,
            refusals_at: None,
        }
    }

    /// Waits for what comes up.
    pub(super) async fn next(&mut self) -> Heard {
        let due = self.later.iter().map(|(at, ..)| *at).min();
        tokio::select! {
            asked = asked(&mut self.console) => Heard::Asked(asked),
            Some(done) = self.done.recv() => Heard::Done(done),
            () = at(due) => Heard::Due,
        }
    }

    /// Takes a message of a command topic; hands back what is to be obeyed now.
    pub(super) fn take(
        &mut self,
        message: Message<'_>,
        device: &str,
        clock: desired::Clock,
        outbox: &Outbox,
    ) -> Option<(Command, Ticket)> {
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match self.intake.take(message, &Facts { device, clock, now_ms }) {
            Ok(command) => {
                let ticket = Ticket::published(command.id.clone(), message.verb);
                if command.delay_s == 0 {
                    return Some((command, ticket));
                }
                if self.later.len() >= LATER_MAX {
                    let fault = Fault::new(Code::Busy, "too many commands of groups wait already");
                    self.refuse(message.verb, &fault, 1);
                    return None;
                }
                let at = Instant::now() + Duration::from_secs(command.delay_s);
                self.later.push((at, command, ticket));
            }
            Err(Refusal { id, fault, told }) => {
                self.refuse(message.verb, &fault, 1);
                if told {
                    Ticket::published(id, message.verb).answer(outbox, Err(*fault));
                }
            }
        }
        None
    }

    /// Commands of groups whose moment has come.
    pub(super) fn due(&mut self) -> Vec<(Command, Ticket)> {
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.later).into_iter().partition(|(at, ..)| *at <= now);
        self.later = later;
        let due: Vec<(Instant, Command, Ticket)> = due;
        due.into_iter().map(|(_, command, ticket)| (command, ticket)).collect()
    }

    /// Notes messages that were not kept because they came too fast.
    pub(super) fn missed(&mut self, count: u32) {
        if count > 0 {
            let fault = Fault::new(Code::Busy, "commands come faster than they can be judged");
            self.refuse("any", &fault, u64::from(count));
        }
    }

    /// Says that commands are not taken, and how many since the last line on that.
    fn refuse(&mut self, verb: &str, fault: &Fault, count: u64) {
        self.refused = self.refused.saturating_add(count);
        if self.refusals_at.is_some_and(|at| at.elapsed() < REFUSED_EVERY) {
            return;
        }
        events::command_refused(verb, fault, self.refused);
        self.refused = 0;
        self.refusals_at = Some(Instant::now());
    }
}

/// The origin of a command, for the log.
pub(super) fn from(origin: &Origin) -> String {
    match origin {
        Origin::Device => "the broker".to_owned(),
        Origin::Group(group) => format!("the broker, for group {group}"),
        Origin::Console => "the console".to_owned(),
    }
}

/// The next line said at the console; never, where nobody can speak.
async fn asked(console: &mut Option<mpsc::Receiver<Asked>>) -> Asked {
    match console {
        Some(lines) => match lines.recv().await {
            Some(asked) => asked,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
