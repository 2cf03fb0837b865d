//! The health of one run of a workload, as a function of what its checks said and when (compose-spec, "healthcheck").
//!
//! Docker's rules: a check that fails `retries` times in a row makes it unhealthy, one that passes makes it healthy,
//! and failures of checks begun in the start period count for nothing while it was never healthy. Two things go
//! beyond them. Until the first check that counts, earlier ones are run whose failures count for nothing, so that
//! what is ready soon is known soon. And what passes and fails in turn is unhealthy although it never fails often
//! enough in a row.
//!
//! Invariant: time is handed in, as milliseconds since the workload's process was started.

use serde::{Deserialize, Serialize};

use crate::compose::{Probed, Service, Timing};
use crate::oci::config::ExecConfig;

/// Characters kept of what a check said; what goes wrong stands in its last lines.
pub const SAID_CHARS_MAX: usize = 256;
/// Results that are remembered to see flapping.
pub const RECENT_MAX: u32 = 16;
/// Falls from passing to failing among them that are called flapping.
pub const FALLS_MAX: u32 = 3;
/// Milliseconds to the first of the early checks; the pauses between them double.
const EARLY_FIRST_MS: u64 = 500;
/// Milliseconds that the doubling stops at: docker's start interval.
const EARLY_MAX_MS: u64 = 5_000;

/// How a workload with checks is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// No check has passed yet, and not enough have failed.
    Starting,
    /// The last checks passed, or too few failed since.
    Healthy,
    /// Too many checks in a row failed, or it flaps.
    Unhealthy,
}

/// What a check does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// Runs a program in the container; exit code 0 passes.
    Command(Vec<String>),
    /// Asks the container's network.
    Probe(Probed),
}

/// The check of a workload and its times: the service's own, else the image's; `None` where there is none.
#[must_use]
pub fn check(service: &Service, exec: &ExecConfig) -> Option<(Check, Timing)> {
    if let Some(probe) = &service.probe {
        return Some((Check::Probe(probe.probed.clone()), probe.timing));
    }
    let check = service.healthcheck.as_ref().or(exec.healthcheck.as_ref())?;
    Some((Check::Command(command(&check.test)?), check.timing()))
}

/// The command of a test; `None` where there is nothing to run.
fn command(test: &[String]) -> Option<Vec<String>> {
    let (kind, rest) = test.split_first()?;
    match (kind.as_str(), rest) {
        ("CMD", [_, ..]) => Some(rest.to_vec()),
        ("CMD-SHELL", [line]) => Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()]),
        _ => None,
    }
}

/// What the checks of one run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// How it is.
    pub state: State,
    /// Failures in a row that count.
    pub streak: u32,
    /// The last results, the newest in the lowest bit; 1 is a pass. Begins with the first pass.
    recent: u16,
    /// Early checks so far.
    early: u32,
}

impl Default for Health {
    fn default() -> Self {
        Self { state: State::Starting, streak: 0, recent: 0, early: 0 }
    }
}

impl Health {
    /// Its health after a check that was begun at `began_ms`.
    #[must_use]
    pub fn after(self, timing: &Timing, passed: bool, began_ms: u64) -> Self {
        let spared = self.state == State::Starting && began_ms < spared_ms(timing);
        let early = if spared { self.early.saturating_add(1) } else { self.early };
        let streak = match (passed, spared) {
            (true, _) => 0,
            (false, true) => self.streak,
            (false, false) => self.streak.saturating_add(1),
        };
        let recent = (self.recent << 1) | u16::from(passed);
        let now = Self { state: self.state, streak, recent, early };
        let state = if now.flaps() || streak >= timing.retries {
            State::Unhealthy
        } else if passed {
            State::Healthy
        } else {
            self.state
        };
        Self { state, ..now }
    }

    /// Whether it passed and failed in turn of late.
    #[must_use]
    pub fn flaps(&self) -> bool {
        self.falls() >= FALLS_MAX
    }

    /// Falls from passing to failing among the results that are remembered.
    #[must_use]
    pub fn falls(&self) -> u32 {
        ((self.recent >> 1) & !self.recent).count_ones()
    }

    /// Milliseconds from the end of the last check, or from the start, to the next one, at `now_ms`.
    #[must_use]
    pub fn pause_ms(&self, timing: &Timing, now_ms: u64) -> u64 {
        let spared = spared_ms(timing);
        if self.state != State::Starting || now_ms >= spared {
            return timing.interval_ms;
        }
        let doubled = EARLY_FIRST_MS.saturating_mul(1u64.checked_shl(self.early).unwrap_or(u64::MAX));
        let early = timing.start_interval_ms.unwrap_or_else(|| doubled.min(EARLY_MAX_MS));
        // The first check that counts comes when docker has it.
        early.min(timing.interval_ms).min(spared - now_ms)
    }
}

/// Milliseconds after the start in which no failure counts: the start period, and all the time before docker's first
/// check.
fn spared_ms(timing: &Timing) -> u64 {
    timing.start_period_ms.max(timing.interval_ms)
}

/// The end of what a check wrote, on one line and as much as is kept.
#[must_use]
pub fn said(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let surplus = words.chars().count().saturating_sub(SAID_CHARS_MAX);
    words.chars().skip(surplus).filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests;
