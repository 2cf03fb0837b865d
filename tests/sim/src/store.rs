//! The board's disk: the journal, and which images are whole.

use std::collections::BTreeSet;

use coracle_core::oci::Digest;
use coracle_core::record::Record;

/// The disk.
#[derive(Debug, Clone, Default)]
pub struct Store {
    /// What the journal holds; a replaced file is the old or the new one.
    pub journal: Record,
    /// Manifests whose image is whole.
    pub images: BTreeSet<Digest>,
    /// Whether nothing can be written.
    pub full: bool,
}

impl Store {
    /// Removes every image that is not needed, and says which went.
    pub fn collect(&mut self, needed: &BTreeSet<Digest>) -> Vec<Digest> {
        let gone: Vec<Digest> = self.images.difference(needed).copied().collect();
        self.images.retain(|image| needed.contains(image));
        gone
    }
}
