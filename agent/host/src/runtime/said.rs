//! What a runtime wrote to its log (`--log-format json`: one object a line, with `msg` and `level`).

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;

/// Bytes of the log that are read; a complaint is one line.
const LOG_BYTES_MAX: u64 = 64 << 10;
/// Characters of all complaints together, as a person reads them.
const SAID_CHARS_MAX: usize = 1024;

#[derive(Deserialize)]
struct Line {
    msg: String,
    #[serde(default)]
    level: String,
}

/// The complaints in the log at `path`, joined; nothing when it has none.
pub(super) fn read(path: &Path) -> Option<String> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(LOG_BYTES_MAX).read_to_end(&mut text).ok()?;
    parse(&String::from_utf8_lossy(&text))
}

pub(super) fn parse(text: &str) -> Option<String> {
    let lines: Vec<Line> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let complaints = lines.iter().filter(|line| matches!(line.level.as_str(), "error" | "fatal"));
    let said = complaints.map(|line| line.msg.trim()).collect::<Vec<_>>().join("; ");
    if said.is_empty() { None } else { Some(said.chars().take(SAID_CHARS_MAX).collect()) }
}
