//! What must move on the board so that a deployment runs: from what runs now to what shall run.
//!
//! The answer is level-triggered: it has only the steps whose conditions are met now, and says what the others wait
//! for. Asked again when they are done, it goes on, until nothing is left.
//!
//! Invariant: a workload whose bytes and settings are the same appears in no step.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::compose::{Condition, Service, UpdateOrder};
use crate::deployment::{Deployment, Workload};
use crate::ident::{LOCAL_PROJECT, ProjectName, ServiceName, WorkloadId};

/// One move, in the order in which it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Stop and forget a workload that the target does not have, and one beside it first.
    Remove(WorkloadId),
    /// Drop one beside the old one, stop the old one, then start the new one in its place.
    Replace(WorkloadId),
    /// Start a workload that is not there, or not alive; one beside it is dropped first.
    Start(WorkloadId),
    /// Start the new one while the old one runs on.
    StartBeside(WorkloadId),
    /// Stop and forget the old one, for the new one beside it is well.
    TakeOver(WorkloadId),
    /// Stop and forget the new one beside the old one.
    DropBeside(WorkloadId),
}

/// A workload as the supervisor knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// What it was started as.
    pub workload: Workload,
    /// Whether its supervisor lives; a workload that ended by itself under its restart policy counts as alive.
    pub alive: bool,
    /// How it is, for those that depend on it.
    pub standing: Standing,
    /// The one that was started beside it.
    pub beside: Option<Beside>,
}

/// A unit that was started beside the one it is to replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// What it was started as.
    pub workload: Workload,
    /// How it is.
    pub standing: Standing,
}

impl Current {
    /// Whether it does what it is there for, so that stopping it is felt.
    fn serves(&self) -> bool {
        match self.standing {
            Standing::Starting | Standing::Healthy | Standing::Unhealthy => self.alive,
            Standing::Completed | Standing::Ended(_) | Standing::Gone => false,
        }
    }
}

/// How a workload is, as far as others care that depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is being made, is started again, or its checks have not passed yet.
    Starting,
    /// It runs, and its checks pass where it has some.
    Healthy,
    /// It runs, and its checks say it is not well.
    Unhealthy,
    /// It ended with exit code 0, and stays so.
    Completed,
    /// It ended otherwise, and stays so; its exit code where it has one.
    Ended(Option<i32>),
    /// It was stopped by hand, or nobody knows.
    Gone,
}

/// A workload that is not started yet, because of another one; or, where both are the same, one that was started
/// beside the old one, which runs on until the new one is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// Which.
    pub id: WorkloadId,
    /// For which other one.
    pub on: WorkloadId,
    /// To be what.
    pub condition: Condition,
    /// Whether waiting helps.
    pub outlook: Outlook,
}

/// Whether a condition may still be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// It may.
    Open,
    /// The other one failed: only a change of its own would help.
    Failed(Standing),
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, on, .. } = self;
        let to = match self.condition {
            Condition::ServiceStarted => "to start",
            Condition::ServiceHealthy => "to be healthy",
            Condition::ServiceCompletedSuccessfully => "to complete",
        };
        if id == on {
            write!(f, "the new {id} is not healthy yet")?;
        } else {
            write!(f, "{id} waits for {on} {to}")?;
        }
        match self.outlook {
            Outlook::Open => Ok(()),
            Outlook::Failed(Standing::Ended(Some(code))) => write!(f, ", which ended with exit code {code}"),
            Outlook::Failed(Standing::Unhealthy) => write!(f, ", which is unhealthy"),
            Outlook::Failed(_) => write!(f, ", which failed"),
        }
    }
}

/// What is to be done now, and what has to wait.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The steps that can be taken, in their order.
    pub steps: Vec<Step>,
    /// What cannot be started yet.
    pub waits: Vec<Wait>,
}

/// Why no order of starting exists.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("services depend on each other in a circle: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
pub struct CircleError(pub Vec<WorkloadId>);

