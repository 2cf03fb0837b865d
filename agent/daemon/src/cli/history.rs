//! `coracle history`: the updates that this board has seen, from the journal; no agent needs to run.

use coracle_core::history::Passage;
use serde_json::{Value, json};

use super::args::Json;
use super::out;
use crate::config::Settings;
use crate::engine::Journal;
use crate::exit::{Exit, Failure};

/// Shows the passages, oldest first.
pub(super) fn history(settings: &Settings, args: &Json) -> Result<Exit, Failure> {
    let record =
        Journal::peek(&settings.state_dir).map_err(|error| Failure::new(Exit::Unexpected, &error))?;
    let active = record.rollout.active.as_ref().map(|active| &active.generation);
    let runs = |passage: &Passage| active == Some(&passage.generation);
    if args.json {
        let passages: Vec<Value> =
            record.history.iter().map(|passage| describe(passage, runs(passage))).collect();
        out::json(&passages.into());
        return Ok(Exit::Done);
    }
    if record.history.is_empty() {
        out::line("this board has seen no update yet");
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = record.history.iter().map(|passage| row(passage, runs(passage))).collect();
    out::line(out::table(&["GENERATION", "FROM", "BEGAN", "ENDED", "TRIES", "OUTCOME", "WHY"], &rows));
    Ok(Exit::Done)
}

fn describe(passage: &Passage, runs: bool) -> Value {
    json!({
        "desired": passage.generation,
        "began": passage.began,
        "tries": passage.tries,
        "ended": passage.end.as_ref().map(|end| end.at),
        "outcome": passage.end.as_ref().map(|end| end.status),
        "why": passage.end.as_ref().and_then(|end| end.why.as_ref()),
        "good": runs,
    })
}

fn row(passage: &Passage, runs: bool) -> Vec<String> {
    let generation = &passage.generation;
    let number = match generation.rev {
        0 => generation.number.to_string(),
        rev => format!("{}.{rev}", generation.number),
    };
    let (ended, outcome, why) = match &passage.end {
        None => ("-".to_owned(), "under way".to_owned(), String::new()),
        Some(end) => {
            let why = end.why.as_ref().map(|why| format!("{}: {}", why.code.wire(), why.message));
            (end.at.rfc3339(), end.status.wire().to_owned(), why.unwrap_or_default())
        }
    };
    let outcome = if runs { format!("{outcome}, is the good one") } else { outcome };
    let (scope, began) = (generation.scope.clone(), passage.began.rfc3339());
    vec![number, scope, began, ended, passage.tries.to_string(), outcome, why]
}

#[cfg(test)]
mod tests {
    use super::*;
    use coracle_core::deployment::Generation;
    use coracle_core::fault::{Code, Fault};
    use coracle_core::history::{End, Why};
    use coracle_core::reported::Status;
    use coracle_core::time::Timestamp;

    #[test]
    fn a_passage_is_told_with_its_end_and_its_reason() {
        let generation = Generation { id: "x".into(), scope: "d/x".into(), number: 7, rev: 2 };
        let why = Why::from(&Fault::new(Code::Exited, "site.web ended"));
        let end = End { status: Status::RolledBack, why: Some(why), at: Timestamp(60) };
        let ended = Passage { generation, began: Timestamp(0), tries: 3, end: Some(end) };
        let expected =
            "7.2|d/x|1970-01-01T00:00:00Z|1970-01-01T00:01:00Z|3|ROLLED_BACK|EXITED: site.web ended";
        assert_eq!(row(&ended, false).join("|"), expected);
        let under_way = Passage { end: None, ..ended };
        assert_eq!(row(&under_way, false)[3..6].join("|"), "-|3|under way");
        assert_eq!(describe(&under_way, true)["good"], true);
    }
}
