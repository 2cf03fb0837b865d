//! The store held against what was put into it, and what is damaged fetched again.
//!
//! Invariant: nothing is removed because it is damaged. A damaged layer stays in its place until a sound one is there
//! whole, and after that for as long as a workload runs on it.

mod background;
mod inventory;
mod look;
mod mend;
mod users;

use std::collections::{BTreeMap, BTreeSet};

use coracle_core::ident::WorkloadId;
use coracle_core::oci::Digest;
use coracle_host::store::Damage;
use serde_json::{Value, json};

pub(crate) use background::{News, Scrubber};
pub(crate) use inventory::{Inventory, Known, Wanted};
pub(crate) use look::{At, Report, look};
pub(crate) use mend::{Mended, mend};
pub(crate) use users::{restart, sweep};

/// What is damaged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Thing {
    /// A layer, by its diff ID.
    Layer(Digest),
    /// An index, manifest or image config, and which of them.
    Blob(Digest, &'static str),
    /// The record of a reference, by that reference's digest.
    Image(Digest),
    /// Another file below the state directory, by its path from there.
    File(String),
}

impl std::fmt::Display for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Layer(digest) => write!(f, "layer {}", digest.short()),
            Self::Blob(digest, what) => write!(f, "{what} {}", digest.short()),
            Self::Image(digest) => write!(f, "image record images/{}.json", digest.short()),
            Self::File(path) => f.write_str(path),
        }
    }
}

/// Something that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What.
    pub(crate) thing: Thing,
    /// Which images need it.
    pub(crate) images: Vec<String>,
    /// Which workloads run on it.
    pub(crate) workloads: BTreeSet<WorkloadId>,
    /// What is wrong with it, the first of it.
    pub(crate) damage: Vec<Damage>,
    /// How much is wrong in all.
    pub(crate) damaged: u64,
}

impl Finding {
    /// For programs.
    pub(crate) fn describe(&self) -> Value {
        let (kind, name) = match &self.thing {
            Thing::Layer(digest) => ("layer", digest.to_string()),
            Thing::Blob(digest, what) => (*what, digest.to_string()),
            Thing::Image(digest) => ("image record", digest.hex()),
            Thing::File(path) => ("file", path.clone()),
        };
        let workloads: Vec<String> = self.workloads.iter().map(ToString::to_string).collect();
        json!({
            "kind": kind, "name": name, "images": self.images, "workloads": workloads,
            "damage": self.damage, "damaged": self.damaged,
        })
    }

    /// The first thing that is wrong, in one line.
    pub(crate) fn line(&self) -> String {
        let first = self.damage.first().map(|damage| match &damage.path {
            Some(path) => format!(": {path} {}", damage.problem),
            None => format!(" {}", damage.problem),
        });
        let more = match self.damaged.saturating_sub(1) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        format!("{}{}{more}", self.thing, first.unwrap_or_default())
    }
}

/// The layers of every image, and which images need each.
fn needed_by(inventory: &Inventory) -> BTreeMap<Digest, Vec<String>> {
    let mut needed: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
    for image in &inventory.images {
        for layer in image.layers.iter().flatten() {
            let by = needed.entry(*layer).or_default();
            if !by.contains(&image.reference) {
                by.push(image.reference.clone());
            }
        }
    }
    needed
}
