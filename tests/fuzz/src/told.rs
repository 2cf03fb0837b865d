//! What people are told of strangers' bytes: short, and nothing that a terminal or a log would obey.

use std::fmt::Display;

use coracle_core::fault::Fault;
use coracle_core::limits::MESSAGE_CHARS_MAX;

/// Characters of an error; a state document has room for [`MESSAGE_CHARS_MAX`], a log for some lines.
const CHARS_MAX: usize = 4096;

/// Checks the text of an error.
#[track_caller]
pub(crate) fn told(error: &impl Display) {
    let text = error.to_string();
    assert!(!text.is_empty(), "an error says nothing");
    let chars = text.chars().count();
    assert!(
        chars <= CHARS_MAX,
        "an error has {chars} characters: {}",
        text.chars().take(200).collect::<String>()
    );
    assert!(!text.chars().any(char::is_control), "an error has a control character: {text:?}");
}

/// Checks an error as it is reported.
#[track_caller]
pub(crate) fn fault(fault: &Fault) {
    told(fault);
    assert!(fault.message().chars().count() <= MESSAGE_CHARS_MAX);
    if let Some(hint) = &fault.hint {
        told(hint);
    }
}
