//! Reads one key after the other out of the inputs, in its type, and notes where each value comes from.
//!
//! Types were checked with the fragment, so a value of another type cannot be here; it counts as absent.

use std::path::{Component, Path, PathBuf};

use coracle_core::address::ProxyUrl;

use super::error::{ConfigError, Mistake};
use super::fragment::Raw;
use super::inputs::{Inputs, Origin};
use super::keys::KEYS;
use super::settings::SettingRow;

/// Takes keys out of the inputs and notes each with its origin.
pub(super) struct Reading {
    pub(super) inputs: Inputs,
    pub(super) rows: Vec<SettingRow>,
}

impl Reading {
    pub(super) fn new(inputs: Inputs) -> Self {
        Self { inputs, rows: Vec::with_capacity(KEYS.len()) }
    }

    fn note(&mut self, key: &'static str, default: serde_json::Value) {
        let (value, origin) = match self.inputs.value(key) {
            None => (default, Origin::Default),
            Some((raw, file, line)) => (shown(raw), Origin::File { file: file.clone(), line: *line }),
        };
        self.rows.push(SettingRow { key, value, origin });
    }

    pub(super) fn mistake(&self, key: &str, line: Option<usize>, problem: String) -> ConfigError {
        let place = self.inputs.value(key);
        let file = place.map(|(_, file, _)| file.clone());
        let line = line.or(place.map(|(_, _, line)| *line));
        Mistake { file, line, key: Some(key.to_owned()), problem }.into()
    }

    pub(super) fn text(&mut self, key: &'static str, default: Option<&str>) -> Option<String> {
        self.note(key, default.into());
        match self.inputs.value(key) {
            Some((Raw::Text(text), ..)) => Some(text.clone()),
            Some((Raw::Switch(_) | Raw::Count(_) | Raw::List(_), ..)) | None => default.map(str::to_owned),
        }
    }

    pub(super) fn switch(&mut self, key: &'static str) -> bool {
        self.switch_or(key, false)
    }

    pub(super) fn switch_or(&mut self, key: &'static str, default: bool) -> bool {
        self.note(key, default.into());
        match self.inputs.value(key) {
            Some((Raw::Switch(on), ..)) => *on,
            Some((Raw::Text(_) | Raw::Count(_) | Raw::List(_), ..)) | None => default,
        }
    }

    pub(super) fn count(&mut self, key: &'static str, default: u64) -> u64 {
        self.note(key, default.into());
        match self.inputs.value(key) {
            Some((Raw::Count(count), ..)) => *count,
            Some((Raw::Switch(_) | Raw::Text(_) | Raw::List(_), ..)) | None => default,
        }
    }

    /// Elements with their lines; `None` where absent.
    pub(super) fn list(
        &mut self,
        key: &'static str,
        default: serde_json::Value,
    ) -> Option<Vec<(String, usize)>> {
        self.note(key, default);
        match self.inputs.value(key) {
            Some((Raw::List(list), ..)) => Some(list.clone()),
            Some((Raw::Switch(_) | Raw::Text(_) | Raw::Count(_), ..)) | None => None,
        }
    }

    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let text = self.text(key, None);
        text.map(|text| parse(&text)).transpose().map_err(|problem| self.mistake(key, None, problem))
    }

    /// An address that may hold a password: it is shown without.
    pub(super) fn proxy(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<ProxyUrl, String>,
    ) -> Result<Option<ProxyUrl>, ConfigError> {
        let proxy = self.parsed(key, parse)?;
        if let (Some(proxy), Some(row)) = (&proxy, self.rows.last_mut()) {
            row.value = proxy.to_string().into();
        }
        Ok(proxy)
    }

    pub(super) fn path(&mut self, key: &'static str, default: &str) -> Result<PathBuf, ConfigError> {
        let text = self.text(key, Some(default)).unwrap_or_default();
        absolute(&text).map_err(|problem| self.mistake(key, None, problem))
    }

    pub(super) fn optional_path(&mut self, key: &'static str) -> Result<Option<PathBuf>, ConfigError> {
        self.parsed(key, absolute)
    }
}

fn shown(raw: &Raw) -> serde_json::Value {
    match raw {
        Raw::Text(text) => text.as_str().into(),
        Raw::Switch(on) => (*on).into(),
        Raw::Count(count) => (*count).into(),
        Raw::List(list) => list.iter().map(|(text, _)| text.as_str()).collect(),
    }
}

fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    if !path.is_absolute() {
        return Err(format!("{text:?} is not an absolute path"));
    }
    if path.components().any(|part| matches!(part, Component::ParentDir)) {
        return Err(format!("{text:?} has a '..' in it"));
    }
    Ok(path.to_owned())
}
