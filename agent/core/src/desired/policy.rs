//! How a document wants to pass.

use serde_json::{Number, Value};

use crate::compose::FailureAction;
use crate::fault::Fault;
use crate::fields::{Fields, identifier, schema};
use crate::gate::{self, Day, Mode, Window, Zone};
use crate::time::Timestamp;

/// Seconds over which a rollout may spread; beyond a month a percentage serves better.
const SPREAD_S_MAX: u64 = 31 * 86_400;
/// Seconds a health check or a soak may take; longer than a week is a mistake.
const PASSAGE_S_MAX: u64 = 7 * 86_400;
/// Windows of one policy.
const WINDOWS_MAX: usize = 32;
/// Seconds to become healthy where the document does not say.
const HEALTH_S: u64 = 120;
/// Seconds to stay healthy where the document does not say.
const SOAK_S: u64 = 10;
/// Attempts where the document does not say.
const ATTEMPTS: u64 = 3;

/// How a document wants to pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// When it may be downloaded and applied; `accepted_at` is the caller's to set.
    pub gate: gate::Policy,
    /// Rank among the groups of a device.
    pub priority: i64,
    /// Seconds in which it must become healthy.
    pub health_s: u64,
    /// Seconds it must stay healthy before it counts.
    pub soak_s: u64,
    /// How often it is tried.
    pub attempts: u32,
    /// What a failure calls for.
    pub on_failure: FailureAction,
}

impl Policy {
    /// Reads `policy`; `id` is the seed where none is written.
    pub(super) fn parse(mut fields: Fields, id: &str) -> Result<Self, Fault> {
        let download = download(fields.object("download")?)?;
        let gate = gates(&mut fields, id, download)?;
        let path = fields.path("priority");
        let priority = match fields.take("priority") {
            None => 0,
            Some(value) => value.as_i64().ok_or_else(|| schema(&path, "is not a whole number"))?,
        };
        let health_s = fields.number("health", 1, PASSAGE_S_MAX)?.unwrap_or(HEALTH_S);
        let soak_s = fields.number("soak", 0, PASSAGE_S_MAX)?.unwrap_or(SOAK_S);
        let attempts = fields.number("attempts", 1, 100)?.unwrap_or(ATTEMPTS);
        let attempts = u32::try_from(attempts).unwrap_or(1);
        let on_failure = match fields.text("onFailure")?.as_deref() {
            None | Some("rollback") => FailureAction::Rollback,
            Some("pause") => FailureAction::Pause,
            Some(_) => return Err(schema(&fields.path("onFailure"), "is not rollback or pause")),
        };
        fields.end()?;
        Ok(Self { gate, priority, health_s, soak_s, attempts, on_failure })
    }
}

/// Whether it may come outside a window, and how many bytes a second it may take.
fn download(mut fields: Fields) -> Result<(bool, u64), Fault> {
    let outside_window = fields.flag("outsideWindow")?.unwrap_or(false);
    let max_bps = fields.number("maxBps", 0, u64::MAX)?.unwrap_or(0);
    fields.end()?;
    Ok((outside_window, max_bps))
}

fn gates(fields: &mut Fields, id: &str, download: (bool, u64)) -> Result<gate::Policy, Fault> {
    let (download_outside_window, max_bps) = download;
    let mode = match fields.text("mode")?.as_deref() {
        None | Some("soft") => Mode::Soft,
        Some("force") => Mode::Force,
        Some("download") => Mode::Download,
        Some("confirm") => Mode::Confirm,
        Some(_) => return Err(schema(&fields.path("mode"), "is not soft, force, download or confirm")),
    };
    let path = fields.path("percent");
    let percent_hundredths = match fields.take("percent") {
        None => 10_000,
        Some(value) => value
            .as_number()
            .and_then(hundredths)
            .ok_or_else(|| schema(&path, "is not 0 to 100 with at most two decimals"))?,
    };
    let seed = match fields.text("seed")? {
        None => id.to_owned(),
        Some(seed) => identifier(&fields.path("seed"), seed)?,
    };
    Ok(gate::Policy {
        mode,
        percent_hundredths,
        seed,
        spread_s: fields.number("spread", 0, SPREAD_S_MAX)?.unwrap_or(0),
        accepted_at: Timestamp::default(),
        not_before: fields.number("notBefore", 0, u64::MAX)?.map(Timestamp),
        deadline: fields.number("deadline", 0, u64::MAX)?.map(Timestamp),
        windows: windows(fields)?,
        download_outside_window,
        hold: fields.flag("hold")?.unwrap_or(false),
        free_bytes: 0,
        max_bps,
    })
}

/// `12.5` is 1250; from the number's text, since a binary fraction is not exact.
fn hundredths(percent: &Number) -> Option<u32> {
    let text = percent.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 2 {
        return None;
    }
    let whole: u32 = whole.parse().ok().filter(|whole| *whole <= 100)?;
    let part: u32 = format!("{fraction:0<2}").parse().ok()?;
    Some(whole * 100 + part).filter(|sum| *sum <= 10_000)
}

fn windows(fields: &mut Fields) -> Result<Vec<Window>, Fault> {
    let path = fields.path("windows");
    let list = fields.list("windows")?;
    if list.len() > WINDOWS_MAX {
        return Err(schema(&path, &format!("holds more than {WINDOWS_MAX}")));
    }
    let read = |(i, value)| Fields::of(&format!("{path}[{i}]"), value).and_then(window);
    list.into_iter().enumerate().map(read).collect()
}

fn window(mut fields: Fields) -> Result<Window, Fault> {
    let path = fields.path("days");
    let day = |value: Value| {
        serde_json::from_value::<Day>(value).map_err(|_| schema(&path, "is not a list of Mon to Sun"))
    };
    let days = fields.list("days")?.into_iter().map(day).collect::<Result<_, _>>()?;
    let start = fields.text("start")?;
    let start_minute = minute_of_day(&fields.need("start", start)?)
        .ok_or_else(|| schema(&fields.path("start"), "is not a time as \"23:30\""))?;
    let minutes = fields.number("minutes", 1, 7 * 24 * 60)?;
    let minutes = u32::try_from(fields.need("minutes", minutes)?).unwrap_or(1);
    let zone = match fields.text("tz")? {
        None => Zone::default(),
        Some(text) => Zone::parse(&text).ok_or_else(|| {
            schema(
                &fields.path("tz"),
                "is not a time zone as \"Europe/Berlin\" or \"CET-1CEST,M3.5.0,M10.5.0/3\"",
            )
        })?,
    };
    fields.end()?;
    Ok(Window { days, start_minute, minutes, zone })
}

fn minute_of_day(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |part: &str, below: u32| {
        let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse::<u32>().ok())?.filter(|n| *n < below)
    };
    Some(two(hours, 24)? * 60 + two(minutes, 60)?)
}
