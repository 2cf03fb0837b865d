//! What a board does with a document: hold it against keys, or not.

use super::document::RoleName;
use super::envelope::{Envelope, Kind};
use super::lineage::{Lineage, Rotated};
use super::verify::{Verified, unsigned, verify, whose};
use crate::fault::{Code, Fault};

/// Whom this board believes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// Anybody, by its configuration: signatures are not looked at.
    Anybody,
    /// These keys.
    Keys(Box<Lineage>),
    /// Nobody, for this reason: its keys are missing or cannot be used. What runs is kept.
    Nobody(String),
}

/// What to do on a board without usable keys.
const NO_KEYS: &str = "put the public keys of whoever deploys into the image, below trust.keys_dir, and see coracle \
                       trust show; trust.unsigned = true takes unsigned documents instead";

impl Policy {
    /// Takes a desired-state document.
    ///
    /// # Errors
    /// `UNSIGNED` or `SIGNATURE`, with whose signature would count.
    pub fn admit(&self, envelope: Envelope) -> Result<Verified<Vec<u8>>, Fault> {
        match self {
            Self::Anybody => Ok(unsigned(envelope)),
            Self::Keys(lineage) => {
                lineage.fit()?;
                verify(envelope, lineage.current(), RoleName::Deploy)
            }
            Self::Nobody(why) => Err(keyless(&envelope, why)),
        }
    }

    /// Takes a trust document; `None` where it is known already.
    ///
    /// # Errors
    /// As [`Lineage::rotate`], and `SIGNATURE` on a board that has no keys to hold it against.
    pub fn rotate(&self, bytes: &[u8]) -> Result<Option<Rotated>, Fault> {
        let envelope = Envelope::parse(Kind::Trust, bytes)?;
        match self {
            Self::Keys(lineage) => lineage.rotate(envelope),
            Self::Nobody(why) => Err(keyless(&envelope, why)),
            Self::Anybody => {
                let message = "trust document is of no use: this board takes unsigned documents";
                Err(Fault::new(Code::Conflict, message).hint("remove trust.unsigned = true"))
            }
        }
    }

    /// What is told of it: `none`, `keyless`, or the digest of the trust document that counts.
    #[must_use]
    pub fn told(&self) -> String {
        match self {
            Self::Anybody => "none".to_owned(),
            Self::Nobody(_) => "keyless".to_owned(),
            Self::Keys(lineage) => lineage.current().digest().hex(),
        }
    }

    /// The counter of the trust document that counts.
    #[must_use]
    pub fn counter(&self) -> Option<u64> {
        match self {
            Self::Anybody | Self::Nobody(_) => None,
            Self::Keys(lineage) => Some(lineage.current().counter()),
        }
    }

    /// Why no document can be believed, where none can, and what helps.
    #[must_use]
    pub fn unusable(&self) -> Option<(String, String)> {
        match self {
            Self::Anybody => None,
            Self::Nobody(why) => Some((why.clone(), NO_KEYS.to_owned())),
            Self::Keys(lineage) => {
                let fault = lineage.fit().err()?;
                Some((fault.message().to_owned(), fault.hint.unwrap_or_default()))
            }
        }
    }

    /// Whose signature under a desired-state document would count, in words.
    #[must_use]
    pub fn wants(&self) -> String {
        match self {
            Self::Anybody => "unsigned documents are taken (trust.unsigned = true)".to_owned(),
            Self::Nobody(why) => why.clone(),
            Self::Keys(lineage) => whose(lineage.current(), RoleName::Deploy),
        }
    }
}

fn keyless(envelope: &Envelope, why: &str) -> Fault {
    let noun = envelope.kind().noun();
    let fault = if envelope.signatures().is_empty() {
        Fault::new(Code::Unsigned, &format!("{noun} carries no signature; {why}"))
    } else {
        Fault::new(Code::Signature, &format!("{noun} cannot be verified: {why}"))
    };
    fault.hint(NO_KEYS)
}
