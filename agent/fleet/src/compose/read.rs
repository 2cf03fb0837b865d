//! From YAML to JSON: variables are replaced, and texts without quotes become what they mean.
//!
//! What a text means is YAML 1.2's core schema, and where Compose's own reader would see something else, nothing is
//! guessed. A value that came of a variable is a text, as in Compose, but where the key wants a number or a truth.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use super::interpolate::Variables;
use super::yaml::{Node, Plain, What, YamlError};

/// Keys whose values are true or false.
const TRUTHS: &[&str] =
    &["create_host_path", "disable", "init", "privileged", "read_only", "required", "stdin_open", "tty"];
/// Keys whose values are numbers.
const NUMBERS: &[&str] = &["hard", "mode", "pids", "pids_limit", "port", "retries", "soft", "status"];
/// Keys below which everything is a text.
const TEXTS: &[&str] = &["environment", "labels", "sysctls"];

/// What a file says.
pub(super) struct Read {
    /// As JSON.
    pub(super) body: Value,
    /// The line of each part, by the path that the board's code gives it.
    pub(super) lines: BTreeMap<String, usize>,
    /// What the author should hear.
    pub(super) warnings: Vec<String>,
}

struct Reader<'a> {
    variables: Variables<'a>,
    lines: BTreeMap<String, usize>,
}

/// Reads a whole file.
pub(super) fn read(node: &Node, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Read, YamlError> {
    let mut reader = Reader { variables: Variables::new(lookup), lines: BTreeMap::new() };
    let body = reader.value(node, "", &[])?;
    let warnings = reader.variables.missing.iter();
    let warnings =
        warnings.map(|name| format!("the variable {name} is not set; it counts as empty")).collect();
    Ok(Read { body, lines: reader.lines, warnings })
}

impl Reader<'_> {
    fn value(&mut self, node: &Node, path: &str, keys: &[&str]) -> Result<Value, YamlError> {
        self.lines.insert(path.to_owned(), node.line);
        match &node.what {
            What::Scalar(text, plain) => self.scalar(text, *plain, node.line, keys),
            What::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for (at, item) in items.iter().enumerate() {
                    list.push(self.value(item, &format!("{path}[{at}]"), keys)?);
                }
                Ok(Value::Array(list))
            }
            What::Map(entries) => {
                let mut map = Map::new();
                for (name, node) in entries {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    // What the board ignores need not make sense to us either.
                    if name.starts_with("x-") && !name.starts_with("x-coracle") {
                        continue;
                    }
                    map.insert(name.clone(), self.value(node, &path, &[keys, &[name.as_str()]].concat())?);
                }
                Ok(Value::Object(map))
            }
        }
    }

    fn scalar(&mut self, text: &str, plain: Plain, line: usize, keys: &[&str]) -> Result<Value, YamlError> {
        if !text.contains('$') {
            return match plain {
                Plain::No => Ok(Value::from(text)),
                Plain::Yes => meaning(text).map_err(|why| YamlError::new(line, why)),
            };
        }
        let replaced = self.variables.interpolate(text);
        let replaced = replaced.map_err(|error| YamlError::new(line, error.to_string()))?;
        Ok(cast(&replaced, keys).unwrap_or_else(|| Value::from(replaced)))
    }
}

/// What a text that came of a variable stands for at these keys, where it is no text.
fn cast(text: &str, keys: &[&str]) -> Option<Value> {
    if keys.iter().any(|key| TEXTS.contains(key)) {
        return None;
    }
    let key = keys.last()?;
    let limit = keys.iter().rev().nth(1) == Some(&"ulimits");
    if TRUTHS.contains(key) {
        return match text.to_lowercase().as_str() {
            "true" | "yes" | "y" | "on" => Some(Value::Bool(true)),
            "false" | "no" | "n" | "off" => Some(Value::Bool(false)),
            _ => None,
        };
    }
    if limit || NUMBERS.contains(key) { text.parse::<i64>().ok().map(Value::from) } else { None }
}

