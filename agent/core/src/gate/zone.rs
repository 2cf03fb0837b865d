//! The zone that a window's times are written in.
//!
//! A zone is kept as the rule of POSIX (IEEE 1003.1, "TZ"; RFC 9636, 3.3.1), which says how far local time is from UTC
//! and when daylight saving begins and ends. It is taken from the board's own table once, when a document is accepted:
//! a window then means the same hours until the next document, whatever happens to the table.

use std::fmt;

use jiff_core::civil::{DateTime, Time, UnixEpochDay};
use jiff_core::tz::posix::TimeZone;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Characters of a name or a rule: the longest of either has less than 50.
const CHARS_MAX: usize = 100;
const UTC: &str = "UTC";
const UTC_RULE: &str = "UTC0";

/// A time zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// As the document has it: `UTC`, `Europe/Berlin` or a rule.
    pub name: String,
    /// The rule of POSIX, `CET-1CEST,M3.5.0,M10.5.0/3`; empty for a name that nobody has looked up yet.
    pub rule: String,
}

impl Default for Zone {
    fn default() -> Self {
        Self { name: UTC.to_owned(), rule: UTC_RULE.to_owned() }
    }
}

impl Zone {
    /// Reads the written form. A name of the time zone database has no rule yet; [`Zone::ruled`] gives it one.
    /// `None` for what is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let short = !text.is_empty() && text.len() <= CHARS_MAX;
        if text == UTC {
            return Some(Self::default());
        }
        let name = |rule: &str| Self { name: text.to_owned(), rule: rule.to_owned() };
        if short && TimeZone::parse(text).is_ok() {
            return Some(name(text));
        }
        (short && is_name(text)).then(|| name(""))
    }

    /// Whether its rule is still to be looked up.
    #[must_use]
    pub fn is_unruled(&self) -> bool {
        self.rule.is_empty()
    }

    /// The zone with its rule; `None` where that is none.
    #[must_use]
    pub fn ruled(self, rule: &str) -> Option<Self> {
        let fits = rule.len() <= CHARS_MAX && TimeZone::parse(rule).is_ok();
        fits.then(|| Self { rule: rule.to_owned(), ..self })
    }

    /// The day, counted from 1970-01-01, that it is there at `now`.
    pub(super) fn day(&self, now: Timestamp) -> Option<i64> {
        let rule = TimeZone::parse(&self.rule).ok()?;
        let second = i64::try_from(now.0).ok()?;
        let at = jiff_core::Timestamp::from_second(second).ok()?;
        let local = second.checked_add(i64::from(rule.to_offset(at).seconds()))?;
        Some(local.div_euclid(86_400))
    }

    /// When it is `minute` minutes after midnight there, on a day counted from 1970-01-01. A time that the clocks leap
    /// over counts as so much later; of one that they show twice, the first counts.
    pub(super) fn moment(&self, day: i64, minute: u32) -> Option<Timestamp> {
        let rule = TimeZone::parse(&self.rule).ok()?;
        let date = UnixEpochDay::new(i32::try_from(day).ok()?).ok()?.to_date();
        let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
        let local = DateTime::from_parts(date, Time::new(hour, minute, 0, 0).ok()?);
        let at = rule.to_ambiguous_timestamp(local).compatible().ok()?;
        u64::try_from(at.as_second()).ok().map(Timestamp)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Whether `text` can be a name of the database: it becomes part of a path.
fn is_name(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+');
    text.split('/').all(|part| part.starts_with(|c: char| c.is_ascii_alphabetic()) && part.chars().all(legal))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

    fn berlin() -> Zone {
        Zone::parse("Europe/Berlin").unwrap().ruled(BERLIN).unwrap()
    }

    #[test]
    fn a_zone_is_utc_a_name_or_a_rule() {
        assert_eq!(Zone::parse("UTC"), Some(Zone::default()));
        assert_eq!(Zone::parse(BERLIN).unwrap().rule, BERLIN);
        assert_eq!(Zone::parse("<-03>3").unwrap().rule, "<-03>3");
        assert!(Zone::parse("America/Argentina/Buenos_Aires").unwrap().is_unruled());
        assert!(Zone::parse("Etc/GMT+5").unwrap().is_unruled());
        for bad in ["", "../etc/passwd", "/etc/localtime", "Europe/", "a b", "Europe/.x", &"A".repeat(101)] {
            assert_eq!(Zone::parse(bad), None, "{bad:?}");
        }
        assert_eq!(Zone::parse("Europe/Berlin").unwrap().ruled("nonsense,"), None);
    }

    #[test]
    fn days_begin_at_the_zones_own_midnight() {
        // 2026-07-01T22:00Z is midnight in Berlin.
        let midnight = 1_782_943_200;
        assert_eq!(berlin().day(Timestamp(midnight)), Some(20_636));
        assert_eq!(berlin().day(Timestamp(midnight - 1)), Some(20_635));
        // West of Greenwich it was still 1969.
        assert_eq!(Zone::parse("EST5").unwrap().day(Timestamp(0)), Some(-1));
    }

    #[track_caller]
    fn check(day: i64, minute: u32, utc: &str) {
        assert_eq!(berlin().moment(day, minute).unwrap().rfc3339(), utc);
    }

    #[test]
    fn daylight_saving_moves_the_moment_and_never_loses_it() {
        // 2026-03-29: 02:00 becomes 03:00.
        check(20_541, 90, "2026-03-29T00:30:00Z");
        check(20_541, 150, "2026-03-29T01:30:00Z");
        check(20_541, 210, "2026-03-29T01:30:00Z");
        // 2026-10-25: 03:00 becomes 02:00 again.
        check(20_751, 90, "2026-10-24T23:30:00Z");
        check(20_751, 150, "2026-10-25T00:30:00Z");
        check(20_751, 210, "2026-10-25T02:30:00Z");
    }
}
