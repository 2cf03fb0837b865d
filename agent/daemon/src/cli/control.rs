//! The words for a running agent: `confirm`, `cancel`, `retry`, `rollback`, `hold`, `refresh`, `restart` and `diag`.
//!
//! They are the commands of the MQTT contract, said at the board.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::time::Duration;

use coracle_core::command::Verb;
use coracle_core::deployment::Deployment;
use coracle_core::ident::ProjectName;
use coracle_host::control::{self, AskError};
use serde_json::{Value, json};

use super::args::{Hold, Json, Passage, Restart, Rollback};
use super::{context, out};
use crate::config::Settings;
use crate::engine::Journal;
use crate::exit::{Exit, Failure};

/// Bytes of a person's answer to a question.
const ANSWER_BYTES_MAX: u64 = 64;
/// How long the agent may take for what it answers at once, the journal's write included.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same where a workload must stop first: its grace period may be an hour.
const LONG_PATIENCE: Duration = Duration::from_secs(2 * 3600);

/// Approves of the update that waits for it.
pub(super) fn confirm(settings: &Settings, args: &Passage) -> Result<Exit, Failure> {
    passage(settings, Verb::Confirm, args)
}

/// Calls the update off.
pub(super) fn cancel(settings: &Settings, args: &Passage) -> Result<Exit, Failure> {
    passage(settings, Verb::Cancel, args)
}

/// Has a failed update tried again.
pub(super) fn retry(settings: &Settings, args: &Passage) -> Result<Exit, Failure> {
    passage(settings, Verb::Retry, args)
}

fn passage(settings: &Settings, verb: Verb, args: &Passage) -> Result<Exit, Failure> {
    let given = args.generation.map_or_else(|| json!({}), |generation| json!({ "gen": generation }));
    told(&ask(settings, verb, &given, PATIENCE)?, args.json)
}

/// Brings back the good deployment before this one.
pub(super) fn rollback(settings: &Settings, args: &Rollback) -> Result<Exit, Failure> {
    let record =
        Journal::peek(&settings.state_dir).map_err(|error| Failure::new(Exit::Unexpected, &error))?;
    let number = |deployment: &Deployment| deployment.generation.number;
    let back = record.rollout.way_back().map(number);
    // Without one the agent says why; what it brings back must be what the person saw.
    let given = back.map_or_else(|| json!({}), |back| json!({ "gen": back }));
    if let Some(back) = back
        && !args.yes
        && !agreed(record.rollout.on_trial().or(record.rollout.active.as_ref()).map(number), back)?
    {
        out::note("nothing was changed");
        return Ok(Exit::Unexpected);
    }
    told(&ask(settings, Verb::Rollback, &given, PATIENCE)?, args.json)
}

/// Asks the person at the terminal.
fn agreed(from: Option<u64>, to: u64) -> Result<bool, Failure> {
    let what = match from {
        Some(from) => format!("generation {from} is stopped, and generation {to} comes back"),
        None => format!("generation {to} comes back"),
    };
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!("{what}: say --yes where nobody can be asked")));
    }
    out::note(format_args!("{what}; type yes to go on:"));
    let mut answer = String::new();
    let read = io::stdin().lock().take(ANSWER_BYTES_MAX).read_line(&mut answer);
    read.map_err(|error| Failure::unexpected(format!("failed to read the answer: {error}")))?;
    Ok(answer.trim() == "yes")
}

/// Holds updates back, or lets them go on.
pub(super) fn hold(settings: &Settings, args: &Hold) -> Result<Exit, Failure> {
    let given = match (&args.reason, args.release) {
        (_, true) => json!({ "release": true }),
        (Some(reason), false) => json!({ "reason": reason }),
        (None, false) => json!({}),
    };
    let result = ask(settings, Verb::Hold, &given, PATIENCE)?;
    if args.json {
        out::json(&result);
        return Ok(Exit::Done);
    }
    match result.get("held").and_then(Value::as_str) {
        Some(why) => out::line(format_args!("updates are held: {why}")),
        None => out::line("updates go on"),
    }
    Ok(Exit::Done)
}

/// Has everything told anew.
pub(super) fn refresh(settings: &Settings, args: &Json) -> Result<Exit, Failure> {
    told(&ask(settings, Verb::Refresh, &json!({}), PATIENCE)?, args.json)
}

