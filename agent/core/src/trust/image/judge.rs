//! Holding the signatures of an image against what its scope demands.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::SignedIdentity;
use super::key::Algorithm;
use super::policy::{HeldKey, ImagePolicy, Requirement};
use super::proof::{Form, Opened, Proof};
use crate::fault::{Class, Code, Fault};
use crate::oci::{Digest, Reference};
use crate::plain::plain;
use crate::trust::key::KeyId;

/// Signatures that a message speaks of.
const TOLD_MAX: usize = 3;
/// Characters of a stranger's name in a message.
const NAME_CHARS_MAX: usize = 120;

/// What came of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Where in the policy its scope stands: `transports.docker["registry.example"]`, `default`.
    pub scope: String,
    /// Each requirement of the scope, in its order.
    pub steps: Vec<Step>,
}

/// What came of one requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its type in the policy.
    pub demands: &'static str,
    /// The names of the keys that would do.
    pub keys: Vec<KeyId>,
    /// Whether it holds.
    pub outcome: Outcome,
}

/// Whether a requirement holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It demands nothing.
    Anything,
    /// It does, by this signature.
    Signed(Signer),
    /// It never does.
    Rejected,
    /// It does not: what is wrong with each signature, in their order.
    Unsigned(Vec<Objection>),
}

/// The signature that a requirement holds by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The key.
    pub key: KeyId,
    /// How it signs.
    pub algorithm: Algorithm,
    /// The file the key is from, or its place in the policy.
    pub place: String,
    /// Which of the signatures that were handed in.
    pub proof: usize,
    /// Its form.
    pub form: Form,
    /// The name that the signature has for the image, if it has one.
    pub name: Option<String>,
}

/// What is wrong with a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// It is not one, or not of a kind that counts.
    Form(&'static str),
    /// It was made with a certificate.
    Keyless,
    /// None of the keys made it, or something was altered since.
    Key,
    /// It is another image's.
    Digest(Digest),
    /// The name it has for the image is not the one that is wanted.
    Name {
        /// Its name for the image.
        signed: Option<String>,
        /// What the policy wants.
        wanted: String,
    },
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(why) => f.write_str(why),
            Self::Keyless => {
                f.write_str("it was made with a certificate, and this board verifies keys alone")
            }
            Self::Key => f.write_str("no key of the policy has made it over these bytes"),
            Self::Digest(digest) => write!(f, "it is of {digest}"),
            Self::Name { signed: Some(signed), wanted } => {
                write!(f, "it is of {:?}, against {wanted}", plain(signed, NAME_CHARS_MAX))
            }
            Self::Name { signed: None, wanted } => {
                write!(
                    f,
                    "it names no repository, against {wanted}; such a signature is good by digest alone"
                )
            }
        }
    }
}

impl ImagePolicy {
    /// What the policy makes of the image that `reference` resolved to, with these signatures.
    #[must_use]
    pub fn judge(&self, reference: &Reference, digest: &Digest, proofs: &[Proof]) -> Verdict {
        let (scope, requirements) = self.ruling(reference);
        let mut bench = Bench {
            reference,
            digest,
            opened: proofs.iter().map(Proof::open).collect(),
            seen: BTreeMap::new(),
        };
        let steps = requirements.iter().map(|requirement| bench.step(requirement, proofs)).collect();
        Verdict { scope, steps }
    }
}

/// What is judged, and which keys were tried on which signatures already.
struct Bench<'a> {
    reference: &'a Reference,
    digest: &'a Digest,
    opened: Vec<Result<Opened, Objection>>,
    seen: BTreeMap<(usize, KeyId), bool>,
}

