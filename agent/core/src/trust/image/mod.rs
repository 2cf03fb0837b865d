//! Images: which of them must be signed, by whom, and whether they are (containers-policy.json(5), cosign's formats).
//!
//! Invariant: what this agent cannot hold a signature against is refused when the policy is read, never passed over;
//! and nothing that a signature says is looked at before a key of the policy has verified it.
//!
//! ```text
//! policy.json ──▶ scope of the reference ──▶ its requirements, all of which must hold
//!                                                 ▲
//! sha256-<hex>.sig ──▶ payload, signature ──┐     │ key, digest, identity
//! referrers, sha256-<hex> ──▶ bundle ───────┴─ proofs
//! ```

mod attached;
mod bundle;
mod identity;
mod judge;
mod key;
mod policy;
mod proof;
mod saved;
mod scope;

pub use attached::{bundles, legacy_tag, referrers_tag, signed_layers, that_may_sign};
pub use identity::SignedIdentity;
pub use judge::{Objection, Outcome, Signer, Step, Verdict, unusable};
pub use key::{Algorithm, ImageKey, ImageKeyError};
pub use policy::{ImagePolicy, PolicyFileError};
pub use proof::{Form, Proof};
pub use saved::{parse as proofs_of, to_bytes as bytes_of};

/// What this board demands of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rules {
    /// Nothing: it has no policy.
    Nothing,
    /// What this policy says.
    Policy(Box<ImagePolicy>),
    /// It has a policy that cannot be used, for this reason: no image is taken.
    Unusable(String),
}

#[cfg(test)]
mod tests;
