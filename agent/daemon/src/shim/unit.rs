//! The shim as the main process of a unit: what it takes over from the one before it, and what the service manager
//! hears of it.

use std::io::Write as _;

use coracle_core::ident::WorkloadId;
use coracle_core::restart::STAYS_ENDED;
use coracle_host::cgroup;
use coracle_host::notify::{Notice, Notifier};
use coracle_host::supervise::{Again, Journal, Phase, SHIM_WAIT_FILE, Status};

use super::container::Frame;
use super::error::{ShimError, chain, system};
use super::watch::Watch;

/// The shim's own group within the unit's, beside the container's.
const SHIM_GROUP: &str = "shim";

/// Makes room for the container in the unit's control group; hands back that group.
pub(super) fn group() -> Result<String, ShimError> {
    cgroup::step_aside(SHIM_GROUP).map_err(system("control group"))
}

/// The status to begin with. A place that was just made, or whose workload had come to an end, begins anew; else this
/// is a restart, which was foreseen unless the shim before was killed.
pub(super) fn resumed(before: Option<Status>, id: &WorkloadId) -> Status {
    let fresh = Status::starting(id);
    let Some(before) = before else { return fresh };
    match before.phase {
        Phase::Starting if before.started_at.is_none() => fresh,
        Phase::Stopped | Phase::Exited | Phase::Failed | Phase::Lost => fresh,
        Phase::Starting | Phase::Running | Phase::BackingOff | Phase::Stopping => {
            let unforeseen = Again { delay_ms: 0, in_a_row: 1 };
            Status {
                phase: Phase::Starting,
                again: Some(before.again.unwrap_or(unforeseen)),
                pid: None,
                pid_ticks: None,
                health: None,
                ..before
            }
        }
    }
}

/// Runs the workload once, and tells the service manager how it is; the exit status says what is next.
pub(super) fn run(frame: &Frame, status: &mut Status) -> Result<i32, ShimError> {
    let manager = Notifier::from_environment().ok().flatten();
    let tell = |notices: &[Notice<'_>]| {
        // Who does not listen sees the process itself.
        if let Some(manager) = &manager {
            let _ = manager.tell(notices);
        }
    };
    let journal = Journal::inherited().map_err(system("journal"))?;
    if let Some(Again { delay_ms, .. }) = status.again {
        let ended = status.exit_code.map_or_else(String::new, |code| format!(" after exit code {code}"));
        tell(&[Notice::Status(&format!("restart {} in {delay_ms} ms{ended}", status.restarts + 1))]);
    }
    let mut watch = Watch::begin(frame, None, Some(journal), status)?;
    if std::fs::remove_file(frame.place.join(SHIM_WAIT_FILE)).is_ok() {
        watch.await_client();
    }
    watch.run_once(|| tell(&[Notice::Ready, Notice::Status("running")]))
}

/// Says why the workload cannot run; hands back the exit status that keeps the service manager from trying again.
pub(super) fn give_up(error: &ShimError) -> i32 {
    let _ = writeln!(std::io::stderr(), "{}", chain(error));
    STAYS_ENDED
}

#[cfg(test)]
mod tests {
    use super::*;
    use coracle_core::time::Timestamp;

    #[track_caller]
    fn check(phase: Phase, started: bool, left: Option<Again>, expected: Option<Again>) {
        let id = WorkloadId::parse("a.b").unwrap();
        let before = Status {
            phase,
            restarts: 3,
            started_at: started.then_some(Timestamp(9)),
            pid: Some(7),
            again: left,
            ..Status::starting(&id)
        };
        let now = resumed(Some(before), &id);
        assert_eq!((now.phase, now.pid), (Phase::Starting, None), "{phase:?}");
        assert_eq!(now.again, expected, "{phase:?}");
        assert_eq!(now.restarts, if expected.is_some() { 3 } else { 0 }, "{phase:?}");
        assert!(expected.is_some() || now == Status::starting(&id), "{phase:?}");
    }

    #[test]
    fn a_shim_goes_on_where_the_one_before_it_stood() {
        let left = Again { delay_ms: 400, in_a_row: 3 };
        check(Phase::BackingOff, true, Some(left), Some(left));
        // Killed, or the board's memory ran out: nobody left a word.
        let unforeseen = Again { delay_ms: 0, in_a_row: 1 };
        check(Phase::Running, true, None, Some(unforeseen));
        check(Phase::Stopping, true, None, Some(unforeseen));
        check(Phase::Starting, true, None, Some(unforeseen));
        check(Phase::Starting, false, None, None);
        for over in [Phase::Stopped, Phase::Exited, Phase::Failed] {
            check(over, true, None, None);
        }
        let id = WorkloadId::parse("a.b").unwrap();
        assert_eq!(resumed(None, &id), Status::starting(&id));
    }
}
