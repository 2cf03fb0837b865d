//! One run of a workload under a service manager, which starts the shim again where the policy wants that.

use std::time::Duration;

use coracle_core::restart::{AfterEnd, Ended, STOPPED, after_end, exit_status};
use coracle_host::supervise::{Again, Phase};

use super::{NOT_STARTED, Stop, Watch};
use crate::shim::error::{ShimError, chain};

/// Milliseconds that a client has who wants to hear the first byte.
const CLIENT_MS: u16 = 10_000;

impl Watch<'_> {
    /// Waits for the client that was announced.
    pub(in crate::shim) fn await_client(&mut self) {
        self.relay.await_client(CLIENT_MS);
    }

    /// Runs the workload once, after the pause that the shim before left; hands back the exit status that tells the
    /// service manager what is next. `on_started` is told when the workload's first process runs.
    ///
    /// # Errors
    /// [`ShimError`] where it does not start for the first time: then it is not started again by itself.
    pub(in crate::shim) fn run_once(&mut self, on_started: impl FnOnce()) -> Result<i32, ShimError> {
        let before = self.status.again.take();
        if let Some(Again { delay_ms, in_a_row }) = before {
            self.in_a_row = in_a_row;
            self.record(Phase::BackingOff);
            self.rest(Duration::from_millis(delay_ms))?;
            self.status.restarts = self.status.restarts.saturating_add(1);
        }
        if self.stop != Stop::NotAsked {
            self.record(Phase::Stopped);
            return Ok(STOPPED);
        }
        let (ended, over) = match self.start() {
            Ok(container) => {
                on_started();
                (self.tend(container)?, Phase::Exited)
            }
            Err(error) if before.is_none() => return Err(error),
            Err(error) => {
                self.status.error = Some(chain(&error));
                (Ended { exit_code: NOT_STARTED, ran_ms: 0 }, Phase::Failed)
            }
        };
        if self.stop != Stop::NotAsked {
            self.record(Phase::Stopped);
            return Ok(STOPPED);
        }
        let policy = self.frame.unit.workload.service.restart;
        let after = after_end(policy, ended, self.in_a_row);
        match after {
            AfterEnd::Stay => self.record(over),
            AfterEnd::StartAgain { delay_ms, in_a_row } => {
                self.status.again = Some(Again { delay_ms, in_a_row });
                self.record(Phase::BackingOff);
            }
        }
        Ok(exit_status(policy, after, ended.exit_code))
    }
}
