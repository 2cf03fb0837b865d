//! `coracle why`: what the agent does and why it does not do more, in plain words. Works without a running agent, too.

use std::time::Duration;

use coracle_core::command::Verb;
use coracle_core::explain::{self, Agent, Facts, Kind, Live, Remark, Unwell};
use coracle_core::health::State;
use coracle_core::time::Timestamp;
use coracle_core::trust::image::Rules;
use coracle_host::clock;
use coracle_host::supervise::{Phase, Status};
use serde_json::json;

use super::args::Json;
use super::{context, control, out, workloads};
use crate::config::Settings;
use crate::engine::Journal;
use crate::exit::{Exit, Failure};
use crate::{image_policy, trust};

/// How long the agent may take: somebody waits, and the journal says most of it.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Explains.
pub(super) fn why(settings: &Settings, args: &Json) -> Result<Exit, Failure> {
    let record =
        Journal::peek(&settings.state_dir).map_err(|error| Failure::new(Exit::Unexpected, &error))?;
    let running = context::agent_runs(settings);
    let live = if running { live(settings, PATIENCE) } else { None };
    let now = clock::wall();
    let statuses = context::supervisor(settings)?.list();
    let unwell: Vec<Unwell> = statuses.iter().filter_map(|status| unwell(status, now)).collect();
    let unbelieving = trust::load(settings).policy.unusable();
    let rules = image_policy::load(settings);
    let imageless = match &rules {
        Rules::Unusable(why) => Some(why.as_str()),
        Rules::Nothing | Rules::Policy(_) => None,
    };
    let remarks = explain::explain(&Facts {
        record: &record,
        device: &settings.device_id,
        groups: &settings.groups,
        agent: match (&live, running) {
            (Some(live), _) => Agent::Live(live),
            (None, true) => Agent::Silent,
            (None, false) => Agent::Absent,
        },
        unbelieving: unbelieving.as_ref(),
        imageless,
        unwell: &unwell,
        now,
        synced: clock::synced(),
    });
    if args.json {
        out::json(&json!({ "agentRunning": running, "remarks": remarks }));
    } else {
        remarks.iter().flat_map(lines).for_each(out::line);
    }
    Ok(Exit::Done)
}

/// What the running agent knows; `None` where it does not say so within `patience`.
pub(super) fn live(settings: &Settings, patience: Duration) -> Option<Live> {
    let told = control::ask(settings, Verb::Why, &json!({}), patience).ok()?;
    serde_json::from_value(told).ok()
}

/// A workload that is not as it should be.
fn unwell(status: &Status, now: Timestamp) -> Option<Unwell> {
    let by_hand = status.phase == Phase::Stopped;
    let well = match status.phase {
        Phase::Running => status.health.as_ref().is_none_or(|checked| checked.state != State::Unhealthy),
        Phase::Starting | Phase::Stopping => true,
        Phase::Exited => status.exit_code == Some(0),
        Phase::Stopped | Phase::BackingOff | Phase::Failed | Phase::Lost => false,
    };
    let check = status.health.as_ref().and_then(|checked| checked.why.as_ref());
    let check = check.map_or_else(String::new, |why| format!("; its last check {why}"));
    let how = format!("{}{check}", workloads::phase(status, now));
    (!well).then(|| Unwell { id: status.id.clone(), by_hand, how })
}

/// A remark in a line, and what helps in the next.
fn lines(remark: &Remark) -> Vec<String> {
    let mark = match remark.kind {
        Kind::Fact => "  ",
        Kind::Waits => "~ ",
        Kind::Trouble => "! ",
    };
    let remedy = remark.remedy.as_ref().map(|remedy| format!("    -> {remedy}"));
    std::iter::once(format!("{mark}{}", remark.says)).chain(remedy).collect()
}
