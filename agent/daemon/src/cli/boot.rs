//! `coracle boot`: starts what this board should run, from what is on its disk alone.

use coracle_core::rollout::Rollout;

use super::{context, out};
use crate::config::Settings;
use crate::engine::Journal;
use crate::exit::{Exit, Failure, chain};
use crate::local;

/// Starts the deployment that the journal holds, and what people want back. Everything that can be started is.
pub(super) fn boot(settings: &Settings) -> Result<Exit, Failure> {
    let store = context::store(settings)?;
    let units = context::units(settings, &store)?;
    let mut complaints = Vec::new();
    let rollout = Journal::peek(&settings.state_dir).map(|record| record.rollout).unwrap_or_else(|error| {
        // The agent puts a damaged one aside; what people run by hand has nothing to do with it.
        complaints.push(chain(&error));
        Rollout::default()
    });
    // As the agent itself: the candidate where one has taken the place of what is good.
    let target = rollout.on_trial().or(rollout.active.as_ref());
    let (count, failed) = units.begin(target, &local::all(&settings.state_dir));
    complaints.extend(failed.iter().map(|error| chain(error)));
    for complaint in &complaints {
        out::note(format_args!("coracle: {complaint}"));
    }
    out::line(format_args!("{count} workloads to start"));
    match complaints.len() {
        0 => Ok(Exit::Done),
        problems => Err(Failure::unexpected(format!("{problems} problems; the agent tries again"))),
    }
}
