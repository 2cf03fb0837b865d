//! What becomes of a command, in the words of the wire.
//!
//! Invariant: a reply fits [`REPLY_BYTES_MAX`]; a result that does not is left out, and the error says so.

use serde::Serialize;
use serde_json::Value;

use crate::fault::{Code, Fault};
use crate::limits::REPLY_BYTES_MAX;
use crate::time::Timestamp;

/// Bytes that a reply needs around its result.
const AROUND_BYTES: usize = 512;

/// The `reply` document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reply {
    /// `reply/v1`.
    pub schema: &'static str,
    /// The command's own id; absent where it had none, or none that could be read.
    pub id: Option<String>,
    /// The command's verb.
    pub verb: String,
    /// What the clock shows.
    pub ts: Timestamp,
    /// Whether it was obeyed.
    pub ok: bool,
    /// What it brought; its form is the verb's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why it was not obeyed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
}

impl Reply {
    /// The reply to a command of that id and verb.
    #[must_use]
    pub fn new(id: Option<&str>, verb: &str, ts: Timestamp, outcome: Result<Value, Fault>) -> Self {
        let (ok, result, error) = match outcome {
            Ok(result) => (true, Some(result), None),
            Err(fault) => (false, None, Some(fault)),
        };
        Self { schema: "reply/v1", id: id.map(str::to_owned), verb: verb.to_owned(), ts, ok, result, error }
    }

    /// The document as it is sent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes = crate::reported::written(self);
        if bytes.len() <= REPLY_BYTES_MAX {
            return bytes;
        }
        let message = format!("the result has more than the {REPLY_BYTES_MAX} bytes of a reply");
        let fault = Fault::new(Code::TooLarge, &message);
        crate::reported::written(&Self::new(self.id.as_deref(), &self.verb, self.ts, Err(fault)))
    }
}

/// The newest of `lines`, which are in order, that fit a reply; and whether all did.
#[must_use]
pub fn newest_that_fit(lines: Vec<String>) -> (Vec<String>, bool) {
    let mut room = REPLY_BYTES_MAX - AROUND_BYTES;
    let mut kept: Vec<String> = Vec::new();
    let all = lines.len();
    for line in lines.into_iter().rev() {
        // As JSON writes it, with its comma.
        let bytes = serde_json::to_string(&line).map_or(usize::MAX, |text| text.len()).saturating_add(1);
        let Some(left) = room.checked_sub(bytes) else { break };
        room = left;
        kept.push(line);
    }
    kept.reverse();
    let whole = kept.len() == all;
    (kept, whole)
}
