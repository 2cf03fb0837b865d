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
    /// Whether the journal, as it is, was read back from its bytes before.
    proven: bool,
}

impl Store {
    /// Replaces the journal.
    pub fn write(&mut self, record: &Record) {
        self.journal.clone_from(record);
        self.proven = false;
    }

    /// What an agent that starts finds in the journal, read from its bytes. The same bytes once more would prove
    /// nothing.
    ///
    /// # Errors
    /// What was not read as it was written.
    pub fn read(&mut self) -> Result<Record, String> {
        if !self.proven {
            let bytes = self.journal.to_bytes().map_err(|error| error.to_string())?;
            let read = Record::from_bytes(&bytes).map_err(|error| error.to_string())?;
            if read != self.journal {
                return Err("it differs".to_owned());
            }
            self.proven = true;
        }
        Ok(self.journal.clone())
    }

    /// Removes every image that is not needed, and says which went.
    pub fn collect(&mut self, needed: &BTreeSet<Digest>) -> Vec<Digest> {
        let gone: Vec<Digest> = self.images.difference(needed).copied().collect();
        self.images.retain(|image| needed.contains(image));
        gone
    }
}
