//! Reading an object of a document key by key, so that every error names its path and no key goes unread.

use serde_json::{Map, Value};

use crate::fault::{Code, Fault};

/// Characters of an id or a seed: a ULID has 26, a digest 64.
const ID_CHARS_MAX: usize = 64;

/// An object on its way to become a typed value.
pub(crate) struct Fields {
    path: String,
    map: Map<String, Value>,
}

/// A document that is not of the contract's form, at `path`.
pub(crate) fn schema(path: &str, rule: &str) -> Fault {
    let at = if path.is_empty() { "the document" } else { path };
    Fault::new(Code::Schema, &format!("{at} {rule}"))
}

impl Fields {
    pub(crate) fn of(path: &str, value: Value) -> Result<Self, Fault> {
        match value {
            Value::Object(map) => Ok(Self { path: path.to_owned(), map }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(schema(path, "is not an object"))
            }
        }
    }

    pub(crate) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of `key`, once; `null` is as good as absent.
    pub(crate) fn take(&mut self, key: &str) -> Option<Value> {
        self.map.remove(key).filter(|value| !value.is_null())
    }

    pub(crate) fn object(&mut self, key: &str) -> Result<Self, Fault> {
        let value = self.take(key).unwrap_or_else(|| Value::Object(Map::new()));
        Self::of(&self.path(key), value)
    }

    pub(crate) fn text(&mut self, key: &str) -> Result<Option<String>, Fault> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Err(schema(&self.path(key), "is not a string"))
            }
        }
    }

    pub(crate) fn flag(&mut self, key: &str) -> Result<Option<bool>, Fault> {
        let path = self.path(key);
        self.take(key)
            .map(|value| value.as_bool().ok_or_else(|| schema(&path, "is not true or false")))
            .transpose()
    }

    pub(crate) fn number(&mut self, key: &str, least: u64, most: u64) -> Result<Option<u64>, Fault> {
        let path = self.path(key);
        let rule = format!("is not a whole number from {least} to {most}");
        let fits = |value: Value| value.as_u64().filter(|n| (least..=most).contains(n));
        self.take(key).map(|value| fits(value).ok_or_else(|| schema(&path, &rule))).transpose()
    }

    pub(crate) fn list(&mut self, key: &str) -> Result<Vec<Value>, Fault> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => Ok(items),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                Err(schema(&self.path(key), "is not a list"))
            }
        }
    }

    /// What remains, for objects whose keys are names.
    pub(crate) fn rest(self) -> Map<String, Value> {
        self.map
    }

    /// Ends the reading: a key that nobody asked for is refused.
    pub(crate) fn end(self) -> Result<(), Fault> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(key) => Err(schema(&self.path(key), "is not a key this agent knows")),
        }
    }

    /// `value` or an error that `key` is missing.
    pub(crate) fn need<T>(&self, key: &str, value: Option<T>) -> Result<T, Fault> {
        value.ok_or_else(|| schema(&self.path(key), "is missing"))
    }
}

/// An id that somebody outside made up, a ULID for instance.
pub(crate) fn identifier(path: &str, text: String) -> Result<String, Fault> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if text.is_empty() || text.len() > ID_CHARS_MAX || !text.chars().all(legal) {
        return Err(schema(path, "is not 1 to 64 of A-Z a-z 0-9 _ -"));
    }
    Ok(text)
}
