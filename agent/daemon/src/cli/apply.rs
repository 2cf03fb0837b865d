//! `coracle apply` and `coracle trust install`: documents from a file, through the judgment that those of the broker
//! go through.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coracle_core::command::Verb;
use coracle_core::passage::{Numbers, Passage, passage};
use coracle_core::trust::Kind;
use coracle_host::files;
use serde_json::{Value, json};

use super::args::{Apply, Install};
use super::{context, control, out};
use crate::config::Settings;
use crate::engine;
use crate::exit::{Exit, Failure};

/// Between two looks at the state, which is in memory.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Has the agent take a desired document.
pub(super) fn apply(settings: &Settings, args: &Apply) -> Result<Exit, Failure> {
    let mut result = hand_over(settings, Verb::Apply, Kind::Desired, &args.document)?;
    let taken = result.get("document").and_then(Taken::read);
    let taken =
        taken.ok_or_else(|| Failure::unexpected("the agent's answer says nothing of the document"))?;
    if !args.json {
        out::line(&taken);
    }
    let ended = if args.wait && taken.counts {
        let (status, failure) = wait(settings, &taken, args.json)?;
        if let Some(fields) = result.as_object_mut() {
            fields.insert("status".to_owned(), status.into());
        }
        failure
    } else {
        None
    };
    if args.json {
        out::json(&result);
    }
    ended.map_or(Ok(Exit::Done), Err)
}

/// Has the agent take a document that replaces keys.
pub(super) fn install(settings: &Settings, args: &Install) -> Result<Exit, Failure> {
    let result = hand_over(settings, Verb::Trust, Kind::Trust, &args.document)?;
    if args.json {
        out::json(&result);
        return Ok(Exit::Done);
    }
    let counter = result.get("counter").and_then(Value::as_u64).unwrap_or_default();
    if result.get("new").and_then(Value::as_bool) == Some(true) {
        out::line(format_args!("keys replaced: the trust document of counter {counter} counts now"));
    } else {
        out::line(format_args!("nothing new: the trust document of counter {counter} counts already"));
    }
    Ok(Exit::Done)
}

fn hand_over(settings: &Settings, verb: Verb, kind: Kind, path: &Path) -> Result<Value, Failure> {
    let bound = u64::try_from(kind.bytes_max()).unwrap_or(u64::MAX);
    let bytes = files::read_needed(path, bound)
        .map_err(|error| Failure::usage(format!("failed to read {}: {error}", path.display())))?;
    control::offer(settings, verb, &json!({ "document": STANDARD.encode(bytes) }))
}

/// A document that the agent did not refuse.
#[derive(Debug, PartialEq, Eq)]
struct Taken {
    scope: String,
    number: u64,
    rev: u64,
    new: bool,
    counts: bool,
}

impl Taken {
    fn read(value: &Value) -> Option<Self> {
        let flag = |key: &str| value.get(key).and_then(Value::as_bool);
        let number = |key: &str| value.get(key).and_then(Value::as_u64);
        Some(Self {
            scope: value.get("scope")?.as_str()?.to_owned(),
            number: number("gen")?,
            rev: number("rev")?,
            new: flag("new")?,
            counts: flag("counts")?,
        })
    }

    fn numbers(&self) -> Numbers {
        Numbers { scope: self.scope.clone(), number: self.number, rev: self.rev }
    }
}

impl std::fmt::Display for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { scope, number, rev, new, counts } = self;
        let what = if *new { "accepted" } else { "known already" };
        write!(f, "{what}: generation {number}, revision {rev}, for {scope}")?;
        if *counts { Ok(()) } else { f.write_str("; another document counts on this board") }
    }
}

/// Waits for the end of the passage; its status, and the failure where it was no good one.
fn wait(settings: &Settings, taken: &Taken, quiet: bool) -> Result<(String, Option<Failure>), Failure> {
    let (numbers, mut seen, mut said) = (taken.numbers(), false, String::new());
    loop {
        let state = engine::last_state(&settings.run_dir).unwrap_or_default();
        match passage(&state, &numbers, seen) {
            Passage::Good(status) => {
                if !quiet {
                    out::line(&status);
                }
                return Ok((status, None));
            }
            Passage::Bad(status, why) => {
                let message = format!("the update ended {status}: {why}");
                return Ok((status, Some(Failure::unexpected(message))));
            }
            Passage::Goes(word) => {
                seen |= !word.is_empty();
                if !quiet && !word.is_empty() && word != said {
                    out::line(&word);
                    said = word;
                }
            }
        }
        if !context::agent_runs(settings) {
            let message = "the agent ended; it goes on with the document when it is started again";
            return Err(Failure { exit: Exit::TryAgain, message: message.to_owned() });
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
