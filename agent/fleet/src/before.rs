//! What the broker keeps for a scope, and the numbers of the document that is to follow it.

use std::fmt;

use bytes::Bytes;
use coracle_core::desired::{Desired, Tags};
use coracle_core::fault::Fault;
use coracle_core::limits::GENERATION_STEP_MAX;
use coracle_core::trust::{Envelope, Kind, Policy};
use coracle_host::console::exit::{Exit, Failure};
use serde_json::{Map, Value};

use crate::args::Gen;
use crate::shown;

/// What is kept.
#[derive(Debug, PartialEq)]
pub(crate) enum Before {
    /// Nobody asked the broker.
    Unknown,
    /// Nothing.
    Nothing,
    /// A document that the boards' keys signed.
    Verified(Kept),
    /// Something that cannot be believed, and why; and what it says, where it can be read.
    Unbelieved(String, Option<Kept>),
}

/// A document's payload and its numbers.
#[derive(Debug, PartialEq)]
pub(crate) struct Kept {
    payload: Value,
    number: u64,
    rev: u64,
    seed: String,
}

impl Kept {
    fn of(payload: &[u8]) -> Result<Self, Fault> {
        let desired = Desired::parse(payload, Tags::Accepted)?;
        Ok(Self {
            payload: serde_json::from_slice(payload).unwrap_or_default(),
            number: desired.number,
            rev: desired.rev,
            seed: desired.policy.gate.seed,
        })
    }
}

/// Reads what the broker keeps.
pub(crate) fn read(bytes: Option<Bytes>, trust: Option<&Policy>) -> Before {
    let Some(bytes) = bytes else { return Before::Nothing };
    let envelope = match Envelope::parse(Kind::Desired, &bytes) {
        Ok(envelope) => envelope,
        Err(fault) => return Before::Unbelieved(shown(&fault.to_string()), None),
    };
    let kept = Kept::of(envelope.payload());
    let verdict = match trust {
        Some(policy) => policy.admit(envelope).map(drop).map_err(|fault| shown(&fault.to_string())),
        None => Err("no trust document was given to hold it against".to_owned()),
    };
    match (verdict, kept) {
        (Ok(()), Ok(kept)) => Before::Verified(kept),
        (Ok(()), Err(fault)) => Before::Unbelieved(shown(&fault.to_string()), None),
        (Err(why), kept) => Before::Unbelieved(why, kept.ok()),
    }
}

impl Before {
    /// The payload, to compare with; also of what is not believed, for it is only shown.
    pub(crate) fn payload(&self) -> Option<&Value> {
        self.kept().map(|kept| &kept.payload)
    }

    fn kept(&self) -> Option<&Kept> {
        match self {
            Self::Verified(kept) | Self::Unbelieved(_, Some(kept)) => Some(kept),
            Self::Unknown | Self::Nothing | Self::Unbelieved(_, None) => None,
        }
    }
}

impl fmt::Display for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("no broker was asked what is there; against nothing:"),
            Self::Nothing => f.write_str("the broker keeps nothing yet:"),
            Self::Verified(kept) => write!(f, "against generation {}, revision {}:", kept.number, kept.rev),
            Self::Unbelieved(why, Some(kept)) => {
                write!(f, "against generation {}, revision {}, NOT VERIFIED ({why}):", kept.number, kept.rev)
            }
            Self::Unbelieved(why, None) => {
                write!(f, "the broker keeps something that is no document ({why}):")
            }
        }
    }
}

fn refused(message: String) -> Failure {
    Failure { exit: Exit::Refused, message }
}

/// The numbers of the document to come.
pub(crate) fn numbers(
    generation: Gen,
    rev: Option<u64>,
    before: &Before,
    topic: &str,
) -> Result<(u64, u64), Failure> {
    let word = match generation {
        Gen::Number(number) => {
            let numbers = (number, rev.unwrap_or(0));
            return follows(numbers, before, topic).map(|()| numbers);
        }
        Gen::Auto => "auto",
        Gen::Same => "same",
    };
    let next = |kept: u64| {
        kept.checked_add(1).ok_or_else(|| refused(format!("{kept} has no number after it (at {topic})")))
    };
    match (before, generation) {
        (Before::Unknown, _) => Err(Failure::usage(format!(
            "--gen {word} reads what the broker keeps: give --broker URL, or --gen N"
        ))),
        (Before::Unbelieved(why, _), _) => Err(refused(format!(
            "--gen {word} builds on what is kept at {topic}, which cannot be verified ({why}): give --trust FILE, or --gen N"
        ))),
        (Before::Nothing, Gen::Same) => Err(refused(format!("--gen same: nothing is kept at {topic}"))),
        (Before::Nothing, Gen::Auto | Gen::Number(_)) => Ok((1, rev.unwrap_or(0))),
        (Before::Verified(kept), Gen::Same) => {
            let numbers = (kept.number, rev.map_or_else(|| next(kept.rev), Ok)?);
            follows(numbers, before, topic).map(|()| numbers)
        }
        (Before::Verified(kept), Gen::Auto | Gen::Number(_)) => Ok((next(kept.number)?, rev.unwrap_or(0))),
    }
}