/// A text without quotes (YAML 1.2.2, 10.3.2).
fn meaning(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let all = |text: &str, legal: fn(char) -> bool| !text.is_empty() && text.chars().all(legal);
    let radix = |prefix: &str, radix: u32| {
        let digits = text.strip_prefix(prefix).filter(|digits| digits.chars().all(|c| c.is_digit(radix)))?;
        u64::from_str_radix(digits, radix).ok().map(Value::from)
    };
    if let Some(value) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Ok(value);
    }
    if all(digits, |c| c.is_ascii_digit()) {
        if digits.len() > 1 && digits.starts_with('0') {
            return Err(format!(
                "{text} is read as octal by some and as decimal by others: put it in quotes, or write 0o{}",
                digits.trim_start_matches('0')
            ));
        }
        let whole = text.trim_start_matches('+');
        if let Some(value) =
            whole.parse::<i64>().ok().map(Value::from).or_else(|| whole.parse::<u64>().ok().map(Value::from))
        {
            return Ok(value);
        }
    }
    let floats = all(digits, |c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+'))
        && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.contains(|c: char| c.is_ascii_digit());
    if let Some(number) = text.parse::<f64>().ok().filter(|_| floats).and_then(Number::from_f64) {
        return Ok(Value::Number(number));
    }
    Ok(Value::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::yaml;
    use serde_json::json;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "N" => Some("3".to_owned()),
            "T" => Some("yes".to_owned()),
            "Z" => Some("007".to_owned()),
            _ => None,
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &Value) {
        let read = read(&yaml::parse(text).unwrap(), &lookup).unwrap();
        assert_eq!(&read.body, expected, "{text}");
    }

    #[test]
    fn a_text_without_quotes_is_what_yaml_says() {
        check("a: [1, -2, 0x10, 0o10, 1.5, 1e3, .5]", &json!({"a": [1, -2, 16, 8, 1.5, 1000.0, 0.5]}));
        check("a: [true, False, null, ~, ]", &json!({"a": [true, false, null, null]}));
        check(
            "a: [yes, on, 1.2.3, 1-2, '1', \"true\", 10:20, 2026-01-01, e5, .]",
            &json!({
                "a": ["yes", "on", "1.2.3", "1-2", "1", "true", "10:20", "2026-01-01", "e5", "."],
            }),
        );
        check("a: 18446744073709551615", &json!({"a": u64::MAX}));
        let error = read(&yaml::parse("a: 1\nb: 0755\n").unwrap(), &lookup).err().unwrap();
        assert_eq!((error.line, error.why.contains("0o755")), (2, true), "{error}");
    }

    #[test]
    fn a_variable_is_a_text_but_where_the_key_wants_something_else() {
        check("retries: $N", &json!({"retries": 3}));
        check(
            "ulimits: {nofile: $N, nproc: {soft: $N, hard: 9}}",
            &json!({
                "ulimits": {"nofile": 3, "nproc": {"soft": 3, "hard": 9}},
            }),
        );
        check("read_only: ${T}\ntty: ${NO:-off}", &json!({"read_only": true, "tty": false}));
        check(
            "environment: {tty: $T, N: $N, Z: $Z}",
            &json!({"environment": {"tty": "yes", "N": "3", "Z": "007"}}),
        );
        check("image: a:$N", &json!({"image": "a:3"}));
        check("command: echo $$HOME", &json!({"command": "echo $HOME"}));
        check("pids_limit: $T", &json!({"pids_limit": "yes"}));
    }

    #[test]
    fn what_is_ignored_is_left_out_and_lines_are_known() {
        let text = "x-own: &o {a: $1}\nservices:\n  web:\n    ports:\n      - a\n      - b\n    x-coracle-probe: {tcp: {port: 1}}\n";
        let read = read(&yaml::parse(text).unwrap(), &lookup).unwrap();
        assert_eq!(read.body.get("x-own"), None);
        assert_eq!(read.lines.get("services.web.ports[1]"), Some(&6));
        assert_eq!(read.body.pointer("/services/web/x-coracle-probe/tcp/port"), Some(&json!(1)));
        let unset = super::read(&yaml::parse("a: $NONE\nb: ${NONE}").unwrap(), &lookup).unwrap();
        assert_eq!(unset.warnings, ["the variable NONE is not set; it counts as empty"]);
    }
}
