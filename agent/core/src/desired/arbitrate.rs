//! Which of several documents counts: the device's own, else the group's of the highest priority, ties by name.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Scope;

/// The scope that counts, and the others that had a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Its whole document counts; nothing is merged.
    pub winner: Scope,
    /// They wait, in the order of their names.
    pub others: Vec<Scope>,
}

/// Chooses among the scopes that have an accepted document, each with its `policy.priority`.
#[must_use]
pub fn choose(candidates: &BTreeMap<Scope, i64>) -> Option<Chosen> {
    let rank = |scope: &Scope, priority: i64| match scope {
        Scope::Device(_) => (0, Reverse(0), scope.clone()),
        Scope::Group(_) => (1, Reverse(priority), scope.clone()),
    };
    let winner = candidates.iter().min_by_key(|(scope, priority)| rank(scope, **priority))?.0.clone();
    let others = candidates.keys().filter(|scope| **scope != winner).cloned().collect();
    Some(Chosen { winner, others })
}
