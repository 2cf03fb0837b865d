//! Words that several remarks share.

use crate::deployment::Generation;

pub(super) fn name(generation: &Generation) -> String {
    format!("generation {}", generation.number)
}

/// A span of time in words.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
