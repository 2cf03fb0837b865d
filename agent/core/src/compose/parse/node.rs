//! A place in the document: its value, and its path for the error.

use std::collections::BTreeMap;

use serde_json::Value;

use super::ComposeError;
use super::fields::Fields;
use crate::compose::form::FormError;
use crate::limits::{COMPOSE_ENTRIES_MAX, COMPOSE_TEXT_BYTES_MAX};

/// Characters of a key shown in a path.
const KEY_CHARS_SHOWN: usize = 64;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    path: String,
    value: &'a Value,
}

impl<'a> Node<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Self { path: String::new(), value }
    }

    /// What stands under `key`; null where nothing does.
    pub(super) fn child(&self, key: &str) -> Self {
        let shown: String = key.chars().take(KEY_CHARS_SHOWN).flat_map(char::escape_debug).collect();
        let path = if self.path.is_empty() { shown } else { format!("{}.{shown}", self.path) };
        Self { path, value: self.value.get(key).unwrap_or(&Value::Null) }
    }

    pub(super) fn refuse(&self, reason: impl Into<String>) -> ComposeError {
        let path = if self.path.is_empty() { "document".to_owned() } else { self.path.clone() };
        ComposeError { path, reason: reason.into() }
    }

    pub(super) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    pub(super) fn is_text(&self) -> bool {
        self.value.is_string()
    }

    pub(super) fn is_list(&self) -> bool {
        self.value.is_array()
    }

    pub(super) fn is_map(&self) -> bool {
        self.value.is_object()
    }

    /// A string without a zero byte, within the bound.
    pub(super) fn text(&self) -> Result<&'a str, ComposeError> {
        let Value::String(text) = self.value else { return Err(self.refuse("want a string")) };
        if text.len() > COMPOSE_TEXT_BYTES_MAX {
            return Err(self.refuse(format!("longer than {COMPOSE_TEXT_BYTES_MAX} bytes")));
        }
        if text.contains('\0') {
            return Err(self.refuse("holds a zero byte"));
        }
        Ok(text)
    }

    /// A string, a number or a boolean, as a string.
    pub(super) fn scalar(&self) -> Result<String, ComposeError> {
        match self.value {
            Value::String(_) => self.text().map(str::to_owned),
            Value::Number(number) => Ok(number.to_string()),
            Value::Bool(flag) => Ok(flag.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => Err(self.refuse("want a string or number")),
        }
    }

    /// A scalar in one of the short forms.
    pub(super) fn form<T>(&self, parse: impl Fn(&str) -> Result<T, FormError>) -> Result<T, ComposeError> {
        parse(&self.scalar()?).map_err(|error| self.refuse(error.to_string()))
    }

    pub(super) fn boolean(&self) -> Result<bool, ComposeError> {
        self.value.as_bool().ok_or_else(|| self.refuse("want true or false"))
    }

    pub(super) fn integer(&self) -> Result<i64, ComposeError> {
        self.value.as_i64().ok_or_else(|| self.refuse("want a whole number"))
    }

    /// One of some words.
    pub(super) fn one_of(&self, words: &[&'static str]) -> Result<&'static str, ComposeError> {
        let text = self.text()?;
        let found = words.iter().find(|word| **word == text).copied();
        found.ok_or_else(|| self.refuse(format!("want {}", words.join(" or "))))
    }

    /// The entries of a list.
    pub(super) fn list(&self) -> Result<Vec<Self>, ComposeError> {
        let Value::Array(entries) = self.value else { return Err(self.refuse("want a list")) };
        self.bounded(entries.len())?;
        let entry = |(at, value)| Self { path: format!("{}[{at}]", self.path), value };
        Ok(entries.iter().enumerate().map(entry).collect())
    }

    /// A list, or one string that stands for a list of one.
    pub(super) fn list_or_one(&self) -> Result<Vec<Self>, ComposeError> {
        if self.is_text() { Ok(vec![self.clone()]) } else { self.list() }
    }

    /// The entries of a map.
    pub(super) fn entries(&self) -> Result<Vec<(&'a str, Self)>, ComposeError> {
        let Value::Object(map) = self.value else { return Err(self.refuse("want a map")) };
        self.bounded(map.len())?;
        Ok(map.keys().map(|key| (key.as_str(), self.child(key))).collect())
    }

    /// The entries of a map with fixed keys.
    pub(super) fn fields(&self) -> Result<Fields<'a>, ComposeError> {
        Ok(Fields::new(self.clone(), self.entries()?))
    }

    /// A list of strings.
    pub(super) fn texts(&self) -> Result<Vec<String>, ComposeError> {
        self.list()?.iter().map(Self::scalar).collect()
    }

    /// `{KEY: value}` or `["KEY=value"]`.
    pub(super) fn pairs(&self) -> Result<BTreeMap<String, String>, ComposeError> {
        let mut pairs = BTreeMap::new();
        if self.is_list() {
            for node in self.list()? {
                let (key, value) = node.text()?.split_once('=').unwrap_or((node.text()?, ""));
                node.key(key)?;
                if pairs.insert(key.to_owned(), value.to_owned()).is_some() {
                    return Err(node.refuse("stands twice"));
                }
            }
        } else {
            for (key, node) in self.entries()? {
                node.key(key)?;
                pairs.insert(key.to_owned(), if node.is_null() { String::new() } else { node.scalar()? });
            }
        }
        Ok(pairs)
    }

    /// A key that can stand before an equals sign.
    pub(super) fn key(&self, key: &str) -> Result<(), ComposeError> {
        if key.is_empty() || key.contains(['=', '\0']) || key.len() > COMPOSE_TEXT_BYTES_MAX {
            return Err(self.refuse("the name is empty, too long, or holds = or a zero byte"));
        }
        Ok(())
    }

    fn bounded(&self, count: usize) -> Result<(), ComposeError> {
        if count > COMPOSE_ENTRIES_MAX {
            return Err(self.refuse(format!("more than {COMPOSE_ENTRIES_MAX} entries")));
        }
        Ok(())
    }
}
