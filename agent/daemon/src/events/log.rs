//! Where events go: into the system's log with their facts as fields, or as lines to standard error.
//!
//! Invariant: a message that the system's log does not take is on standard error; it is never lost for its form.

use std::fmt::Debug;

use coracle_core::plain::plain;
use coracle_host::clock;
use coracle_host::console::out;
use coracle_host::journald::SystemLog;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::kinds;
use crate::exit::Exit;

/// Characters of one fact: a chain of causes with paths in it has a few hundred.
const FACT_CHARS_MAX: usize = 2048;
/// Whose words these are, in the system's log.
const NAME: &str = "coracle";

/// Why a command ends early, to the system's log where standard error leads there: the answer is whether it is told.
pub(crate) fn ends_early(exit: Exit, why: &str) -> bool {
    let Some(log) = SystemLog::behind_stderr() else { return false };
    let kind = if exit == Exit::Configuration { kinds::MISCONFIGURED } else { kinds::GAVE_UP };
    let text = format!("{NAME}: {}", plain(why, FACT_CHARS_MAX));
    let fields = [
        ("MESSAGE", text.as_str()),
        ("PRIORITY", priority(Level::ERROR)),
        ("SYSLOG_IDENTIFIER", NAME),
        ("MESSAGE_ID", kind),
    ];
    log.write(&fields).is_ok()
}

/// From now on events are written down.
pub(crate) fn start() {
    // The agent starts it once; a second time would change nothing.
    let _ = tracing::subscriber::set_global_default(Log { system: SystemLog::behind_stderr() });
}

struct Log {
    system: Option<SystemLog>,
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let (level, text) = (*event.metadata().level(), line.text());
        let written = self.system.as_ref().map(|log| {
            let fields = line.fields(&text, level, event.metadata().target());
            log.write(&fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>())
        });
        match written {
            Some(Ok(())) => {}
            Some(Err(_)) => out::note(text),
            None => out::note(format_args!("{} {level:>5} {text}", clock::wall().rfc3339())),
        }
    }

    // Events of ours are in no spans, and nobody asks for those of others.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// One event: its sentence, and its facts by name, each as it is and as it stands in a line.
#[derive(Default)]
struct Line {
    sentence: String,
    facts: Vec<(&'static str, String, String)>,
}

impl Line {
    fn add(&mut self, name: &'static str, value: &str, shown: &str) {
        let bare = plain(value, FACT_CHARS_MAX);
        if name == "message" {
            self.sentence = bare;
        } else {
            self.facts.push((name, bare, plain(shown, FACT_CHARS_MAX)));
        }
    }

    /// For people.
    fn text(&self) -> String {
        let facts = self.facts.iter().map(|(name, _, shown)| format!(" {name}={shown}"));
        std::iter::once(self.sentence.clone()).chain(facts).collect()
    }

    /// For the system's log.
    fn fields(&self, text: &str, level: Level, kind: &str) -> Vec<(String, String)> {
        let mut fields: Vec<(String, String)> =
            [("MESSAGE", text), ("PRIORITY", priority(level)), ("SYSLOG_IDENTIFIER", NAME)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
        if kinds::ALL.iter().any(|(_, id)| *id == kind) {
            fields.push(("MESSAGE_ID".to_owned(), kind.to_owned()));
            let facts = self.facts.iter();
            fields.extend(
                facts.map(|(name, value, _)| (format!("CORACLE_{}", name.to_uppercase()), value.clone())),
            );
        }
        fields
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value, &format!("{value:?}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let value = format!("{value:?}");
        self.add(field.name(), &value, &value);
    }
}

/// By syslog(3).
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        _ => "7",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    /// The fields that the system's log gets of what `write` writes.
    fn heard(write: impl FnOnce()) -> Vec<String> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("coracle-events-{}-{number}", std::process::id()));
        let socket = UnixDatagram::bind(&path).unwrap();
        let log = Log { system: Some(SystemLog::at(&path).unwrap()) };
        tracing::subscriber::with_default(log, write);
        let mut bytes = [0u8; 64 << 10];
        let count = socket.recv(&mut bytes).unwrap();
        std::fs::remove_file(path).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn an_event_has_its_id_and_its_facts_as_fields() {
        let fields = heard(|| super::super::not_taken("a/b", "not \"authorized\""));
        let [message, rest @ ..] = fields.as_slice() else { panic!("{fields:?}") };
        assert!(message.starts_with("MESSAGE=the broker does not take"), "{message}");
        assert!(message.ends_with("topic=\"a/b\" reason=\"not \\\"authorized\\\"\""), "{message}");
        let id = format!("MESSAGE_ID={}", kinds::NOT_TAKEN);
        let expected = [
            "PRIORITY=4",
            "SYSLOG_IDENTIFIER=coracle",
            &id,
            "CORACLE_TOPIC=a/b",
            "CORACLE_REASON=not \"authorized\"",
        ];
        assert_eq!(rest, expected);
    }

    #[test]
    fn a_fact_begins_no_field_and_has_its_bound() {
        let long = "ü".repeat(FACT_CHARS_MAX + 1);
        let fields = heard(|| super::super::not_taken("a\nMESSAGE_ID=0", &long));
        assert_eq!(fields.len(), 6, "{fields:?}");
        assert_eq!(fields[4], "CORACLE_TOPIC=a\\nMESSAGE_ID=0");
        assert_eq!(fields[5].chars().count(), "CORACLE_REASON=".len() + FACT_CHARS_MAX);
    }

    #[test]
    fn words_of_libraries_have_no_id() {
        let fields = heard(|| tracing::warn!(target: "hyper", code = 7, "odd"));
        assert_eq!(fields, ["MESSAGE=odd code=7", "PRIORITY=4", "SYSLOG_IDENTIFIER=coracle"]);
    }
}
