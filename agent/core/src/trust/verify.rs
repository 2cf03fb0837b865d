//! Holding signatures against keys, and the type of what passed.

use std::collections::BTreeSet;
use std::ops::Deref;

use super::document::{RoleName, TrustDocument};
use super::envelope::{Envelope, Signature, pae};
use super::key::{KeyId, PublicKey};
use crate::fault::{Code, Fault};
use crate::oci::Digest;

/// Who vouches for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Voucher {
    /// These keys signed it, as many as their role needs.
    Keys(BTreeSet<KeyId>),
    /// Nobody: the board's configuration takes what is not signed.
    Nobody,
}

/// Something that came in an envelope the board believes. It is made in this module's neighborhood alone, so having
/// one is the proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T> {
    value: T,
    digest: Digest,
    voucher: Voucher,
}

impl<T> Verified<T> {
    /// Who vouches for it.
    pub fn voucher(&self) -> &Voucher {
        &self.voucher
    }

    /// The digest of the bytes that were signed.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The same, read as something else.
    pub(crate) fn read<U>(self, read: impl FnOnce(T) -> Result<U, Fault>) -> Result<Verified<U>, Fault> {
        Ok(Verified { value: read(self.value)?, digest: self.digest, voucher: self.voucher })
    }

    /// The value, without the proof.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Takes an envelope on the word of the board's configuration.
pub(super) fn unsigned(envelope: Envelope) -> Verified<Vec<u8>> {
    let digest = envelope.digest();
    Verified { value: envelope.into_payload(), digest, voucher: Voucher::Nobody }
}

/// Takes an envelope that enough different keys of the role `name` have signed.
///
/// # Errors
/// `UNSIGNED` where nobody signed, `SIGNATURE` where too few did; it says how many, and the hint whose would count.
pub fn verify(envelope: Envelope, trust: &TrustDocument, name: RoleName) -> Result<Verified<Vec<u8>>, Fault> {
    let role = trust.role(name);
    let message = pae(envelope.kind(), envelope.payload());
    let mut candidates: Vec<&PublicKey> = role.keys.iter().filter_map(|id| trust.keys().get(id)).collect();
    let mut signers = BTreeSet::new();
    let mut good = 0_usize;
    for signature in envelope.signatures() {
        // What its maker claims comes first: it saves work, and proves nothing.
        let claimed = signature.keyid.as_deref().and_then(KeyId::parse);
        candidates.sort_by_key(|key| Some(key.id()) != claimed);
        let Some(key) = candidates.iter().find(|key| key.verifies(&message, &signature.sig)) else {
            continue;
        };
        good = good.saturating_add(1);
        signers.insert(key.id());
        if signers.len() >= role.threshold {
            break;
        }
    }
    if role.threshold > 0 && signers.len() >= role.threshold {
        let digest = envelope.digest();
        return Ok(Verified { value: envelope.into_payload(), digest, voucher: Voucher::Keys(signers) });
    }
    Err(refused(envelope.kind().noun(), envelope.signatures(), good, signers.len(), trust, name))
}

fn refused(
    noun: &str,
    signatures: &[Signature],
    good: usize,
    signers: usize,
    trust: &TrustDocument,
    name: RoleName,
) -> Fault {
    let role = trust.role(name);
    let all = signatures.len();
    let fault = if all == 0 {
        Fault::new(Code::Unsigned, &format!("{noun} carries no signature"))
    } else {
        let count = |keys: usize| if keys == 1 { "1 key".to_owned() } else { format!("{keys} keys") };
        let (by, needed) = (count(signers), count(role.threshold));
        let message =
            format!("{good} of {all} signatures of the {noun} are good, by {by}; {name} needs {needed}");
        Fault::new(Code::Signature, &message)
    };
    fault.hint(&whose(trust, name))
}

/// Whose signature would count.
pub(super) fn whose(trust: &TrustDocument, name: RoleName) -> String {
    let role = trust.role(name);
    if role.keys.is_empty() {
        return format!("this board has no key for {name}; coracle trust show lists those it has");
    }
    let keys = role.keys.iter().map(KeyId::short).collect::<Vec<_>>().join(" ");
    format!("for {name} this board wants {} of the keys {keys} (coracle trust show)", role.threshold)
}
