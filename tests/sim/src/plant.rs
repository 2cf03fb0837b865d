//! Faults planted on purpose: a simulation that does not catch them proves nothing. They change the world around the
//! machine or wrap it, and are in no shipped code.

use std::fmt;

use coracle_core::fault::Code;
use coracle_core::rollout::{Rollout, State};

/// A planted fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// A collection during a trial does not keep the deployment that comes back when the trial fails.
    FallbackCollected,
    /// A trial whose time is over is confirmed.
    ExpiredConfirmed,
    /// A restart of the agent forgets which generations are bad.
    BadForgotten,
}

impl Plant {
    /// All of them.
    pub const ALL: &[Self] = &[Self::FallbackCollected, Self::ExpiredConfirmed, Self::BadForgotten];
}

impl fmt::Display for Plant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FallbackCollected => "the fallback is collected during a trial",
            Self::ExpiredConfirmed => "an expired trial is confirmed",
            Self::BadForgotten => "a restart forgets what is bad",
        })
    }
}

/// The planted fault of a trial that is confirmed although its time is over.
pub(crate) fn confirm_expired(before: &Rollout, after: &mut Rollout) {
    let (State::Verifying { target, candidate, .. }, State::RollingBack { fault, .. }) =
        (&before.state, &after.state)
    else {
        return;
    };
    if fault.code == Code::HealthTimeout {
        *after = Rollout {
            state: State::Succeeded { generation: target.generation.clone() },
            active: Some(candidate.clone()),
            fallback: before.active.clone(),
            bad: before.bad.clone(),
        };
    }
}
