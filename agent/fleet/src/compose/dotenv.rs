//! Files of variables, as `.env` and `env_file` have them: `NAME=value`, with comments, quotes and `export`.

use std::collections::BTreeMap;

use super::interpolate::Variables;

/// Names and values, in no order.
pub(crate) type Environment = BTreeMap<String, String>;

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub(crate) struct DotenvError {
    pub(crate) line: usize,
    pub(crate) why: String,
}

/// Reads a file; a value may use what stands above it, and what `outside` knows, which counts more.
pub(crate) fn parse(
    text: &str,
    outside: &dyn Fn(&str) -> Option<String>,
) -> Result<Environment, DotenvError> {
    let mut found = Environment::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut line = 1;
    while !rest.is_empty() {
        let (entry, left) = entry(rest).map_err(|why| DotenvError { line, why })?;
        if let Some((name, value)) = entry {
            let value = match value {
                Value::Literal(value) => value,
                Value::Interpolated(value) => {
                    let lookup = |name: &str| outside(name).or_else(|| found.get(name).cloned());
                    let replaced = Variables::new(&lookup).interpolate(&value);
                    replaced.map_err(|error| DotenvError { line, why: error.to_string() })?
                }
            };
            found.insert(name, value);
        }
        line += rest.len().checked_sub(left.len()).and_then(|used| rest.get(..used)).map_or(0, newlines);
        rest = left;
    }
    Ok(found)
}

enum Value {
    /// In single quotes: as it stands.
    Literal(String),
    /// With variables to replace.
    Interpolated(String),
}

fn newlines(text: &str) -> usize {
    text.matches('\n').count()
}

type Entry = Option<(String, Value)>;

/// The entry that `text` begins with, and what follows its line.
fn entry(text: &str) -> Result<(Entry, &str), String> {
    let (line, left) = text.split_once('\n').unwrap_or((text, ""));
    let start = line.trim_start();
    if start.trim_end().is_empty() || start.starts_with('#') {
        return Ok((None, left));
    }
    let start = start.strip_prefix("export ").map_or(start, str::trim_start);
    let (name, value) = start.split_once('=').ok_or("want NAME=value")?;
    let name = name.trim_end();
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if name.is_empty() || !name.chars().all(legal) || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("{name:?} is no name of a variable"));
    }
    let value = value.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    let Some(quote) = quote else {
        // A comment is parted from the value by a blank.
        let end = value
            .match_indices('#')
            .map(|(at, _)| at)
            .find(|at| *at == 0 || value.get(..*at).is_some_and(|before| before.ends_with([' ', '\t'])));
        let value = end.and_then(|end| value.get(..end)).unwrap_or(value).trim_end();
        return Ok((Some((name.to_owned(), Value::Interpolated(value.to_owned()))), left));
    };
    // A quoted value may go over several lines.
    let begin = text.len() - left.len() - usize::from(line.len() < text.len()) - value.len() + 1;
    let inside = text.get(begin..).unwrap_or_default();
    let (value, after) = if quote == '\'' { single(inside) } else { double(inside) }
        .ok_or_else(|| format!("a {quote} is never closed"))?;
    let (trailing, left) = after.split_once('\n').unwrap_or((after, ""));
    let trailing = trailing.trim();
    if !trailing.is_empty() && !trailing.starts_with('#') {
        return Err(format!("{trailing:?} follows a value in quotes"));
    }
    Ok((Some((name.to_owned(), value)), left))
}

fn single(inside: &str) -> Option<(Value, &str)> {
    inside.split_once('\'').map(|(value, after)| (Value::Literal(value.to_owned()), after))
}

fn double(inside: &str) -> Option<(Value, &str)> {
    let mut value = String::new();
    let mut chars = inside.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((Value::Interpolated(value), inside.get(at + 1..).unwrap_or_default())),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                // What the interpolation makes a dollar of again.
                '$' => value.push_str("$$"),
                c @ ('"' | '\\') => value.push(c),
                other => value.extend(['\\', other]),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&[(&str, &str)], (usize, &str)>) {
        let outside = |name: &str| (name == "OUT").then(|| "outside".to_owned());
        match (parse(text, &outside), expected) {
            (Ok(found), Ok(expected)) => {
                let found: Vec<_> =
                    found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                assert_eq!(found, expected, "{text}");
            }
            (Err(error), Err((line, why))) => {
                assert!(error.line == line && error.why.contains(why), "{text}: {error}");
            }
            (found, _) => panic!("{text}: {found:?}"),
        }
    }

    #[test]
    fn each_form_of_a_line_is_read() {
        check(
            "\n# comment\n  \nA=1\nexport B = two words # comment\n",
            Ok(&[("A", "1"), ("B", "two words")]),
        );
        check("A=a#b\nB= #c\nC=\n", Ok(&[("A", "a#b"), ("B", ""), ("C", "")]));
        check(
            "A='$OUT \\n'\nB=\"$OUT\\t\\\"\\$\\x\" # c\n",
            Ok(&[("A", "$OUT \\n"), ("B", "outside\t\"$\\x")]),
        );
        check("A=\"1\n2\"\nB='3\n4'\r\nC=5\r\n", Ok(&[("A", "1\n2"), ("B", "3\n4"), ("C", "5")]));
        check("OUT=inside\nA=1\nB=$A$OUT${C:-c}\n", Ok(&[("A", "1"), ("B", "1outsidec"), ("OUT", "inside")]));
        check("A=\"no end of line\"", Ok(&[("A", "no end of line")]));
        check("A=é\"\n", Ok(&[("A", "é\"")]));
    }

    #[test]
    fn a_line_that_is_none_is_refused_with_its_number() {
        check("A=1\nB\n", Err((2, "want NAME=value")));
        check("A='1\n2'\n1B=x\n", Err((3, "is no name")));
        check("A=\"x\n", Err((1, "never closed")));
        check("A='x' y\n", Err((1, "follows a value")));
        check("\nA=${B\n", Err((2, "no interpolation")));
    }
}
