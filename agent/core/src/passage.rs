//! What a reported state tells of the way of one document, for whoever waits for its end: at the board or far from it.

use serde_json::Value;

/// Names a document by its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbers {
    /// Whom it is for, as written.
    pub scope: String,
    /// Counts content.
    pub number: u64,
    /// Counts policy.
    pub rev: u64,
}

impl Numbers {
    /// Whether the state speaks of it.
    fn is_in(&self, state: &Value) -> bool {
        let number = |pointer: &str| state.pointer(pointer).and_then(Value::as_u64);
        state.pointer("/desired/scope").and_then(Value::as_str) == Some(&self.scope)
            && number("/desired/gen") == Some(self.number)
            && number("/desired/rev") == Some(self.rev)
    }
}

/// Where the passage of a document stands.
#[derive(Debug, PartialEq, Eq)]
pub enum Passage {
    /// It is under way, or not begun; empty before anything was said of it.
    Goes(String),
    /// It came to a good end.
    Good(String),
    /// It came to another end: the status and why.
    Bad(String, String),
}

/// What the state tells of the passage of the document `of`; `seen` is whether an earlier one told something.
#[must_use]
pub fn passage(state: &Value, of: &Numbers, seen: bool) -> Passage {
    let text = |pointer: &str| state.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let status = text("/deployment/status");
    if !of.is_in(state) {
        // The state is told a moment after the document was taken.
        return if seen {
            Passage::Bad("SUPERSEDED".to_owned(), "another document took its place".to_owned())
        } else {
            Passage::Goes(String::new())
        };
    }
    let good = state.pointer("/lastGood/gen").and_then(Value::as_u64) == Some(of.number);
    match status.as_str() {
        "SUCCEEDED" | "IDLE" => Passage::Good(status),
        // Of another document that came since.
        "REJECTED" if good => Passage::Good(status),
        "REJECTED" | "FAILED" | "ROLLED_BACK" | "BROKEN" | "PAUSED" | "CANCELED" => {
            Passage::Bad(status, text("/deployment/error/message"))
        }
        _ => {
            let reasons = state.pointer("/deployment/reasons").and_then(Value::as_array);
            let reasons: Vec<&str> = reasons.into_iter().flatten().filter_map(Value::as_str).collect();
            Passage::Goes([&[status.as_str()], reasons.as_slice()].concat().join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(status: &str, number: u64, good: u64, seen: bool, expected: &Passage) {
        let of = Numbers { scope: "d/a".into(), number: 4, rev: 1 };
        let state = json!({
            "desired": {"scope": "d/a", "gen": number, "rev": 1},
            "deployment": {"status": status, "reasons": ["HOLD"], "error": {"message": "why"}},
            "lastGood": {"gen": good},
        });
        assert_eq!(passage(&state, &of, seen), *expected, "{status}");
    }

    #[test]
    fn a_passage_is_followed_to_its_own_end() {
        let (goes, good) = (|word: &str| Passage::Goes(word.into()), |word: &str| Passage::Good(word.into()));
        let bad = |word: &str, why: &str| Passage::Bad(word.into(), why.into());
        check("SUCCEEDED", 3, 3, false, &goes(""));
        check("WAITING", 4, 3, false, &goes("WAITING HOLD"));
        check("SUCCEEDED", 4, 4, true, &good("SUCCEEDED"));
        check("REJECTED", 4, 4, true, &good("REJECTED"));
        check("REJECTED", 4, 3, true, &bad("REJECTED", "why"));
        check("ROLLED_BACK", 4, 3, true, &bad("ROLLED_BACK", "why"));
        check("DOWNLOADING", 5, 3, true, &bad("SUPERSEDED", "another document took its place"));
        let of = Numbers { scope: "d/a".into(), number: 1, rev: 0 };
        assert_eq!(passage(&Value::Null, &of, false), goes(""));
    }
}
