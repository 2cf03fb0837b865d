//! PAX extended headers (POSIX.1-2017, pax, "pax Extended Header").

use super::error::{Refusal, Result};

/// A point in time of a file, before or after 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct FileTime {
    pub(super) seconds: i64,
    /// Added to the seconds, also before 1970.
    pub(super) nanoseconds: i64,
}

/// What an extended header says of the entry after it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<FileTime>,
    /// Extended attributes, in the order given; a name given twice keeps the later value.
    pub(super) attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";

/// Parses `LENGTH KEY=VALUE\n` records. Values are bytes: a capability set may hold any, newlines too.
pub(super) fn parse(mut rest: &[u8]) -> Result<Pax> {
    let mut pax = Pax::default();
    while !rest.is_empty() {
        let space =
            rest.iter().take(MAX_DIGITS).position(|byte| *byte == b' ').ok_or(Refusal::Pax("no length"))?;
        let length = rest.get(..space).and_then(number).ok_or(Refusal::Pax("no length"))?;
        let length = usize::try_from(length).map_err(|_| Refusal::Pax("a length is wrong"))?;
        let record = rest.get(space + 1..length).ok_or(Refusal::Pax("a length is wrong"))?;
        rest = rest.get(length..).unwrap_or_default();
        let Some((b'\n', record)) = record.split_last() else {
            return Err(Refusal::Pax("a length is wrong").into());
        };
        let equals =
            record.iter().position(|byte| *byte == b'=').ok_or(Refusal::Pax("a record has no \"=\""))?;
        let (key, value) = record.split_at(equals);
        pax.take(key, value.get(1..).unwrap_or_default())?;
    }
    Ok(pax)
}

/// Digits of a record's length, and the space after them.
/// Attributes of one entry, repeated ones included; each is compared with all before it, and real files have one or two.
const ATTRIBUTES_MAX: usize = 256;
const MAX_DIGITS: usize = 12;

impl Pax {
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if let Some(name) = key.strip_prefix(ATTRIBUTE) {
            if name.is_empty() || name.contains(&0) {
                return Err(Refusal::Pax("an attribute has no valid name").into());
            }
            if self.attributes.len() == ATTRIBUTES_MAX {
                return Err(Refusal::Pax("more attributes than a file has").into());
            }
            self.attributes.retain(|(known, _)| known != name);
            self.attributes.push((name.to_vec(), value.to_vec()));
            return Ok(());
        }
        if key.starts_with(b"GNU.sparse.") {
            return Err(Refusal::PaxSparse.into());
        }
        // An empty value takes back what was said before.
        let given = !value.is_empty();
        let number = || number(value);
        match key {
            b"path" => self.path = given.then(|| value.to_vec()),
            b"linkpath" => self.link = given.then(|| value.to_vec()),
            b"size" if given => self.size = Some(number().ok_or(Refusal::Pax("size is no number"))?),
            b"size" => self.size = None,
            b"uid" if given => self.uid = Some(number().ok_or(Refusal::Pax("uid is no number"))?),
            b"uid" => self.uid = None,
            b"gid" if given => self.gid = Some(number().ok_or(Refusal::Pax("gid is no number"))?),
            b"gid" => self.gid = None,
            b"mtime" if given => self.mtime = Some(time(value).ok_or(Refusal::Pax("mtime is no time"))?),
            b"mtime" => self.mtime = None,
            // Names of owners, comments, other times: nothing that a board keeps.
            _ => {}
        }
        Ok(())
    }
}

fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

/// Decimal seconds with a sign and a fraction; digits finer than a nanosecond are dropped.
fn time(text: &[u8]) -> Option<FileTime> {
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |text| (true, text));
    let point = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
    let (whole, fraction) = text.split_at(point);
    let fraction = fraction.get(1..).unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = i64::try_from(number(whole)?).ok()?;
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanoseconds = digits.fold(0_i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    Some(match (negative, nanoseconds) {
        (false, _) => FileTime { seconds, nanoseconds },
        (true, 0) => FileTime { seconds: -seconds, nanoseconds: 0 },
        (true, _) => FileTime { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &[u8]) -> Vec<u8> {
        let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
        // Two digits and the rest; records here are between 10 and 99 bytes.
        [(rest.len() + 2).to_string().as_bytes(), &rest].concat()
    }

    #[test]
    fn records_are_read_by_their_length_whatever_bytes_they_hold() {
        let binary = b"\x01\0\n\xff=\x00..";
        let records =
            [record("path", b"a\nb=c"), record("SCHILY.xattr.security.x", binary), record("size", b"123")];
        let pax = parse(&records.concat()).unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a\nb=c"[..]));
        assert_eq!(pax.size, Some(123));
        assert_eq!(pax.attributes, [(b"security.x".to_vec(), binary.to_vec())]);
    }

    #[test]
    fn an_empty_value_takes_back_and_a_later_one_replaces() {
        let records = [
            record("path", b"some name"),
            b"8 path=\n".to_vec(),
            record("SCHILY.xattr.u", b"1"),
            record("SCHILY.xattr.u", b"2"),
        ];
        let pax = parse(&records.concat()).unwrap();
        assert_eq!(pax.path, None);
        assert_eq!(pax.attributes, [(b"u".to_vec(), b"2".to_vec())]);
    }

    #[test]
    fn many_attributes_are_refused_before_they_cost_time() {
        let many = |count: usize| (0..count).flat_map(|n| record(&format!("SCHILY.xattr.user.{n:05}"), b"v"));
        assert!(parse(&many(ATTRIBUTES_MAX).collect::<Vec<_>>()).is_ok());
        assert!(parse(&many(ATTRIBUTES_MAX + 1).collect::<Vec<_>>()).is_err());
    }

    #[test]
    fn malformed_records_are_refused() {
        let bad: [&[u8]; 9] = [
            b"x",
            b"5 a=b",
            b"99 a=b\n",
            b"3 a=b\n",
            b"0 a=b\n",
            b"5 abc\n",
            b"99999999999999999999 a=b\n",
            b"11 size=-1\n",
            b"\0\0\0\0",
        ];
        for records in bad {
            assert!(parse(records).is_err(), "{}", records.escape_ascii());
        }
    }

    #[test]
    fn times_may_be_fractions_and_before_1970() {
        for (text, seconds, nanoseconds) in [
            ("0", 0, 0),
            ("1350244992.023960108", 1_350_244_992, 23_960_108),
            ("1.5", 1, 500_000_000),
            ("1.", 1, 0),
            ("-1", -1, 0),
            ("-1.25", -2, 750_000_000),
            ("1.0000000019", 1, 1),
        ] {
            assert_eq!(time(text.as_bytes()), Some(FileTime { seconds, nanoseconds }), "{text}");
        }
        for bad in ["", "-", ".5", "1.x", "+1", "99999999999999999999"] {
            assert_eq!(time(bad.as_bytes()), None, "{bad}");
        }
    }
}
