//! `coracle health`: a yes or no for programs that update the board's image, as their check after a boot and before one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use coracle_core::explain::Agent;
use coracle_core::health::State;
use coracle_core::ident::WorkloadId;
use coracle_core::readiness::{Facts, Question, lacking};
use coracle_host::clock;
use coracle_host::supervise::{Phase, Status};
use serde_json::json;

use super::args::Health;
use super::{context, out, why, workloads};
use crate::config::Settings;
use crate::engine::Journal;
use crate::exit::{Exit, Failure, chain};

/// Between two looks; each asks the agent.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Looks until the answer is yes, or the time is over.
pub(super) fn health(settings: &Settings, args: &Health) -> Result<Exit, Failure> {
    let question = if args.settled { Question::Settled } else { Question::Well { offline: args.offline } };
    let deadline = Instant::now() + Duration::from_secs(args.wait);
    let lacking = loop {
        let lacking = look(settings, question)?;
        if lacking.is_empty() || Instant::now() >= deadline {
            break lacking;
        }
        std::thread::sleep(LOOK_AGAIN);
    };
    if args.json {
        out::json(&json!({ "well": lacking.is_empty(), "lacking": lacking }));
    } else if lacking.is_empty() {
        out::line(if args.settled { "settled" } else { "well" });
    } else {
        lacking.iter().for_each(out::line);
    }
    Ok(if lacking.is_empty() { Exit::Done } else { Exit::TryAgain })
}

fn look(settings: &Settings, question: Question) -> Result<Vec<String>, Failure> {
    let record = match Journal::peek(&settings.state_dir) {
        Ok(record) => record,
        Err(error) => return Ok(vec![chain(&error)]),
    };
    let running = context::agent_runs(settings);
    let live =
        if running && question != Question::Settled { why::live(settings, why::PATIENCE) } else { None };
    let statuses = context::supervisor(settings)?.list();
    let first = statuses.iter().filter(|status| !status.beside);
    let workloads: BTreeMap<WorkloadId, Option<String>> =
        first.map(|status| (status.id.clone(), lacks(status))).collect();
    let agent = match (&live, running) {
        (Some(live), _) => Agent::Live(live),
        (None, true) => Agent::Silent,
        (None, false) => Agent::Absent,
    };
    Ok(lacking(question, &Facts { rollout: &record.rollout, agent, workloads: &workloads }))
}

/// What a workload lacks; one that a person stopped, or that has done its work, lacks nothing.
fn lacks(status: &Status) -> Option<String> {
    let well = match status.phase {
        Phase::Running => status.health.as_ref().is_none_or(|checked| checked.state == State::Healthy),
        Phase::Stopped => true,
        Phase::Exited => status.exit_code == Some(0),
        Phase::Starting | Phase::Stopping | Phase::BackingOff | Phase::Failed | Phase::Lost => false,
    };
    (!well).then(|| workloads::phase(status, clock::wall()))
}
