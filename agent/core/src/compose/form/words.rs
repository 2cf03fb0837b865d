//! A command line in one string, split as a shell splits it.

use super::FormError;

/// Splits `line` into words: blanks separate, quotes and backslashes join, nothing is expanded.
///
/// # Errors
/// An open quote or a backslash at the end; a shell's operator outside quotes, because no shell would run it.
pub fn split_words(line: &str) -> Result<Vec<String>, FormError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err(FormError::new(line, "a single quote is not closed")),
                    }
                }
            }
            '"' => double_quoted(line, &mut chars, word.get_or_insert_default())?,
            '\\' => match chars.next() {
                Some('\n') => {}
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err(FormError::new(line, "ends in a backslash")),
            },
            ';' | '&' | '|' | '<' | '>' | '`' => {
                let rule = format!(
                    "no shell runs this, so {c:?} has no effect: quote it, or run [\"sh\", \"-c\", …]"
                );
                return Err(FormError::new(line, rule));
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Up to the closing quote; a backslash escapes only what a shell lets it escape there.
fn double_quoted(line: &str, chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), FormError> {
    let open = || FormError::new(line, "a double quote is not closed");
    loop {
        match chars.next().ok_or_else(open)? {
            '"' => return Ok(()),
            '\\' => match chars.next().ok_or_else(open)? {
                '\n' => {}
                c @ ('"' | '\\' | '$' | '`') => word.push(c),
                c => word.extend(['\\', c]),
            },
            c => word.push(c),
        }
    }
}
