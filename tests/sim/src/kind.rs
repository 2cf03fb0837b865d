//! What a program does once it was started, by its age in seconds.

/// How a program behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Becomes healthy after so many seconds and stays so.
    Good(u64),
    /// Ends at once, each time.
    CrashesAtStart,
    /// Ends for good before it was ever healthy.
    CrashesEarly(u64),
    /// Becomes healthy, and ends for good while it must stay so.
    CrashesLate(u64),
    /// Is healthy for a while, crashes, is started again, and so on.
    Flaps(u64),
    /// Runs and never is healthy.
    NeverHealthy,
    /// Takes the whole board down with it after so many seconds.
    KillsBoard(u64),
}

/// Seconds from a crash until a program is started again.
const DOWN_S: u64 = 3;
/// Restarts after which a program that crashes each time counts as ended, as in the agent.
pub const RESTARTS_MAX: u32 = 3;

/// How a program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Runs and is not healthy yet.
    Starting,
    /// Runs and is healthy.
    Healthy,
    /// Ended, and will be started again.
    BackingOff,
    /// Ended for good.
    Exited,
}

impl Kind {
    /// Whether a deployment with it may ever be confirmed.
    #[must_use]
    pub fn is_good(self) -> bool {
        matches!(self, Self::Good(_))
    }

    /// How a program of this age is, and how often it was started again.
    #[must_use]
    pub fn at(self, age: u64) -> (Phase, u32) {
        let up = |healthy| if healthy { Phase::Healthy } else { Phase::Starting };
        match self {
            Self::Good(warm) => (up(age >= warm), 0),
            Self::CrashesAtStart => {
                (Phase::BackingOff, u32::try_from(age / 2).unwrap_or(u32::MAX).min(RESTARTS_MAX))
            }
            Self::CrashesEarly(at) => (if age < at { Phase::Starting } else { Phase::Exited }, 0),
            Self::CrashesLate(at) => (if age < at { up(age >= 1) } else { Phase::Exited }, 0),
            Self::Flaps(period) => {
                let round = period + DOWN_S;
                let restarts = u32::try_from(age / round).unwrap_or(u32::MAX);
                (if age % round < period { up(age % round >= 1) } else { Phase::BackingOff }, restarts)
            }
            Self::NeverHealthy | Self::KillsBoard(_) => (Phase::Starting, 0),
        }
    }

    /// Whether it has taken the board down by this age.
    #[must_use]
    pub fn kills_board(self, age: u64) -> bool {
        matches!(self, Self::KillsBoard(at) if age >= at)
    }
}
