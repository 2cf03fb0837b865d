//! Weekly windows in UTC.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

const DAY_S: u64 = 86_400;

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
    fn of(days: u64) -> Self {
        match days % 7 {
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

/// A time of the week; may pass midnight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The days on which it opens; every day where empty.
    pub days: Vec<Day>,
    /// Minutes after midnight UTC at which it opens.
    pub start_minute: u32,
    /// How long it stays open.
    pub minutes: u32,
}

/// When the next of `windows` opens; `None` when one is open, or when there are none.
pub(super) fn opens(windows: &[Window], now: Timestamp) -> Option<Timestamp> {
    if windows.is_empty() {
        return None;
    }
    let today = now.0 / DAY_S;
    let mut soonest = None;
    for window in windows {
        // A window that opened up to a week ago may still be open; one opens within the next eight days.
        for day in today.saturating_sub(7)..=today.saturating_add(8) {
            if !window.days.is_empty() && !window.days.contains(&Day::of(day)) {
                continue;
            }
            let start = Timestamp(day * DAY_S + u64::from(window.start_minute) * 60);
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

/// `2026-09-12T23:30Z`, after the civil-from-days method: years of 365.2425 days that start on 1 March.
pub(super) fn iso_minute(at: Timestamp) -> String {
    let (days, seconds) = (at.0 / DAY_S, at.0 % DAY_S);
    if days > 2_932_896 {
        return "never".to_owned(); // Beyond the year 9999.
    }
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60)
}
