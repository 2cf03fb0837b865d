//! Strangers' words as people may see them: bounded, and nothing in them that a terminal or a log would obey.

use std::fmt::Display;

/// Characters of a parser's complaint, which repeats what it met.
const COMPLAINT_CHARS_MAX: usize = 200;

/// What a parser complains of, as the end of a sentence.
pub(crate) fn complaint(error: &impl Display) -> String {
    plain(&error.to_string(), COMPLAINT_CHARS_MAX)
}

/// At most `chars` characters of `text`; an ellipsis says that there was more. What would move a cursor, begin another
/// line or turn the direction of writing is escaped.
#[must_use]
pub fn plain(text: &str, chars: usize) -> String {
    let mut out = String::with_capacity(text.len().min(chars));
    let mut count = 0;
    let mut shown = text.chars().flat_map(|c| {
        let (bare, escaped) = if obeyed(c) { (None, Some(c.escape_debug())) } else { (Some(c), None) };
        bare.into_iter().chain(escaped.into_iter().flatten())
    });
    while let Some(c) = shown.next() {
        count += 1;
        if count == chars && shown.next().is_some() {
            out.push('…');
            return out;
        }
        out.push(c);
    }
    out
}

/// What is not shown but done: controls, and the marks of bidirectional text (Unicode, annex 9).
fn obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, chars: usize, expected: &str) {
        assert_eq!(plain(text, chars), expected);
    }

    #[test]
    fn words_stay_and_orders_are_escaped() {
        check("grün, 5 µs", 20, "grün, 5 µs");
        check("a\nb\u{1b}[31m", 20, "a\\nb\\u{1b}[31m");
        check("\u{202e}txt", 20, "\\u{202e}txt");
        check("", 5, "");
    }

    #[test]
    fn what_is_longer_ends_in_an_ellipsis() {
        check("abcde", 5, "abcde");
        check("abcdef", 5, "abcd…");
        check("ab\n\n", 5, "ab\\n…");
        check("ab", 1, "…");
    }
}
