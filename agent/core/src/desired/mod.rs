//! What a board is told to run: the document, and whether it is to be believed.
//!
//! Invariant: judging goes in the contract's order (trust, form, scope, order, time, needs), and a document that
//! fails anywhere changes nothing. Nothing here ever says that a workload must go because something is missing.

mod arbitrate;
mod document;
mod judge;
mod policy;
mod projects;
mod requires;
mod scope;

pub use arbitrate::{Chosen, choose};
pub use document::{Desired, Tags};
pub use judge::{Accepted, Clock, Facts, Order, Received, order, receive, trusted_time};
pub use policy::Policy;
pub use projects::projects;
pub use requires::Requires;
pub use scope::Scope;

#[cfg(test)]
mod tests;
