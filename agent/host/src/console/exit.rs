//! How the process ends: codes that a script can rely on.

use std::process::ExitCode;

/// The exit codes; those above 1 are the ones of BSD's `sysexits.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Something failed that should not.
    Unexpected,
    /// The command line or what it names is wrong; trying again gives the same.
    Usage,
    /// A document was refused; the same one will be again.
    Refused,
    /// It may work later: the network, a registry, a lock.
    TryAgain,
    /// The configuration is wrong.
    Configuration,
    /// What a workload's process ended with.
    Process(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Unexpected => 1,
            Exit::Usage => 64,
            Exit::Refused => 65,
            Exit::TryAgain => 75,
            Exit::Configuration => 78,
            Exit::Process(code) => code,
        })
    }
}

/// A command's failure: what to say and how to end.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// One line for a person: the attempt, the object, the causes.
    pub message: String,
}

impl Failure {
    /// A failure with this message and all of its `error`'s sources.
    #[must_use]
    pub fn new(exit: Exit, error: &dyn std::error::Error) -> Self {
        Self { exit, message: chain(error) }
    }

    /// A failure of the command line's making.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }

    /// A failure that nobody foresaw.
    #[must_use]
    pub fn unexpected(message: impl Into<String>) -> Self {
        Self { exit: Exit::Unexpected, message: message.into() }
    }
}

/// `error` and its sources, each once, parted by colons.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_holds_each_cause_once() {
        let inner = std::io::Error::other("disk on fire");
        let outer = std::io::Error::other(inner);
        assert!(chain(&outer).starts_with("disk on fire"));
    }
}
