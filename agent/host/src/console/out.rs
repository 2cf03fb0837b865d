//! The only place that writes to the terminal.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

/// Writes a line to standard output. A reader that went away (`| head`) ends the process quietly.
pub fn line(text: impl Display) {
    if writeln!(io::stdout().lock(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// Writes a line to standard error; nobody can be told if that fails.
pub fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes to standard error without ending the line: a word that another one replaces.
pub fn draw(text: impl Display) {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
}

/// Writes one JSON value to standard output, indented for a person at a terminal.
pub fn json(value: &serde_json::Value) {
    if io::stdout().is_terminal() { line(format_args!("{value:#}")) } else { line(value) }
}

/// Bytes as people read them: `12.3 MiB`.
pub fn bytes(count: u64) -> String {
    let mut units = ["B", "KiB", "MiB", "GiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    // Tenths, in whole numbers: no rounding surprises.
    let mut tenths = u128::from(count) * 10;
    for larger in units {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = larger;
    }
    if unit == "B" { format!("{count} B") } else { format!("{}.{} {unit}", tenths / 10, tenths % 10) }
}

/// A number with its noun: `1 layer`, `2 layers`.
pub fn count(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Rows under headings, in columns as wide as needed.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    let written = std::iter::once(&headings).chain(rows).map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    written.collect::<Vec<_>>().join("\n")
}

/// Seconds as people read them: `3 min`, `2 d`.
pub fn ago(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_people_read_them() {
        for (count, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_572_864, "1.5 MiB"), (5 << 40, "5120.0 GiB")]
        {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".to_owned(), "long cell".to_owned()], vec!["bb".to_owned(), String::new()]];
        assert_eq!(table(&["X", "Y"], &rows), "X   Y\na   long cell\nbb");
    }
}
