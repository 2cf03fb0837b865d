//! Where a board stands, in one plain line: what the service manager shows beside the agent.

use std::fmt;

use crate::fault::Fault;
use crate::reported::Status;
use crate::rollout::{Rollout, State};

/// Whether the broker hears this board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// There is none to hear it.
    NoBroker,
    /// The board is not provisioned with what it needs to reach it.
    Unprovisioned,
    /// Not at the moment.
    Down,
    /// It does.
    Up,
}

/// What the line is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing<'a> {
    rollout: &'a Rollout,
    link: Link,
}

impl<'a> Standing<'a> {
    /// The standing of a board with this rollout.
    #[must_use]
    pub fn of(rollout: &'a Rollout, link: Link) -> Self {
        Self { rollout, link }
    }
}

impl fmt::Display for Standing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rollout = self.rollout;
        match rollout.active.as_ref() {
            Some(active) => write!(f, "generation {} is good", active.generation.number)?,
            None => f.write_str("nothing was deployed yet")?,
        }
        let wanted = rollout.state.generation().map(|generation| generation.number);
        let wanted = wanted.map_or_else(|| "the last document".to_owned(), |n| format!("generation {n}"));
        match Status::of(&rollout.state) {
            Status::Idle | Status::Succeeded => {}
            Status::Accepted => write!(f, "; {wanted} is accepted")?,
            Status::Waiting => write!(f, "; {wanted} waits: {}", reasons(&rollout.state))?,
            Status::Downloading => write!(f, "; {wanted} is being fetched")?,
            Status::Staged => write!(f, "; {wanted} is fetched")?,
            Status::Applying => write!(f, "; switching to {wanted}")?,
            Status::Verifying => write!(f, "; {wanted} is on trial")?,
            Status::RollingBack => write!(f, "; going back to it from {wanted}")?,
            Status::RolledBack => write!(f, "; {wanted} was rolled back")?,
            Status::Failed => write!(f, "; {wanted} failed")?,
            Status::Broken => write!(f, "; going back to it from {wanted} failed")?,
            Status::Paused => write!(f, "; {wanted} failed its trial and was left as it is")?,
            Status::Superseded => write!(f, "; {wanted} was superseded")?,
            Status::Canceled => write!(f, "; {wanted} was canceled")?,
            Status::Rejected => write!(f, "; {wanted} was refused")?,
        }
        if let Some(Fault { code, .. }) = rollout.state.fault() {
            write!(f, " ({})", code.wire())?;
        }
        match self.link {
            Link::Up | Link::NoBroker => Ok(()),
            Link::Down => f.write_str("; not connected to the broker"),
            Link::Unprovisioned => f.write_str("; waits for its provisioning"),
        }
    }
}

fn reasons(state: &State) -> String {
    let State::Waiting { reasons, .. } = state else { return String::new() };
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::deployment::{Deployment, Generation};
    use crate::fault::Code;
    use crate::gate::{Approval, Policy, Reason};
    use crate::oci::Digest;
    use crate::rollout::{Held, Leaving, OnFailure, Return, Target, Terms};
    use crate::time::Timestamp;

    fn generation(number: u64) -> Generation {
        Generation { id: "x".into(), scope: "d/x".into(), number, rev: 0 }
    }

    fn target(number: u64) -> Target {
        Target {
            generation: generation(number),
            document: Digest::of(b"x"),
            gates: Policy::default(),
            terms: Terms { health_s: 1, soak_s: 1, attempts: 1, on_failure: OnFailure::Rollback },
            approval: Approval::Pending,
            retrials: 0,
            projects: BTreeMap::new(),
        }
    }

    #[track_caller]
    fn check(active: Option<u64>, state: State, link: Link, expected: &str) {
        let active = active.map(|number| Deployment {
            generation: generation(number),
            workloads: BTreeMap::new(),
            volumes: BTreeMap::new(),
        });
        let rollout = Rollout { active, state, ..Rollout::default() };
        assert_eq!(Standing::of(&rollout, link).to_string(), expected);
    }

    #[test]
    fn the_line_tells_what_is_good_and_what_is_under_way() {
        check(None, State::Idle, Link::NoBroker, "nothing was deployed yet");
        let waits = "nothing was deployed yet; waits for its provisioning";
        check(None, State::Idle, Link::Unprovisioned, waits);
        let succeeded = State::Succeeded { generation: generation(7) };
        check(Some(7), succeeded, Link::Up, "generation 7 is good");
        let reasons = vec![Reason::Hold, Reason::Disk(5)];
        let waiting = State::Waiting { target: target(8), held: Held::BeforeDownload, reasons };
        check(Some(7), waiting, Link::Up, "generation 7 is good; generation 8 waits: HOLD, DISK:5");
        let fault = Fault::new(Code::Unhealthy, "made for a test");
        let (leaving, start_at) = (Leaving::Candidate(target(8)), Timestamp(1));
        let way = Return::Switching;
        let back = State::RollingBack { leaving, fault: fault.clone(), attempt: 1, start_at, way };
        let line = "generation 7 is good; going back to it from generation 8 (UNHEALTHY)";
        check(Some(7), back, Link::Up, line);
        let backed = State::RolledBack { generation: generation(8), fault, later: None };
        let line = "generation 7 is good; generation 8 was rolled back (UNHEALTHY)";
        check(Some(7), backed, Link::Up, line);
    }

    #[test]
    fn a_broker_that_does_not_hear_is_told() {
        let accepted = State::Accepted { target: target(1) };
        let line = "nothing was deployed yet; generation 1 is accepted; not connected to the broker";
        check(None, accepted, Link::Down, line);
    }
}
