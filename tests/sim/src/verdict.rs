//! What must never happen, and why a piece of the night stops.

use std::fmt;

/// How the agent stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The board loses power: everything in memory is gone, nothing runs.
    Power,
    /// The agent alone is killed: workloads run on.
    Agent,
}

/// What must never happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bad {
    /// A generation that does not hold was confirmed.
    BadConfirmed(String),
    /// A generation that is remembered as bad was switched to, and no person had asked for it.
    BadRetried(String),
    /// Something that may have to run without a network was collected.
    NeededCollected(String),
    /// A good workload that nobody had switched away from was stopped.
    Downtime(String),
    /// Work was begun that the journal did not hold.
    NotDurable(String),
    /// A record read back differs from the one that was written.
    Saved(String),
    /// The day does not bring the board to rest.
    Restless(String),
    /// Something else runs than what is good.
    WrongRuns(String),
    /// A good document does not run, and nothing says why not.
    Forgotten(String),
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadConfirmed(what) => write!(f, "a bad generation was confirmed: {what}"),
            Self::BadRetried(what) => write!(f, "a bad generation was tried again by itself: {what}"),
            Self::NeededCollected(what) => write!(f, "something needed was collected: {what}"),
            Self::Downtime(what) => write!(f, "downtime without a switch: {what}"),
            Self::NotDurable(what) => write!(f, "begun before the journal held it: {what}"),
            Self::Saved(what) => write!(f, "the record was not read as it was written: {what}"),
            Self::Restless(what) => write!(f, "the board does not come to rest: {what}"),
            Self::WrongRuns(what) => write!(f, "something else than the good deployment runs: {what}"),
            Self::Forgotten(what) => write!(f, "a good document does not run and nothing says why: {what}"),
        }
    }
}

/// Why a piece of the night stopped before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The agent was cut off.
    Cut(Cut),
    /// What must never happen did.
    Bad(Bad),
}

/// A piece of the night.
pub type Flow<T = ()> = Result<T, Stop>;
