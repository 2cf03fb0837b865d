//! Documents and envelopes in files, judged as a board judges them.

use std::path::Path;

use coracle_core::compose::{Defaults, NetworkMode};
use coracle_core::desired::{self, Desired, Tags};
use coracle_core::fault::{Code, Fault};
use coracle_core::trust::{Envelope, Kind, Signature, TrustDocument};
use coracle_host::console::exit::{Exit, Failure};
use coracle_host::files;
use serde::Deserialize;

use crate::args::{Boards, Network};

/// A document with the signatures it has so far.
pub(crate) struct Document {
    pub(crate) kind: Kind,
    pub(crate) payload: Vec<u8>,
    pub(crate) signatures: Vec<Signature>,
}

/// What tells a document from an envelope, and one kind from the other.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Looks {
    payload_type: Option<String>,
    schema: Option<String>,
}

/// Which kind these bytes are, and whether they are an envelope.
pub(crate) fn kind(bytes: &[u8]) -> Result<(Kind, bool), Fault> {
    let looks: Looks = serde_json::from_slice(bytes)
        .map_err(|error| Fault::new(Code::Schema, &format!("document is not JSON: {error}")))?;
    let kinds = [Kind::Desired, Kind::Trust];
    if let Some(claimed) = &looks.payload_type {
        let found = kinds.into_iter().find(|kind| kind.payload_type() == claimed);
        let unknown = || Fault::new(Code::Schema, "envelope is of a payloadType that nobody here knows");
        return found.map(|kind| (kind, true)).ok_or_else(unknown);
    }
    match looks.schema.as_deref() {
        Some("desired/v1") => Ok((Kind::Desired, false)),
        Some("trust/v1") => Ok((Kind::Trust, false)),
        Some(_) | None => {
            let message = "document has neither the schema desired/v1 nor trust/v1, and is no envelope";
            Err(Fault::new(Code::Schema, message))
        }
    }
}

/// The bytes of a file that may hold an envelope or what goes into one.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let most = u64::try_from(Kind::Desired.bytes_max().max(Kind::Trust.bytes_max())).unwrap_or(u64::MAX);
    files::read_needed(path, most)
        .map_err(|error| Failure::usage(format!("failed to read {}: {error}", path.display())))
}

impl Document {
    /// Reads a file: a document without signatures, or an envelope with some.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = bytes(path)?;
        Self::parse(bytes).map_err(|fault| refused_in(path, &fault))
    }

    fn parse(bytes: Vec<u8>) -> Result<Self, Fault> {
        let (kind, sealed) = kind(&bytes)?;
        if !sealed {
            return Ok(Self { kind, payload: bytes, signatures: Vec::new() });
        }
        let envelope = Envelope::parse(kind, &bytes)?;
        Ok(Self { kind, payload: envelope.payload().to_vec(), signatures: envelope.signatures().to_vec() })
    }

    /// Whether a board would understand it, whoever signed it.
    pub(crate) fn check(&self, boards: Boards) -> Result<(), Fault> {
        match self.kind {
            Kind::Desired => {
                let desired = Desired::parse(&self.payload, Tags::from(boards.accept_tags))?;
                desired::projects(&desired.projects, &boards.defaults()).map(drop)
            }
            Kind::Trust => TrustDocument::parse(&self.payload).map(drop),
        }
    }
}

impl Boards {
    /// The same in the words of `core`.
    pub(crate) fn defaults(self) -> Defaults {
        Defaults {
            network: self.default_network.map(|network| match network {
                Network::Host => NetworkMode::Host,
                Network::None => NetworkMode::None,
            }),
        }
    }
}

/// An envelope that boards take: its length has a bound.
pub(crate) fn checked(envelope: &Envelope) -> Result<Vec<u8>, Failure> {
    let bytes = envelope.to_bytes();
    let again = Envelope::parse(envelope.kind(), &bytes);
    again.map(|_| bytes).map_err(|fault| refused(&fault))
}

/// The document in a file was refused.
pub(crate) fn refused_in(path: &Path, fault: &Fault) -> Failure {
    let Failure { exit, message } = refused(fault);
    Failure { exit, message: format!("{}: {message}", path.display()) }
}

/// A document was refused: the board's own words, and its exit code.
pub(crate) fn refused(fault: &Fault) -> Failure {
    let hint = fault.hint.as_deref().map(|hint| format!("; {hint}")).unwrap_or_default();
    Failure { exit: Exit::Refused, message: format!("{fault}{hint}") }
}
