//! How bad a night is: for each kind of trouble, once in how many times it strikes.

use crate::chance::Chance;

/// Once in how many times each trouble strikes; 0 for never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Weather {
    /// After an effect the power fails or the agent is killed.
    pub cut: u64,
    /// A call of the runtime fails.
    pub runtime: u64,
    /// A pull fails.
    pub pull: u64,
    /// A write finds the disk full, for that moment.
    pub write: u64,
    /// The disk fills up, or is emptied.
    pub disk: u64,
    /// The operator sends a document.
    pub document: u64,
    /// A person gives an order.
    pub person: u64,
    /// A stranger publishes something.
    pub stranger: u64,
    /// The clock jumps.
    pub clock: u64,
    /// A gate of the board closes or opens.
    pub gate: u64,
    /// What is not needed is collected.
    pub collect: u64,
    /// A workload is lost.
    pub lost: u64,
    /// A message is lost, late, or comes twice.
    pub post: u64,
}

impl Weather {
    /// A night: most kinds of trouble are rare or absent, some are frequent, so that a schedule gets somewhere.
    #[must_use]
    pub fn of(chance: &mut Chance) -> Self {
        let document = chance.pick(&[12, 25, 40]);
        let mut rate = || chance.pick(&[0, 0, 60, 20, 8, 4]);
        Self {
            cut: rate(),
            runtime: rate(),
            pull: rate(),
            write: rate(),
            disk: rate() * 3,
            document,
            person: rate() * 2,
            stranger: rate() * 2,
            clock: rate() * 3,
            gate: rate() * 3,
            collect: rate() * 2,
            lost: rate() * 3,
            post: rate(),
        }
    }

    /// The day: nothing fails. What a program does is its own affair.
    #[must_use]
    pub fn calm() -> Self {
        Self::default()
    }
}
