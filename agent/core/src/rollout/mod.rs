//! The passage of a desired document through this board, as a function of facts.
//!
//! [`next()`] says what an event makes of a rollout; [`work()`] says what a rollout calls for. Neither acts. What
//! [`work()`] calls for is level-triggered: asked again after a restart or a power cut, it answers the same, so there
//! is no other recovery path. The caller makes the new rollout durable before it acts on it.
//!
//! Invariant: a candidate becomes `active` only when it has passed its trial, or when a person looked at it and said
//! so; until then `active` is what comes back.
//!
//! ```text
//! idle ─desired→ accepted ─gates→ downloading ─staged→ staged ─gates→ applying ─applied→ verifying ─soaked→ succeeded
//!                  │  ▲                │ fault                │           │ fault           │ fault
//!                  ▼  │                ▼                      ▼           └───────┬─────────┘
//!                 waiting            failed ─later→ accepted  waiting             ▼
//!                                                                         rolling back ─healthy→ rolled back
//!                                                                           │ fault  ▲               │ later
//!                                                                           ▼        │ later         ▼
//!                                                                          broken ───┘            accepted
//! ```

mod back;
mod event;
mod next;
mod state;
mod target;
mod trial;
mod word;
mod work;

use serde::{Deserialize, Serialize};

use crate::deployment::{Deployment, Generation};
use crate::fault::Fault;
use crate::oci::Digest;

pub use event::{Event, Observation};
pub use next::next;
pub use state::{Again, Held, Leaving, Place, Return, State, Trial, Watch};
pub use target::{OnFailure, Target, Terms};
pub use work::{Calls, Work, work};

/// Generations remembered as bad; older ones cannot come back, since replay is refused.
pub const BAD_MAX: usize = 16;

/// A generation that failed its trial, or that a person took back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bad {
    /// Which.
    pub generation: Generation,
    /// How.
    pub fault: Fault,
}

/// All that the machine knows; the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// The passage.
    pub state: State,
    /// The last good deployment; what runs outside a trial. `None` before the first.
    pub active: Option<Deployment>,
    /// The good one before it; what a person's roll back goes to.
    pub fallback: Option<Deployment>,
    /// Generations that are not tried again by themselves, oldest first.
    pub bad: Vec<Bad>,
}

impl Default for Rollout {
    fn default() -> Self {
        Self { state: State::Idle, active: None, fallback: None, bad: Vec::new() }
    }
}

impl Rollout {
    /// The passage under way, by the digest that its answers carry, and its generation; `None` once it has ended.
    #[must_use]
    pub fn under_way(&self) -> Option<(Digest, &Generation)> {
        match self.state.place() {
            Place::BeforeSwitch | Place::OnTrial => {
                self.state.target().map(|target| (target.document, &target.generation))
            }
            Place::GoingBack => {
                self.state.leaving().map(|leaving| (leaving.document(), leaving.generation()))
            }
            Place::Kept | Place::Ended => None,
        }
    }

    /// The deployment that is pinned but not confirmed.
    #[must_use]
    pub fn candidate(&self) -> Option<&Deployment> {
        self.state.candidate()
    }

    /// The candidate that has taken the place of the good deployment.
    #[must_use]
    pub fn on_trial(&self) -> Option<&Deployment> {
        match self.state.place() {
            Place::OnTrial | Place::Kept => self.state.candidate(),
            Place::BeforeSwitch | Place::GoingBack | Place::Ended => None,
        }
    }

    /// What is to run: the candidate from the switch on, else the good one.
    #[must_use]
    pub fn runs(&self) -> Option<&Deployment> {
        self.on_trial().or(self.active.as_ref())
    }

    /// What is to be kept running of what the journal holds, which is `self`, while it cannot be written and the
    /// rollout has come to `now` without it. Nothing new is begun; but what was on trial or good and is what shall
    /// run now is, and a switch that has been called off since is not begun for the journal's sake.
    #[must_use]
    pub fn keeps_running(&self, now: &Self) -> Option<&Deployment> {
        let held = [self.on_trial(), self.active.as_ref()];
        held.into_iter().flatten().find(|held| Some(*held) == now.runs()).or_else(|| self.runs())
    }

    /// Whether the last good deployment is on its way back.
    #[must_use]
    pub fn is_rolling_back(&self) -> bool {
        self.state.place() == Place::GoingBack
    }

    /// Whether this generation is not to be tried again by itself.
    #[must_use]
    pub fn known_bad(&self, generation: &Generation) -> Option<&Bad> {
        let same = |bad: &&Bad| {
            bad.generation.scope == generation.scope && bad.generation.number == generation.number
        };
        self.bad.iter().find(same)
    }

    /// What [`Event::RollBack`] would bring back now: during a trial the last good deployment, otherwise the good one
    /// before it. `None` where there is nothing, where that one was itself left as bad, or while a roll back is on its
    /// way already.
    #[must_use]
    pub fn way_back(&self) -> Option<&Deployment> {
        match self.state.place() {
            Place::OnTrial | Place::Kept => self.active.as_ref(),
            Place::BeforeSwitch | Place::Ended => {
                self.fallback.as_ref().filter(|back| self.known_bad(&back.generation).is_none())
            }
            Place::GoingBack => None,
        }
    }

    /// Every deployment that this board may have to run without a network: nothing of them may be collected.
    pub fn needed(&self) -> impl Iterator<Item = &Deployment> {
        [self.active.as_ref(), self.fallback.as_ref(), self.candidate()].into_iter().flatten()
    }

    fn remember_bad(&mut self, generation: &Generation, fault: &Fault) {
        if self.known_bad(generation).is_some() {
            return;
        }
        self.bad.push(Bad { generation: generation.clone(), fault: fault.clone() });
        let surplus = self.bad.len().saturating_sub(BAD_MAX);
        self.bad.drain(..surplus);
    }

    fn forget_bad(&mut self, generation: &Generation) {
        let same = |bad: &Bad| {
            bad.generation.scope == generation.scope && bad.generation.number == generation.number
        };
        self.bad.retain(|bad| !same(bad));
    }
}

#[cfg(test)]
mod tests;
