//! Stage one: one file, as written. Keys are known and of the right type; nothing is said about their values yet.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Mistake;
use super::keys::{self, Kind};

/// A value with the lines it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Raw {
    Text(String),
    Switch(bool),
    Count(u64),
    /// Each element with its line.
    List(Vec<(String, usize)>),
}

/// One key of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: &'static str,
    pub(crate) line: usize,
    pub(crate) value: Raw,
}

/// The entries of `text`; `file` is for the message.
pub(crate) fn parse(file: &Path, text: &str) -> Result<Vec<Entry>, Mistake> {
    let reader = Reader { file, text };
    let document = DeTable::parse(text).map_err(|error| {
        let line = error.span().map(|span| reader.line(span.start));
        Mistake { file: Some(file.to_owned()), line, key: None, problem: error.message().to_owned() }
    })?;
    let (mut entries, mut mistakes) = (Vec::new(), Vec::new());
    let mut take =
        |name: String, at: usize, value: &Spanned<DeValue<'_>>| match reader.entry(&name, at, value) {
            Ok(entry) => entries.push(entry),
            Err(mistake) => mistakes.push(mistake),
        };
    for (key, value) in document.get_ref() {
        let at = key.span().start;
        let section = keys::known_in(key.get_ref());
        match value.get_ref().as_table().filter(|_| !section.is_empty()) {
            Some(table) => {
                for (inner, value) in table {
                    take(format!("{}.{}", key.get_ref(), inner.get_ref()), inner.span().start, value);
                }
            }
            None => take(key.get_ref().to_string(), at, value),
        }
    }
    // The parser sorts by name; the first mistake in the file is the one to tell.
    mistakes.sort_by_key(|mistake| mistake.line);
    mistakes.into_iter().next().map_or(Ok(entries), Err)
}

struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn line(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }

    fn entry(&self, name: &str, at: usize, value: &Spanned<DeValue<'_>>) -> Result<Entry, Mistake> {
        let line = self.line(at);
        let mistake = |line: usize, problem: String| Mistake {
            file: Some(self.file.to_owned()),
            line: Some(line),
            key: Some(name.to_owned()),
            problem,
        };
        let Some(key) = keys::find(name) else {
            return Err(mistake(line, unknown(name, matches!(value.get_ref(), DeValue::Table(_)))));
        };
        let wrong = |value: &Spanned<DeValue<'_>>| {
            let found = value.get_ref().type_str();
            mistake(
                self.line(value.span().start),
                format!("must be {}, not {}", key.kind.words(), article(found)),
            )
        };
        let text = || value.get_ref().as_str().map(|text| Raw::Text(text.to_owned()));
        let found = match key.kind {
            Kind::Text | Kind::Path => text(),
            Kind::Switch => value.get_ref().as_bool().map(Raw::Switch),
            Kind::Count { min, max } => {
                whole(value.get_ref()).filter(|count| (min..=max).contains(count)).map(Raw::Count)
            }
            Kind::List => self.list(value.get_ref()),
            Kind::TextOrList => text()
                .map(|raw| match raw {
                    Raw::Text(one) => Raw::List(vec![(one, line)]),
                    Raw::Switch(_) | Raw::Count(_) | Raw::List(_) => raw,
                })
                .or_else(|| self.list(value.get_ref())),
        };
        if let (None, DeValue::Integer(number), Kind::Count { .. }) = (&found, value.get_ref(), key.kind) {
            let problem = format!("must be {}, not {number}", key.kind.words());
            return Err(mistake(self.line(value.span().start), problem));
        }
        found.map(|value| Entry { key: key.name, line, value }).ok_or_else(|| wrong(value))
    }

    fn list(&self, value: &DeValue<'_>) -> Option<Raw> {
        let elements = value.as_array()?.iter();
        let strings = elements
            .map(|element| Some((element.get_ref().as_str()?.to_owned(), self.line(element.span().start))));
        strings.collect::<Option<Vec<_>>>().map(Raw::List)
    }
}

fn whole(value: &DeValue<'_>) -> Option<u64> {
    let number = value.as_integer()?;
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}

fn unknown(name: &str, table: bool) -> String {
    let section = keys::section(name);
    let known = keys::known_in(section).join(", ");
    if table {
        "unknown section; there are trust, broker, registry, runtime, pull, store, disk, allow, lock"
            .to_owned()
    } else if section.is_empty() {
        format!("unknown key; outside of sections there are {known}")
    } else {
        format!("unknown key; [{section}] has {known}")
    }
}
