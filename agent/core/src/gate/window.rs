//! Weekly windows, each in the time zone that its document names.

use serde::{Deserialize, Serialize};

use super::Zone;
use crate::time::Timestamp;

/// The last second whose year has four digits.
const YEAR_9999_S: u64 = 253_402_300_799;

/// A day of the week, as documents write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // The days explain themselves.
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    /// The day of the week of a day counted from 1970-01-01, a Thursday.
    fn of(days: i64) -> Self {
        match days.rem_euclid(7) {
            0 => Self::Thu,
            1 => Self::Fri,
            2 => Self::Sat,
            3 => Self::Sun,
            4 => Self::Mon,
            5 => Self::Tue,
            _ => Self::Wed,
        }
    }
}

/// A time of the week; may pass midnight. It stays open for so many real minutes, also over a night in which the
/// clocks are changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The days on which it opens; every day where empty.
    pub days: Vec<Day>,
    /// Minutes after midnight at which it opens.
    pub start_minute: u32,
    /// How long it stays open.
    pub minutes: u32,
    /// Whose days and clocks these are.
    #[serde(default)]
    pub zone: Zone,
}

/// When the next of `windows` opens; `None` when one is open, or when there are none.
pub(super) fn opens(windows: &[Window], now: Timestamp) -> Option<Timestamp> {
    if windows.is_empty() {
        return None;
    }
    let mut soonest = None;
    for window in windows {
        // A zone that cannot be read keeps its window closed.
        let Some(today) = window.zone.day(now) else { continue };
        // A window that opened up to a week ago may still be open; one opens within the next eight days.
        for day in today.saturating_sub(8)..=today.saturating_add(8) {
            if !window.days.is_empty() && !window.days.contains(&Day::of(day)) {
                continue;
            }
            let Some(start) = window.zone.moment(day, window.start_minute) else { continue };
            if start <= now && now < start.after(u64::from(window.minutes) * 60) {
                return None;
            }
            if start > now {
                soonest = Some(soonest.map_or(start, |s: Timestamp| s.min(start)));
            }
        }
    }
    // A window that never opens still closes the gate.
    Some(soonest.unwrap_or(Timestamp(u64::MAX)))
}

/// `2026-09-12T23:30Z`; a moment beyond all calendars is `never`.
pub(super) fn iso_minute(at: Timestamp) -> String {
    if at.0 > YEAR_9999_S {
        return "never".to_owned();
    }
    let text = at.rfc3339();
    text.get(..16).map_or_else(|| text.clone(), |minute| format!("{minute}Z"))
}
