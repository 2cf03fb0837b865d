//! What must move on the board so that a deployment runs: from what runs now to what shall run.
//!
//! Invariant: a workload whose bytes and settings are the same appears in no step.

use std::collections::{BTreeMap, BTreeSet};

use crate::compose::Service;
use crate::deployment::{Deployment, Workload};
use crate::ident::{LOCAL_PROJECT, ProjectName, ServiceName, WorkloadId};

/// One move, in the order in which it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Stop and forget a workload that the target does not have.
    Remove(WorkloadId),
    /// Stop the old one, then start the new one in its place.
    Replace(WorkloadId),
    /// Start a workload that is not there, or not alive.
    Start(WorkloadId),
}

/// A workload as the supervisor knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// What it was started as.
    pub workload: Workload,
    /// Whether its supervisor lives; a workload that ended by itself under its restart policy counts as alive.
    pub alive: bool,
}

/// Why no order of starting exists.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("services depend on each other in a circle: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
pub struct CircleError(pub Vec<WorkloadId>);

/// The steps from `current` to `target`: removals first (dependents before what they depend on), then starts and
/// replacements in dependency order, one workload at a time so that each is down only for its own stop and start.
///
/// # Errors
/// [`CircleError`] names the services whose `depends_on` form a circle.
pub fn plan(current: &BTreeMap<WorkloadId, Current>, target: &Deployment) -> Result<Vec<Step>, CircleError> {
    let ordered = start_order(&target.workloads)?;
    let gone: BTreeMap<_, _> = current
        .iter()
        .filter(|(id, _)| id.project.as_str() != LOCAL_PROJECT && !target.workloads.contains_key(id))
        .map(|(id, now)| (id.clone(), now.workload.clone()))
        .collect();
    // Old documents were checked when they came; a circle here can only be damage, and any order will do.
    let mut removals = start_order(&gone).unwrap_or_else(|circle| circle.0);
    removals.reverse();

    let mut steps: Vec<Step> = removals.into_iter().map(Step::Remove).collect();
    steps.extend(ordered.into_iter().filter_map(|id| {
        let wanted = target.workloads.get(&id)?;
        match current.get(&id) {
            None => Some(Step::Start(id)),
            Some(now) if !now.workload.same_as(wanted) => Some(Step::Replace(id)),
            Some(now) if !now.alive => Some(Step::Start(id)),
            Some(_) => None,
        }
    }));
    Ok(steps)
}

/// Every workload after all it depends on; names decide between equals.
///
/// # Errors
/// [`CircleError`] with what could not be ordered.
pub fn start_order(workloads: &BTreeMap<WorkloadId, Workload>) -> Result<Vec<WorkloadId>, CircleError> {
    let needs =
        |(id, workload): (&WorkloadId, &Workload)| (id.clone(), needs_of(&id.project, &workload.service));
    order(&workloads.iter().map(needs).collect())
}

fn needs_of(project: &ProjectName, service: &Service) -> BTreeSet<WorkloadId> {
    let id = |service: &ServiceName| WorkloadId { project: project.clone(), service: service.clone() };
    service.depends_on.keys().map(id).collect()
}

fn order(needs: &BTreeMap<WorkloadId, BTreeSet<WorkloadId>>) -> Result<Vec<WorkloadId>, CircleError> {
    let mut left: BTreeSet<&WorkloadId> = needs.keys().collect();
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let waits = |id: &&WorkloadId| {
            needs.get(*id).is_some_and(|needs| needs.iter().any(|need| left.contains(need)))
        };
        let ready: Vec<&WorkloadId> = left.iter().copied().filter(|id| !waits(id)).collect();
        if ready.is_empty() {
            return Err(CircleError(left.into_iter().cloned().collect()));
        }
        for id in ready {
            left.remove(id);
            ordered.push(id.clone());
        }
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests;
