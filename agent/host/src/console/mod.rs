//! The console of our programs: what they write to it, and the code they end with.

pub mod exit;
pub mod out;

use exit::{Exit, Failure};

/// How `program` ends whose command came to this; a failure is said first.
pub fn ended(program: &str, outcome: Result<Exit, Failure>) -> Exit {
    outcome.unwrap_or_else(|Failure { exit, message }| {
        out::note(format_args!("{program}: {message}"));
        exit
    })
}