/// Whether boards that took what is kept would take these numbers.
fn follows((number, rev): (u64, u64), before: &Before, topic: &str) -> Result<(), Failure> {
    match before {
        Before::Verified(kept) if (number, rev) <= (kept.number, kept.rev) => Err(refused(format!(
            "generation {number}, revision {rev}, is not above generation {}, revision {}, which is kept at {topic}: boards \
             would refuse it (REPLAY)",
            kept.number, kept.rev
        ))),
        Before::Verified(_) | Before::Nothing => {
            let kept = before.kept().map_or(0, |kept| kept.number);
            if number.saturating_sub(kept) <= GENERATION_STEP_MAX {
                return Ok(());
            }
            Err(refused(format!(
                "generation {number} is more than {GENERATION_STEP_MAX} above {kept}: boards would refuse it (SCHEMA)"
            )))
        }
        Before::Unknown | Before::Unbelieved(..) => Ok(()),
    }
}

/// Whether an envelope follows what is kept, or is that itself.
pub(crate) fn above(bytes: &[u8], before: &Before, topic: &str) -> Result<(), Failure> {
    let payload = Envelope::parse(Kind::Desired, bytes).map(|envelope| envelope.payload().to_vec());
    let Ok(kept) = payload.and_then(|payload| Kept::of(&payload)) else { return Ok(()) };
    if before.payload() == Some(&kept.payload) {
        return Ok(());
    }
    follows((kept.number, kept.rev), before, topic)
}

/// With `--gen same`, the seed of before: the same devices come first. Its content has to be the same.
pub(crate) fn same(
    generation: Gen,
    before: &Before,
    projects: &Map<String, Value>,
) -> Result<Option<String>, Failure> {
    let (Gen::Same, Some(kept)) = (generation, before.kept()) else { return Ok(None) };
    if kept.payload.get("projects").and_then(Value::as_object) != Some(projects) {
        return Err(refused(
            "--gen same changes policy alone, and these projects differ from those that are kept: a new content is a new \
             generation (--gen auto)"
                .to_owned(),
        ));
    }
    Ok(Some(kept.seed.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(number: u64, rev: u64) -> Kept {
        Kept { payload: Value::Null, number, rev, seed: String::new() }
    }

    #[track_caller]
    fn check(generation: Gen, rev: Option<u64>, before: &Before, expected: Result<(u64, u64), &str>) {
        match (numbers(generation, rev, before, "topic"), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(failure), Err(why)) => assert!(failure.message.contains(why), "{}", failure.message),
            (found, _) => panic!("{found:?}"),
        }
    }

    #[test]
    fn numbers_follow_what_is_kept_and_believed() {
        let (verified, strange) =
            (Before::Verified(kept(4, 2)), Before::Unbelieved("why".into(), Some(kept(9, 9))));
        check(Gen::Auto, None, &Before::Nothing, Ok((1, 0)));
        check(Gen::Auto, None, &verified, Ok((5, 0)));
        check(Gen::Auto, Some(3), &verified, Ok((5, 3)));
        check(Gen::Auto, None, &strange, Err("cannot be verified (why)"));
        check(Gen::Auto, None, &Before::Unknown, Err("give --broker URL"));
        check(Gen::Same, None, &verified, Ok((4, 3)));
        check(Gen::Same, Some(7), &verified, Ok((4, 7)));
        check(Gen::Same, Some(2), &verified, Err("is not above"));
        check(Gen::Same, None, &Before::Nothing, Err("nothing is kept"));
        check(Gen::Number(5), None, &verified, Ok((5, 0)));
        check(Gen::Number(4), Some(3), &verified, Ok((4, 3)));
        check(Gen::Number(4), Some(2), &verified, Err("boards would refuse it (REPLAY)"));
        check(Gen::Number(3), Some(9), &verified, Err("is not above generation 4, revision 2"));
        check(Gen::Number(4 + GENERATION_STEP_MAX), None, &verified, Ok((4 + GENERATION_STEP_MAX, 0)));
        check(Gen::Number(5 + GENERATION_STEP_MAX), None, &verified, Err("boards would refuse it (SCHEMA)"));
        check(Gen::Number(u64::MAX), None, &Before::Nothing, Err("boards would refuse it (SCHEMA)"));
        check(Gen::Number(3), None, &strange, Ok((3, 0)));
        check(Gen::Number(3), None, &Before::Unknown, Ok((3, 0)));
        check(Gen::Auto, None, &Before::Verified(kept(u64::MAX, 0)), Err("has no number after it"));
    }
}
