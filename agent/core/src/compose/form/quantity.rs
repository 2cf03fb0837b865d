//! Amounts: bytes, processors, durations, process counts.

use super::FormError;

/// A year; a longer wait is a mistake, and the bound keeps sums of milliseconds far from overflow.
const DURATION_MS_MAX: u64 = 365 * 24 * 3600 * 1000;
/// 1 PiB; more is a mistake.
const BYTES_MAX: u64 = 1 << 50;
/// More processors than any board; more is a mistake.
const CPU_MILLI_MAX: u64 = 1024 * 1000;
/// The kernel's own bound on process numbers (`PID_MAX_LIMIT`).
const PIDS_MAX: i64 = 4 << 20;

/// A decimal number times `unit`, rounded down: "1.5" and 1024 make 1536. `None` where it is no plain decimal.
fn decimal(text: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits =
        |part: &str| !part.is_empty() && part.len() <= 18 && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole = whole.parse::<u128>().ok()?.checked_mul(u128::from(unit))?;
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let fraction = fraction.parse::<u128>().ok()?.checked_mul(u128::from(unit))? / scale;
    u64::try_from(whole.checked_add(fraction)?).ok()
}

/// Where the number ends and the unit begins.
fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    text.split_at(end)
}

/// `512`, `64m`, `1.5g`: bytes, in powers of 1024 as docker counts.
///
/// # Errors
/// Another form, 0, or more than 1 PiB.
pub fn parse_bytes(text: &str) -> Result<u64, FormError> {
    let rule = "want bytes above 0 with b, k, m or g, as 512m";
    let (number, unit) = split_unit(text.trim());
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return Err(FormError::new(text, rule)),
    };
    decimal(number, unit)
        .filter(|bytes| (1..=BYTES_MAX).contains(bytes))
        .ok_or_else(|| FormError::new(text, rule))
}

/// `0.5`: thousandths of a processor.
///
/// # Errors
/// Another form, less than a thousandth, or more than 1024.
pub fn parse_cpu_milli(text: &str) -> Result<u64, FormError> {
    decimal(text.trim(), 1000)
        .filter(|milli| (1..=CPU_MILLI_MAX).contains(milli))
        .ok_or_else(|| FormError::new(text, "want processors from 0.001 to 1024, as 0.5"))
}

/// `1m30s`: milliseconds. Units are `us`, `ms`, `s`, `m`, `h`; a bare `0` is allowed.
///
/// # Errors
/// Another form, or more than a year.
pub fn parse_duration_ms(text: &str) -> Result<u64, FormError> {
    let refuse = || FormError::new(text, "want a duration of at most a year, as 1m30s or 500ms");
    if text == "0" {
        return Ok(0);
    }
    let mut rest = text;
    let mut micros = 0_u64;
    while !rest.is_empty() {
        let (number, tail) = split_unit(rest);
        let end = tail.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let unit = match unit {
            "us" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            _ => return Err(refuse()),
        };
        micros = decimal(number, unit).and_then(|part| micros.checked_add(part)).ok_or_else(refuse)?;
        rest = tail;
    }
    let ms = micros / 1_000;
    if text.is_empty() || ms > DURATION_MS_MAX { Err(refuse()) } else { Ok(ms) }
}

/// `100`, or `-1` for no limit.
///
/// # Errors
/// Another form, or a count no kernel has.
pub fn parse_pids(text: &str) -> Result<i64, FormError> {
    match text.parse() {
        Ok(count) if count == -1 || (1..=PIDS_MAX).contains(&count) => Ok(count),
        _ => Err(FormError::new(text, "want a number of processes, or -1 for no limit")),
    }
}
