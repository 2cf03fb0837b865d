//! Signatures beside an image in the store, to verify it again without a network. Saved form, version 1.
//!
//! ```text
//! {"version":1,"proofs":[{"form":"simple","payload":"<base64>","signature":"<base64>"},{"form":"bundle","bundle":"<base64>"}]}
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::proof::Proof;

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    proofs: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "lowercase")]
enum Entry {
    Simple { payload: String, signature: String },
    Bundle { bundle: String },
}

/// The saved form.
#[must_use]
pub fn to_bytes(proofs: &[Proof]) -> Vec<u8> {
    let entry = |proof: &Proof| match proof {
        Proof::Simple { payload, signature } => {
            Entry::Simple { payload: STANDARD.encode(payload), signature: STANDARD.encode(signature) }
        }
        Proof::Bundle(bundle) => Entry::Bundle { bundle: STANDARD.encode(bundle) },
    };
    crate::reported::written(&Saved { version: VERSION, proofs: proofs.iter().map(entry).collect() })
}

/// What is saved; `None` where it cannot be read, and the signatures have to be fetched again.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Vec<Proof>> {
    let saved: Saved = serde_json::from_slice(bytes).ok().filter(|saved: &Saved| saved.version == VERSION)?;
    let decode = |text: &String| STANDARD.decode(text).ok();
    let proof = |entry: &Entry| {
        Some(match entry {
            Entry::Simple { payload, signature } => {
                Proof::Simple { payload: decode(payload)?, signature: decode(signature)? }
            }
            Entry::Bundle { bundle } => Proof::Bundle(decode(bundle)?),
        })
    };
    saved.proofs.iter().map(proof).collect()
}