impl Bench<'_> {
    fn step(&mut self, requirement: &Requirement, proofs: &[Proof]) -> Step {
        let (demands, keys, outcome) = match requirement {
            Requirement::Anything => ("insecureAcceptAnything", Vec::new(), Outcome::Anything),
            Requirement::Reject => ("reject", Vec::new(), Outcome::Rejected),
            Requirement::Signed { keys, identity } => {
                let ids = keys.iter().map(|held| held.key.id()).collect();
                ("sigstoreSigned", ids, self.signed(keys, identity, proofs))
            }
        };
        Step { demands, keys, outcome }
    }

    fn signed(&mut self, keys: &[HeldKey], identity: &SignedIdentity, proofs: &[Proof]) -> Outcome {
        let mut objections = Vec::new();
        for (proof, form) in proofs.iter().map(Proof::form).enumerate() {
            match self.one(proof, keys, identity) {
                Ok((held, name)) => {
                    let (key, algorithm, place) = (held.key.id(), held.key.algorithm(), held.place.clone());
                    return Outcome::Signed(Signer { key, algorithm, place, proof, form, name });
                }
                Err(objection) => objections.push(objection),
            }
        }
        Outcome::Unsigned(objections)
    }

    /// Which of `keys` the signature holds by, and what it calls the image.
    fn one<'k>(
        &mut self,
        proof: usize,
        keys: &'k [HeldKey],
        identity: &SignedIdentity,
    ) -> Result<(&'k HeldKey, Option<String>), Objection> {
        let opened = match self.opened.get(proof) {
            Some(Ok(opened)) => opened,
            Some(Err(objection)) => return Err(objection.clone()),
            None => return Err(Objection::Key),
        };
        let seen = &mut self.seen;
        let held = keys.iter().find(|held| {
            *seen
                .entry((proof, held.key.id()))
                .or_insert_with(|| held.key.verifies(&opened.message, &opened.signature))
        });
        let held = held.ok_or(Objection::Key)?;
        let claim = opened.claim(self.digest)?;
        if claim.digest != *self.digest {
            return Err(Objection::Digest(claim.digest));
        }
        if !identity.accepts(self.reference, claim.name.as_deref()) {
            return Err(Objection::Name { signed: claim.name, wanted: identity.words() });
        }
        Ok((held, claim.name))
    }
}

impl Verdict {
    /// Whether every requirement holds.
    #[must_use]
    pub fn accepted(&self) -> bool {
        !self.steps.is_empty()
            && self.steps.iter().all(|step| matches!(step.outcome, Outcome::Anything | Outcome::Signed(_)))
    }

    /// Whether more signatures could help.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.accepted() && !self.steps.iter().any(|step| step.outcome == Outcome::Rejected)
    }

    /// The signatures that requirements hold by.
    #[must_use]
    pub fn counted(&self) -> BTreeSet<usize> {
        let signer = |step: &Step| match &step.outcome {
            Outcome::Signed(signer) => Some(signer.proof),
            Outcome::Anything | Outcome::Rejected | Outcome::Unsigned(_) => None,
        };
        self.steps.iter().filter_map(signer).collect()
    }

    /// Where the requirement stands.
    #[must_use]
    pub fn path(&self, step: usize) -> String {
        format!("{}[{step}]", self.scope)
    }

    /// `POLICY` or `IMAGE_SIGNATURE` of the first requirement that does not hold; `None` where all do.
    #[must_use]
    pub fn fault(&self, reference: &Reference) -> Option<Fault> {
        let first = self.steps.iter().enumerate().find_map(|(at, step)| match &step.outcome {
            Outcome::Anything | Outcome::Signed(_) => None,
            Outcome::Rejected => Some(rejected(&self.path(at), reference)),
            Outcome::Unsigned(objections) => {
                Some(unsigned(&self.path(at), reference, &step.keys, objections))
            }
        });
        first.or_else(|| self.steps.is_empty().then(|| rejected(&self.scope, reference)))
    }
}

fn rejected(path: &str, reference: &Reference) -> Fault {
    let message = format!("image {reference} is refused by the board's policy: {path} is reject");
    Fault::new(Code::Policy, &message)
        .hint("the policy file (trust.image_policy) says which images are taken")
}

fn unsigned(path: &str, reference: &Reference, keys: &[KeyId], objections: &[Objection]) -> Fault {
    let reasons = objections.iter().enumerate().take(TOLD_MAX);
    let reasons = reasons.map(|(at, objection)| format!("signature {}: {objection}", at + 1));
    let more = objections.len().saturating_sub(TOLD_MAX);
    let more = (more > 0).then(|| format!("{more} more"));
    let reasons = reasons.chain(more).collect::<Vec<_>>().join("; ");
    let reasons = if reasons.is_empty() { "no signature was found".to_owned() } else { reasons };
    let message = format!("image {reference} is not signed as {path} demands: {reasons}");
    let ids = keys.iter().map(KeyId::short).collect::<Vec<_>>().join(" ");
    let hint =
        format!("wanted is a signature by one of the keys {ids}; coracle trust image REFERENCE shows each");
    Fault::new(Code::ImageSignature, &message).hint(&hint)
}

/// What is told where a board's policy cannot be used for this reason; it may be mended on the board, so it passes.
#[must_use]
pub fn unusable(why: &str, reference: &Reference) -> Fault {
    let message =
        format!("image {reference} is not taken: the board's policy for images cannot be used: {why}");
    let hint = "mend the policy file (trust.image_policy); coracle trust show reads it again";
    Fault::new(Code::Policy, &message).classed(Class::Transient).hint(hint)
}
