//! `coracle boot`: starts what this board should run, from what is on its disk alone.

use std::time::{Duration, Instant};

use super::{context, out};
use crate::config::Settings;
use crate::engine::Journal;
use crate::exit::{Exit, Failure, chain};
use crate::{local, saved};

/// How long others may take to be healthy or to complete, for those that wait for it; then the agent goes on with that,
/// and it must not be kept from its start for longer.
const CONDITIONS_MAX: Duration = Duration::from_secs(60);
/// Between two looks at them.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Starts the deployment that the journal holds, and what people want back. Everything that can be started is.
pub(super) fn boot(settings: &Settings) -> Result<Exit, Failure> {
    let store = context::store(settings)?;
    let units = context::units(settings, &store)?;
    context::frees_workloads(&units.supervisor, settings)?;
    let mut complaints = Vec::new();
    // The agent puts a damaged one aside; what people run by hand has nothing to do with it.
    let (record, why) = Journal::for_boot(&settings.state_dir);
    let rollout = record.rollout;
    complaints.extend(why);
    // As the agent itself: the candidate where one has taken the place of what is good.
    let target = rollout.on_trial().or(rollout.active.as_ref());
    let others = saved::newer(settings).into_iter().filter(|form| !form.path.ends_with("journal"));
    complaints.extend(others.map(|form| form.to_string()));
    let locals = local::all(&settings.state_dir);
    let deadline = Instant::now() + CONDITIONS_MAX;
    let mut begun = units.begin(target, &locals);
    let mut started = begun.started;
    complaints.extend(begun.failed.iter().map(|error| chain(error)));
    while begun.waiting > 0 && Instant::now() < deadline {
        std::thread::sleep(LOOK_AGAIN);
        begun = units.begin(target, &[]);
        started += begun.started;
    }
    if begun.waiting > 0 {
        complaints.push(format!("{} workloads still wait for others that they depend on", begun.waiting));
    }
    for complaint in &complaints {
        out::note(format_args!("coracle: {complaint}"));
    }
    out::line(format_args!("{started} workloads were started"));
    match complaints.len() {
        0 => Ok(Exit::Done),
        problems => Err(Failure::unexpected(format!("{problems} problems; the agent tries again"))),
    }
}
