//! Whether a workload whose process ended is started again, and after which delay.

use crate::compose::Restart;

/// Milliseconds before the first start after an end; short, because most ends are a single stumble.
pub const DELAY_FIRST_MS: u64 = 100;
/// Milliseconds that the doubling stops at; a broken workload costs two starts a minute.
pub const DELAY_MAX_MS: u64 = 30_000;
/// Milliseconds of running after which an end counts as the first one again.
pub const HEALTHY_RUN_MS: u64 = 10_000;

/// One run of a workload that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; 128 plus the signal's number where a signal ended it.
    pub exit_code: i32,
    /// Milliseconds it ran.
    pub ran_ms: u64,
}

/// What the end of a run calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterEnd {
    /// It stays ended.
    Stay,
    /// It is started again.
    StartAgain {
        /// Milliseconds to wait first.
        delay_ms: u64,
        /// Restarts without a healthy run between them, this one included; handed in at the next end.
        in_a_row: u32,
    },
}

/// Applies `policy` to a run that `ended` after `in_a_row` restarts without a healthy run.
#[must_use]
pub fn after_end(policy: Restart, ended: Ended, in_a_row: u32) -> AfterEnd {
    let in_a_row = if ended.ran_ms >= HEALTHY_RUN_MS { 0 } else { in_a_row };
    let again = match policy {
        Restart::No => false,
        Restart::Always | Restart::UnlessStopped => true,
        Restart::OnFailure { max } => ended.exit_code != 0 && max.is_none_or(|max| in_a_row < max),
    };
    if !again {
        return AfterEnd::Stay;
    }
    let doubled = DELAY_FIRST_MS.saturating_mul(1u64.checked_shl(in_a_row).unwrap_or(u64::MAX));
    AfterEnd::StartAgain { delay_ms: doubled.min(DELAY_MAX_MS), in_a_row: in_a_row.saturating_add(1) }
}

/// The exit status by which a shim tells the service manager that its workload stays ended, whatever its unit says of
/// restarts.
pub const STAYS_ENDED: i32 = 99;
/// The same where it was asked to end: that is no failure, whoever asked.
pub const STOPPED: i32 = 98;

/// The exit status of a shim that ran its workload once and leaves the next start to the service manager, whose unit
/// restarts by `policy`. As far as may be it is the workload's own.
#[must_use]
pub fn exit_status(policy: Restart, after: AfterEnd, exit_code: i32) -> i32 {
    match (after, policy) {
        (AfterEnd::Stay, Restart::OnFailure { .. }) if exit_code != 0 => STAYS_ENDED,
        (AfterEnd::StartAgain { .. } | AfterEnd::Stay, _) if [STAYS_ENDED, STOPPED].contains(&exit_code) => 1,
        (AfterEnd::StartAgain { .. } | AfterEnd::Stay, _) => exit_code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(policy: Restart, exit_code: i32, ran_ms: u64, in_a_row: u32, expected: Option<(u64, u32)>) {
        let decided = after_end(policy, Ended { exit_code, ran_ms }, in_a_row);
        let expected = expected
            .map_or(AfterEnd::Stay, |(delay_ms, in_a_row)| AfterEnd::StartAgain { delay_ms, in_a_row });
        assert_eq!(decided, expected);
    }

    #[test]
    fn the_policy_decides_by_exit_code() {
        check(Restart::No, 1, 0, 0, None);
        check(Restart::Always, 0, 0, 0, Some((100, 1)));
        check(Restart::UnlessStopped, 0, 0, 0, Some((100, 1)));
        check(Restart::OnFailure { max: None }, 0, 0, 0, None);
        check(Restart::OnFailure { max: None }, 137, 0, 900, Some((30_000, 901)));
        check(Restart::OnFailure { max: Some(2) }, 1, 0, 1, Some((200, 2)));
        check(Restart::OnFailure { max: Some(2) }, 1, 0, 2, None);
        check(Restart::OnFailure { max: Some(0) }, 1, 0, 0, None);
    }

    #[test]
    fn the_delay_doubles_to_a_bound_and_a_healthy_run_forgives() {
        check(Restart::Always, 1, 0, 3, Some((800, 4)));
        check(Restart::Always, 1, 0, 9, Some((30_000, 10)));
        check(Restart::Always, 1, 9_999, 64, Some((30_000, 65)));
        check(Restart::Always, 1, 0, u32::MAX, Some((30_000, u32::MAX)));
        check(Restart::Always, 1, 10_000, 64, Some((100, 1)));
        check(Restart::OnFailure { max: Some(2) }, 1, 10_000, 2, Some((100, 1)));
    }

    #[test]
    fn a_shims_exit_status_says_what_the_policy_says() {
        let again = AfterEnd::StartAgain { delay_ms: 100, in_a_row: 1 };
        let counted = Restart::OnFailure { max: Some(1) };
        for (policy, after, exit_code, expected) in [
            (Restart::Always, again, 0, 0),
            (Restart::Always, again, 7, 7),
            (Restart::Always, again, STAYS_ENDED, 1),
            (counted, again, 7, 7),
            (counted, AfterEnd::Stay, 7, STAYS_ENDED),
            (counted, AfterEnd::Stay, 0, 0),
            (Restart::No, AfterEnd::Stay, 7, 7),
            (Restart::No, AfterEnd::Stay, STAYS_ENDED, 1),
            (Restart::No, AfterEnd::Stay, STOPPED, 1),
        ] {
            assert_eq!(exit_status(policy, after, exit_code), expected, "{policy:?} {after:?} {exit_code}");
        }
    }
}
