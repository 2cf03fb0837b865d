//! The board's time zone database: what rule a name stands for today.

use std::io;
use std::path::Path;

use crate::files;

/// Where distributions install it.
pub const DATABASE: &str = "/usr/share/zoneinfo";
/// Bytes of one zone's file; the largest has less than 4 KiB.
const FILE_BYTES_MAX: u64 = 64 << 10;
const MAGIC: &[u8] = b"TZif";

/// The rule of POSIX that closes the file of zone `name` (RFC 9636, 3.3): what holds after the last change that the
/// file lists. `name` is a name that core has checked. `None` where there is no such zone, or its file has no rule.
///
/// # Errors
/// That of the file system.
pub fn rule(database: &Path, name: &str) -> io::Result<Option<String>> {
    let bytes = files::read_bounded(&database.join(name), FILE_BYTES_MAX);
    match bytes {
        Ok(bytes) => Ok(bytes.as_deref().and_then(footer)),
        // A name that is a directory is no zone.
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Ok(None),
        Err(error) => Err(error),
    }
}

/// The text between the last two line ends; files of version 1 have none.
fn footer(file: &[u8]) -> Option<String> {
    let body = file.strip_prefix(MAGIC)?.strip_suffix(b"\n")?;
    let start = body.iter().rposition(|byte| *byte == b'\n')?.checked_add(1)?;
    let rule = std::str::from_utf8(body.get(start..)?).ok()?;
    (!rule.is_empty()).then(|| rule.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_the_last_line_of_a_zones_file() {
        assert_eq!(
            footer(b"TZif2...\0\n\x01\nCET-1CEST,M3.5.0,M10.5.0/3\n").as_deref(),
            Some("CET-1CEST,M3.5.0,M10.5.0/3")
        );
        assert_eq!(footer(b"TZif2...\n\n"), None);
        assert_eq!(footer(b"TZif\0no rule"), None);
        assert_eq!(footer(b"#!/bin/sh\nUTC0\n"), None);
    }

    #[test]
    fn what_is_not_there_is_no_zone() {
        assert_eq!(rule(Path::new("/nonexistent"), "Europe/Berlin").unwrap(), None);
        assert_eq!(rule(Path::new("/"), "tmp").unwrap(), None);
    }
}
