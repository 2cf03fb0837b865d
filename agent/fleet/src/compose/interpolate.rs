//! `$NAME` and `${NAME…}` in the values of a Compose file, as the Compose specification has them ("Interpolation").
//!
//! ```text
//! $NAME ${NAME}                 its value; empty, with a warning, where it is not set
//! ${NAME:-word} ${NAME-word}    word where it is not set or empty / not set
//! ${NAME:?word} ${NAME?word}    an error that says word, likewise
//! ${NAME:+word} ${NAME+word}    word where it is set and not empty / set, else nothing
//! $$                            one $
//! ```

/// How deep a word may hold another `${…}`.
const DEPTH_MAX: usize = 16;
/// Bytes of a value; what a board takes of a text.
const BYTES_MAX: usize = 64 << 10;

/// What is wrong with a value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InterpolationError {
    /// The value breaks the grammar.
    #[error("{0:?} is no interpolation: write ${{NAME}}, or $$ for a $")]
    Form(String),
    /// The file's own word for a variable that is not set.
    #[error("the variable {name} is needed: {why}")]
    Needed {
        /// The variable.
        name: String,
        /// What the file says.
        why: String,
    },
    /// A value out of all proportion.
    #[error("it becomes longer than {BYTES_MAX} bytes")]
    Long,
}

/// Where variables are looked up, and which were not found.
pub(crate) struct Variables<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    /// Those that were taken as empty, in the order met.
    pub(crate) missing: Vec<String>,
}

impl<'a> Variables<'a> {
    pub(crate) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, missing: Vec::new() }
    }

    /// The value of a variable.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        (self.lookup)(name)
    }

    /// `text` with its variables replaced.
    pub(crate) fn interpolate(&mut self, text: &str) -> Result<String, InterpolationError> {
        self.within(text, 0)
    }

    fn within(&mut self, text: &str, depth: usize) -> Result<String, InterpolationError> {
        let wrong = |part: &str| InterpolationError::Form(part.chars().take(80).collect());
        let (mut out, mut rest) = (String::new(), text);
        while let Some(at) = rest.find('$') {
            let (before, tail) = rest.split_at(at);
            out.push_str(before);
            let after = tail.get(1..).unwrap_or_default();
            if let Some(after) = after.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some(inner) = after.strip_prefix('{') {
                let end = closing(inner).filter(|_| depth < DEPTH_MAX).ok_or_else(|| wrong(tail))?;
                let (inside, left) = inner.split_at(end);
                out.push_str(&self.braced(inside, depth)?);
                rest = left.get(1..).unwrap_or_default();
            } else {
                let name = name(after).ok_or_else(|| wrong(tail))?;
                out.push_str(&self.plain(name));
                rest = after.get(name.len()..).unwrap_or_default();
            }
            if out.len() > BYTES_MAX {
                return Err(InterpolationError::Long);
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    fn plain(&mut self, name: &str) -> String {
        self.value(name).unwrap_or_else(|| {
            if !self.missing.iter().any(|known| known == name) {
                self.missing.push(name.to_owned());
            }
            String::new()
        })
    }

    /// What stands between the braces.
    fn braced(&mut self, inside: &str, depth: usize) -> Result<String, InterpolationError> {
        let wrong = || InterpolationError::Form(format!("${{{inside}}}").chars().take(80).collect());
        let name = name(inside).ok_or_else(wrong)?;
        let rest = inside.get(name.len()..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(self.plain(name));
        }
        let (strict, rest) = rest.strip_prefix(':').map_or((false, rest), |rest| (true, rest));
        let mut rest = rest.chars();
        let operator = rest.next().ok_or_else(wrong)?;
        let word = rest.as_str();
        let value = self.value(name).filter(|value| !strict || !value.is_empty());
        match (operator, value) {
            ('-' | '?', Some(value)) => Ok(value),
            ('-', None) | ('+', Some(_)) => self.within(word, depth + 1),
            ('+', None) => Ok(String::new()),
            ('?', None) => {
                let why = self.within(word, depth + 1)?;
                let why = if why.is_empty() { "it is not set".to_owned() } else { why };
                Err(InterpolationError::Needed { name: name.to_owned(), why })
            }
            _ => Err(wrong()),
        }
    }
}

/// The name that `text` begins with.
fn name(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    text.get(..end).filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
}

/// Where the brace is that closes what `text` stands in.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '{' if before == '$' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
        before = c;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let lookup = |name: &str| match name {
            "SET" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let found = Variables::new(&lookup).interpolate(text);
        match expected {
            Ok(expected) => assert_eq!(found.as_deref(), Ok(expected), "{text}"),
            Err(why) => {
                let error = found.expect_err(text).to_string();
                assert!(error.contains(why), "{text}: {error}");
            }
        }
    }

    #[test]
    fn each_form_is_what_the_specification_says() {
        for (text, expected) in [
            ("plain", "plain"),
            ("$SET ${SET} a$SET-b", "value value avalue-b"),
            ("$$SET $${SET} $$$SET", "$SET ${SET} $value"),
            ("$NONE|${NONE}|", "||"),
            ("${NONE:-x} ${EMPTY:-x} ${SET:-x}", "x x value"),
            ("${NONE-x} ${EMPTY-x} ${SET-x}", "x  value"),
            ("${NONE:+x} ${EMPTY:+x} ${SET:+x}", "  x"),
            ("${NONE+x} ${EMPTY+x} ${SET+x}", " x x"),
            ("${SET:?no} ${SET?no} ${EMPTY?no}", "value value "),
            ("${NONE:-${SET}}", "value"),
            ("${NONE:-${NONE:-${SET}}}-", "value-"),
            ("${NONE:-a}b}", "ab}"),
            ("${NONE:-a:b?c}", "a:b?c"),
            ("${NONE:-}", ""),
            ("{SET}", "{SET}"),
        ] {
            check(text, Ok(expected));
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_the_files_own_words() {
        check("${NONE:?say the version}", Err("the variable NONE is needed: say the version"));
        check("${EMPTY:?${SET}}", Err("EMPTY is needed: value"));
        check("${NONE?}", Err("it is not set"));
        for text in ["$", "$1", "a$ b", "${", "${SET", "${}", "${1}", "${SET!x}", "${SET:}", "${SET:=x}"] {
            check(text, Err("is no interpolation"));
        }
        check(&"${NONE:-".repeat(100_000), Err("is no interpolation"));
        let deep = format!("{}x{}", "${NONE:-".repeat(40), "}".repeat(40));
        check(&deep, Err("is no interpolation"));
    }

    #[test]
    fn what_was_not_set_is_noted_once() {
        let mut variables = Variables::new(&|_| None);
        assert_eq!(variables.interpolate("$A $B $A ${C:-}").unwrap(), "   ");
        assert_eq!(variables.missing, ["A", "B"]);
    }
}