/// Restarts workloads or projects.
pub(super) fn restart(settings: &Settings, args: &Restart) -> Result<Exit, Failure> {
    let given = meant(settings, &args.name)?;
    let result = ask(settings, Verb::Restart, &given, LONG_PATIENCE)?;
    if args.json {
        out::json(&result);
        return Ok(Exit::Done);
    }
    let restarted = result.get("restarted").and_then(Value::as_array);
    for id in restarted.into_iter().flatten().filter_map(Value::as_str) {
        out::line(id);
    }
    Ok(Exit::Done)
}

/// The workload of that name, else the project.
fn meant(settings: &Settings, name: &str) -> Result<Value, Failure> {
    let supervisor = context::supervisor(settings)?;
    match context::workload(&supervisor, name) {
        Ok(status) => Ok(json!({ "workload": status.id })),
        Err(failure) => {
            let projects: BTreeSet<ProjectName> =
                supervisor.list().into_iter().map(|status| status.id.project).collect();
            let named = projects.iter().any(|project| project.as_str() == name);
            if named { Ok(json!({ "project": name })) } else { Err(failure) }
        }
    }
}

/// Tells all that is known of the board.
pub(super) fn diag(settings: &Settings, args: &Json) -> Result<Exit, Failure> {
    let result = ask(settings, Verb::Diag, &json!({}), PATIENCE)?;
    if args.json {
        out::json(&result);
    } else {
        out::line(format_args!("{result:#}"));
    }
    Ok(Exit::Done)
}

fn told(result: &Value, json: bool) -> Result<Exit, Failure> {
    if json {
        out::json(result);
        return Ok(Exit::Done);
    }
    out::line(result.get("standing").and_then(Value::as_str).unwrap_or("done"));
    Ok(Exit::Done)
}

/// Asks the running agent; hands back the result of its reply.
pub(super) fn ask(
    settings: &Settings,
    verb: Verb,
    args: &Value,
    patience: Duration,
) -> Result<Value, Failure> {
    answer(settings, verb, args, patience)?.map_err(|fault| refused(&fault))
}

/// Hands a document to the running agent; one that it refuses has an exit code of its own.
pub(super) fn offer(settings: &Settings, verb: Verb, args: &Value) -> Result<Value, Failure> {
    answer(settings, verb, args, PATIENCE)?.map_err(|fault| {
        let failure = refused(&fault);
        let code = fault.get("code").and_then(Value::as_str).unwrap_or_default();
        let exit = if failure.exit == Exit::TryAgain { Exit::TryAgain } else { Exit::Refused };
        Failure { exit, message: format!("{code}: {}", failure.message) }
    })
}

/// The result of the agent's reply, or its fault.
fn answer(
    settings: &Settings,
    verb: Verb,
    args: &Value,
    patience: Duration,
) -> Result<Result<Value, Value>, Failure> {
    let line = json!({ "verb": verb, "args": args }).to_string();
    let path = settings.run_dir.join(control::FILE);
    let answer = control::ask(&path, line.as_bytes(), patience).map_err(|error| unheard(&error))?;
    let reply: Value = serde_json::from_slice(&answer)
        .map_err(|error| Failure::unexpected(format!("the agent's answer cannot be read: {error}")))?;
    Ok(match reply.get("error") {
        None => Ok(reply.get("result").cloned().unwrap_or_default()),
        Some(fault) => Err(fault.clone()),
    })
}

fn unheard(error: &AskError) -> Failure {
    let failure = Failure::new(Exit::TryAgain, error);
    let remedy = match error {
        AskError::Nobody { .. } => {
            "start one (systemctl start coracle, or coracle agent); coracle why, history and status work without"
        }
        AskError::Late { .. } | AskError::HungUp { .. } => {
            "what was asked for may be done all the same; coracle status shows where things stand"
        }
        AskError::Io { .. } => "coracle status shows whether an agent runs",
    };
    Failure { message: format!("{}: {remedy}", failure.message), ..failure }
}

/// What the agent answered instead of a result, as a command's failure.
fn refused(fault: &Value) -> Failure {
    let text = |key: &str| fault.get(key).and_then(Value::as_str).unwrap_or_default();
    let exit = match (text("class"), text("code")) {
        ("transient", _) => Exit::TryAgain,
        (_, "CONFLICT" | "NO_WORKLOAD" | "SCHEMA" | "UNKNOWN_VERB" | "TOO_LARGE") => Exit::Usage,
        _ => Exit::Unexpected,
    };
    let hint = text("hint");
    let hint = if hint.is_empty() { String::new() } else { format!(": {hint}") };
    Failure { exit, message: format!("{}{hint}", text("message")) }
}
