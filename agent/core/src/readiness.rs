//! Whether the board is well, for whoever updates what is below the agent: its image, its package.
//!
//! Such an updater asks twice: before it reboots, whether an update of ours is under way; after it, whether the board is
//! as well as it should be, or the image before has to come back.

use std::collections::BTreeMap;

use crate::deployment::Deployment;
use crate::explain::{Agent, Link};
use crate::ident::WorkloadId;
use crate::rollout::{Rollout, State};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Whether no switch, trial or roll back would be cut by a reboot.
    Settled,
    /// Whether all is as it should be; without the broker where the board may be offline.
    Well {
        /// Whether a broker that does not hear the board counts as fine.
        offline: bool,
    },
}

/// What is known.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// From the journal.
    pub rollout: &'a Rollout,
    /// The agent, and what it says.
    pub agent: Agent<'a>,
    /// What each workload that is known lacks; `None` where that is nothing.
    pub workloads: &'a BTreeMap<WorkloadId, Option<String>>,
}

/// What keeps the answer from being yes, each in a sentence; nothing where it is.
#[must_use]
pub fn lacking(question: Question, facts: &Facts<'_>) -> Vec<String> {
    let mut lacking: Vec<String> = under_way(&facts.rollout.state).into_iter().collect();
    let Question::Well { offline } = question else { return lacking };
    if let State::Broken { fault, .. } = &facts.rollout.state {
        lacking.push(format!("the last good deployment does not come back: {}", fault.message()));
    }
    match facts.agent {
        Agent::Absent => lacking.push("no agent runs".to_owned()),
        Agent::Silent => lacking.push("the agent does not answer".to_owned()),
        Agent::Live(live) => {
            if let (Link::Down { cause, .. }, false) = (&live.link, offline) {
                let cause = cause.as_deref().unwrap_or("no attempt yet");
                lacking.push(format!("the broker does not hear this board: {cause}"));
            }
            if !live.durable {
                lacking.push("the journal cannot be written".to_owned());
            }
            lacking.extend(live.unkept.iter().map(|fault| fault.message().to_owned()));
        }
    }
    lacking.extend(facts.rollout.runs().into_iter().flat_map(|runs| of_workloads(runs, facts.workloads)));
    lacking
}

/// What a reboot would cut.
fn under_way(state: &State) -> Option<String> {
    match state {
        State::Applying { target, .. } => {
            Some(format!("generation {} is being switched to", target.generation.number))
        }
        State::Verifying { target, .. } => {
            Some(format!("generation {} is on trial", target.generation.number))
        }
        State::RollingBack { leaving, .. } => {
            Some(format!("generation {} is being rolled back", leaving.generation().number))
        }
        // One that does not come back is tried again for ever, and a reboot may be what helps.
        State::Broken { .. }
        | State::Idle
        | State::Accepted { .. }
        | State::Waiting { .. }
        | State::Downloading { .. }
        | State::Staged { .. }
        | State::Succeeded { .. }
        | State::RolledBack { .. }
        | State::Failed { .. }
        | State::Paused { .. }
        | State::Canceled { .. }
        | State::Rejected { .. } => None,
    }
}

fn of_workloads(runs: &Deployment, known: &BTreeMap<WorkloadId, Option<String>>) -> Vec<String> {
    let lacks = |id: &WorkloadId| match known.get(id) {
        Some(lacks) => lacks.as_ref().map(|lacks| format!("{id}: {lacks}")),
        None => Some(format!("{id} is not there")),
    };
    runs.workloads.keys().filter_map(lacks).collect()
}

#[cfg(test)]
mod tests;