/// The way from `current` to `target`: removals first (dependents before what they depend on), then starts and
/// replacements in dependency order, one workload at a time so that each is down only for its own stop and start.
///
/// # Errors
/// [`CircleError`] names the services whose `depends_on` form a circle.
pub fn plan(current: &BTreeMap<WorkloadId, Current>, target: &Deployment) -> Result<Plan, CircleError> {
    let ordered = start_order(&target.workloads)?;
    let gone: BTreeMap<_, _> = current
        .iter()
        .filter(|(id, _)| id.project.as_str() != LOCAL_PROJECT && !target.workloads.contains_key(id))
        .map(|(id, now)| (id.clone(), now.workload.clone()))
        .collect();
    // Old documents were checked when they came; a circle here can only be damage, and any order will do.
    let mut removals = start_order(&gone).unwrap_or_else(|circle| circle.0);
    removals.reverse();

    let mut plan = Plan { steps: removals.into_iter().map(Step::Remove).collect(), waits: Vec::new() };
    // What each workload will be once the steps so far are taken; absent where it has to wait.
    let mut reached = BTreeMap::new();
    for id in ordered {
        let Some(wanted) = target.workloads.get(&id) else { continue };
        let now = current.get(&id);
        let step = match now.map_or(Way::Anew, |now| way(now, wanted)) {
            Way::There(standing) => {
                plan.steps
                    .extend(now.and_then(|now| now.beside.as_ref()).map(|_| Step::DropBeside(id.clone())));
                reached.insert(id, standing);
                continue;
            }
            Way::TakenOver(standing) => {
                plan.steps.push(Step::TakeOver(id.clone()));
                reached.insert(id, standing);
                continue;
            }
            Way::Watched(outlook) => {
                let (on, condition) = (id.clone(), Condition::ServiceHealthy);
                plan.waits.push(Wait { id, on, condition, outlook });
                continue;
            }
            Way::Anew => Step::Start(id.clone()),
            Way::Replaced => Step::Replace(id.clone()),
            Way::Beside => Step::StartBeside(id.clone()),
        };
        if let Some(wait) = first_wait(&id, &wanted.service, target, &reached) {
            plan.waits.push(wait);
            continue;
        }
        if let Step::StartBeside(_) = step {
            plan.steps.extend(now.and_then(|now| now.beside.as_ref()).map(|_| Step::DropBeside(id.clone())));
            let (on, condition, outlook) = (id.clone(), Condition::ServiceHealthy, Outlook::Open);
            plan.waits.push(Wait { id, on, condition, outlook });
        } else {
            reached.insert(id, Standing::Starting);
        }
        plan.steps.push(step);
    }
    Ok(plan)
}

/// How a workload comes to be what is wanted.
enum Way {
    /// It is so already.
    There(Standing),
    /// It is started.
    Anew,
    /// It is stopped, then the new one is started.
    Replaced,
    /// The new one is started first.
    Beside,
    /// The new one beside it takes over.
    TakenOver(Standing),
    /// The new one beside it is not well yet.
    Watched(Outlook),
}

fn way(now: &Current, wanted: &Workload) -> Way {
    if now.workload.same_as(wanted) {
        return if now.alive { Way::There(now.standing) } else { Way::Anew };
    }
    let beside = now.beside.as_ref().filter(|beside| beside.workload.same_as(wanted));
    match (wanted.service.update.order, beside) {
        (UpdateOrder::StopFirst, _) => Way::Replaced,
        (UpdateOrder::StartFirst, None) if now.serves() => Way::Beside,
        (UpdateOrder::StartFirst, None) => Way::Replaced,
        (UpdateOrder::StartFirst, Some(new)) => match new.standing {
            Standing::Healthy | Standing::Completed => Way::TakenOver(new.standing),
            // Nothing is lost by that.
            Standing::Starting if !now.serves() => Way::TakenOver(new.standing),
            Standing::Starting => Way::Watched(Outlook::Open),
            Standing::Unhealthy | Standing::Ended(_) => Way::Watched(Outlook::Failed(new.standing)),
            // Started once more.
            Standing::Gone => Way::Beside,
        },
    }
}

/// The first condition of a service that is not met; one that failed for good before those that are open.
fn first_wait(
    id: &WorkloadId,
    service: &Service,
    target: &Deployment,
    reached: &BTreeMap<WorkloadId, Standing>,
) -> Option<Wait> {
    let mut open = None;
    for (other, condition) in &service.depends_on {
        let on = WorkloadId { project: id.project.clone(), service: other.clone() };
        // Documents were checked when they came: what is not there can only be damage, and nobody waits for it.
        if !target.workloads.contains_key(&on) {
            continue;
        }
        let Some(outlook) = unmet(*condition, reached.get(&on).copied()) else { continue };
        let wait = Wait { id: id.clone(), on, condition: *condition, outlook };
        match outlook {
            Outlook::Failed(_) => return Some(wait),
            Outlook::Open => open = open.or(Some(wait)),
        }
    }
    open
}

/// `None` where a workload in this standing meets the condition; without one it has not been started.
fn unmet(condition: Condition, standing: Option<Standing>) -> Option<Outlook> {
    use Condition::{ServiceCompletedSuccessfully, ServiceHealthy, ServiceStarted};
    let Some(standing) = standing else { return Some(Outlook::Open) };
    match (condition, standing) {
        (ServiceStarted, _)
        | (ServiceHealthy, Standing::Healthy)
        | (ServiceCompletedSuccessfully, Standing::Completed) => None,
        (ServiceHealthy | ServiceCompletedSuccessfully, Standing::Ended(_))
        | (ServiceHealthy, Standing::Unhealthy | Standing::Completed) => Some(Outlook::Failed(standing)),
        (ServiceHealthy, Standing::Starting | Standing::Gone)
        | (
            ServiceCompletedSuccessfully,
            Standing::Starting | Standing::Healthy | Standing::Unhealthy | Standing::Gone,
        ) => Some(Outlook::Open),
    }
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
