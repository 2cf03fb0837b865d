//! The page on the rollout machine, `agent/docs/rollout.md`: drawn from the machine itself.
//!
//! Everything that can happen is fed to every situation that can be reached, so what stands on the page is what the
//! machine does, and a change of the machine is a change of the page.

mod facts;
mod happening;
mod page;
mod walk;

pub use page::page;

#[cfg(test)]
mod tests;
