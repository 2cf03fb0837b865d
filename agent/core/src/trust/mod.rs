//! Whom a board believes: envelopes and their signatures, keys, the roles that keys have, and how keys are replaced.
//!
//! Invariant: what is judged and obeyed was verified, and has a type that says so; there is no way to a [`Verified`]
//! but through the keys of the board, or through the word of its configuration that nobody need sign.
//!
//! ```text
//! image: trust.json or *.pub ──▶ counter 3 ──signed by the roots of 3 and 4──▶ counter 4 ──▶ … ──▶ what counts
//! ```

mod document;
mod envelope;
pub mod image;
mod key;
mod lineage;
mod policy;
mod verify;

pub use document::{Role, RoleName, TrustDocument};
pub use envelope::{Envelope, Kind, Signature, pae};
pub use key::{Algorithm, KeyError, KeyId, PublicKey};
pub use lineage::{LINEAGE_VERSION, Lineage, Rotated, SavedError};
pub use policy::Policy;
pub use verify::{Verified, Voucher, verify};

#[cfg(test)]
mod tests;
