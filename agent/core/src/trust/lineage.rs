//! How keys are replaced: from the image's trust document on, each signed by the roots of the one before and its own.
//!
//! Invariant: what counts is reached from the image by signatures alone. A saved lineage that somebody changed is
//! worth nothing beyond the link that was changed, and a counter that was seen once is never gone below.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::document::{RoleName, TrustDocument};
use super::envelope::{Envelope, Kind};
use super::verify::verify;
use crate::fault::{Code, Fault};
use crate::limits::TRUST_CHAIN_MAX;
use crate::plain::complaint;
use crate::saved::Newer;

/// What a rotation needs.
const BOTH: &str = "a trust document is signed by the roots of the one before it and by its own";
/// The version of the saved form that this agent writes.
pub const LINEAGE_VERSION: u32 = 1;

/// The image's trust document, and what followed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    image: TrustDocument,
    chain: Vec<Envelope>,
    current: TrustDocument,
    /// The highest counter that ever counted here.
    floor: u64,
}

/// A lineage with one link more; it counts once it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated(pub Lineage);

/// Why a saved lineage cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SavedError {
    /// Written by a newer agent.
    #[error(transparent)]
    Newer(#[from] Newer),
    /// Not a lineage.
    #[error("it cannot be read: {0}")]
    Damaged(String),
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    floor: u64,
    chain: Vec<Value>,
}

impl Lineage {
    /// What a board begins with.
    #[must_use]
    pub fn of_image(image: TrustDocument) -> Self {
        Self { floor: image.counter(), current: image.clone(), chain: Vec::new(), image }
    }

    /// Goes on from what was saved. A link that does not hold ends the chain there, and is handed back beside it.
    ///
    /// # Errors
    /// [`SavedError`]; nothing of it is used then.
    pub fn resume(image: TrustDocument, saved: &[u8]) -> Result<(Self, Option<Fault>), SavedError> {
        let damaged = |error: serde_json::Error| SavedError::Damaged(complaint(&error));
        let Versioned { version } = serde_json::from_slice(saved).map_err(damaged)?;
        Newer::check(version, LINEAGE_VERSION)?;
        let Saved { floor, chain, .. } = serde_json::from_slice(saved).map_err(damaged)?;
        let mut lineage = Self::of_image(image);
        let mut broken = None;
        for link in chain.iter().take(TRUST_CHAIN_MAX) {
            let link = Envelope::parse(Kind::Trust, link.to_string().as_bytes());
            let followed = link.and_then(|link| lineage.follow(link));
            match followed {
                Ok(Some(next)) => lineage = next,
                // The image has come further by itself.
                Ok(None) => {}
                Err(fault) => {
                    broken = Some(fault);
                    break;
                }
            }
        }
        lineage.floor = lineage.floor.max(floor);
        Ok((lineage, broken))
    }

    /// The saved form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let chain = self.chain.iter().map(Envelope::to_value).collect();
        crate::reported::written(&Saved { version: LINEAGE_VERSION, floor: self.floor, chain })
    }

    /// Takes a newer trust document; `None` where it is the one that counts, or one that the image has passed.
    ///
    /// # Errors
    /// `UNSIGNED`, `SIGNATURE` (by the current roots, or by its own), `SCHEMA`, `REPLAY` for a lower counter,
    /// `EQUIVOCATION` for the same counter with other keys.
    pub fn rotate(&self, envelope: Envelope) -> Result<Option<Rotated>, Fault> {
        if envelope.digest() == self.current.digest() || self.holds(&envelope) {
            return Ok(None);
        }
        let next = self.link(envelope)?;
        if next.current.counter() < self.floor {
            return Err(lower(next.current.counter(), self.floor));
        }
        if self.chain.len() >= TRUST_CHAIN_MAX {
            let message = format!(
                "trust was replaced {TRUST_CHAIN_MAX} times since this image was made, and not again"
            );
            return Err(Fault::new(Code::TooLarge, &message)
                .hint("build the newest trust document into the board's image"));
        }
        Ok(Some(Rotated(next)))
    }

    /// Whether it is a link of the chain: a broker hands out what it retained again and again.
    fn holds(&self, envelope: &Envelope) -> bool {
        self.chain.iter().any(|link| link.digest() == envelope.digest())
    }

    /// The next link of a saved chain; `None` for one that the image has passed.
    fn follow(&self, envelope: Envelope) -> Result<Option<Self>, Fault> {
        // Only to pass it over; what counts is verified first.
        let passed = TrustDocument::parse(envelope.payload())
            .is_ok_and(|document| document.counter() <= self.image.counter());
        if passed { Ok(None) } else { self.link(envelope).map(Some) }
    }

    /// Holds a newer document against the current roots, then against its own.
    fn link(&self, envelope: Envelope) -> Result<Self, Fault> {
        let by_current = verify(envelope.clone(), &self.current, RoleName::Root)
            .map_err(|fault| said(&fault, "held against this board's own roots", None))?;
        let next = by_current.read(|payload| TrustDocument::parse(&payload))?.into_inner();
        verify(envelope.clone(), &next, RoleName::Root)
            .map_err(|fault| said(&fault, "held against the roots it names", Some(BOTH)))?;
        match next.counter().cmp(&self.current.counter()) {
            std::cmp::Ordering::Less => return Err(lower(next.counter(), self.current.counter())),
            std::cmp::Ordering::Equal => {
                let message = format!("two different trust documents carry the counter {}", next.counter());
                return Err(Fault::new(Code::Equivocation, &message));
            }
            std::cmp::Ordering::Greater => {}
        }
        let mut chain = self.chain.clone();
        chain.push(envelope);
        let floor = self.floor.max(next.counter());
        Ok(Self { image: self.image.clone(), chain, current: next, floor })
    }

    /// Whether documents may be held against the current keys: not where the board has seen newer ones.
    ///
    /// # Errors
    /// `SIGNATURE`, with what to do.
    pub fn fit(&self) -> Result<(), Fault> {
        if self.current.counter() >= self.floor {
            return Ok(());
        }
        let (has, seen) = (self.current.counter(), self.floor);
        let message = format!(
            "documents cannot be verified: this image trusts keys of counter {has}, and the board has seen {seen}"
        );
        let hint = format!("publish the trust document of counter {seen} or above, or install a newer image");
        Err(Fault::new(Code::Signature, &message).hint(&hint))
    }

    /// The trust document that counts.
    #[must_use]
    pub fn current(&self) -> &TrustDocument {
        &self.current
    }

    /// The image's own.
    #[must_use]
    pub fn image(&self) -> &TrustDocument {
        &self.image
    }

    /// How many documents followed the image's.
    #[must_use]
    pub fn rotations(&self) -> usize {
        self.chain.len()
    }

    /// The highest counter that ever counted here.
    #[must_use]
    pub fn floor(&self) -> u64 {
        self.floor
    }
}

fn lower(has: u64, seen: u64) -> Fault {
    let message = format!("trust document has the counter {has}, below {seen}, which this board has seen");
    Fault::new(Code::Replay, &message)
}

fn said(fault: &Fault, whose: &str, instead: Option<&str>) -> Fault {
    let again = Fault::new(fault.code, &format!("{whose}: {}", fault.message()));
    match instead.or(fault.hint.as_deref()) {
        Some(hint) => again.hint(hint),
        None => again,
    }
}
