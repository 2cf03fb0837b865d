//! Whether what the store holds is still what was put into it. Only looks: nothing is changed or removed.

use std::path::PathBuf;

use coracle_core::oci::Digest;
use coracle_core::scrub::Problem;

use super::Store;
use super::drafts::TREE;
use super::error::{Result, StoreError};
use super::layers::{LIST, RECORD};
use super::list::{self, Looked};

/// How a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// There is no such layer.
    Missing,
    /// It was unpacked by an agent that made no list: only that it is there can be said.
    Unlisted,
    /// It was held against its list, or there is something wrong with its records.
    Looked(Looked),
}

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Whether its records are there and whole: a few small reads.
    Records,
    /// Every entry and every byte.
    Content,
}

impl Store {
    /// Holds a layer against its list. Blocks for as long as reading all of it takes; `progress` hears of the bytes read,
    /// and may hold it up.
    ///
    /// # Errors
    /// [`StoreError`] only where the store itself cannot be read.
    pub fn verify_layer(
        &self,
        diff_id: &Digest,
        depth: Depth,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Condition> {
        let home = self.layers().join(diff_id.hex());
        if !home.try_exists().unwrap_or(true) {
            return Ok(Condition::Missing);
        }
        let wrong = |path: &str, problem| {
            let mut looked = Looked::default();
            looked.add(Some(path.to_owned()), problem);
            Ok(Condition::Looked(looked))
        };
        let tree = home.join(TREE);
        let Some(record) = self.layer(diff_id) else { return wrong(RECORD, Problem::Record) };
        if !tree.is_dir() {
            return wrong(TREE, Problem::Missing);
        }
        let Some(sum) = record.list else { return Ok(Condition::Unlisted) };
        let path = home.join(LIST);
        if depth == Depth::Records {
            return match path.metadata() {
                Ok(_) => Ok(Condition::Looked(Looked::default())),
                Err(error) => wrong(LIST, list::unread(&error)),
            };
        }
        match list::compare(&tree, &path, sum, progress) {
            Ok(looked) => Ok(Condition::Looked(looked)),
            Err(StoreError::Io { source, .. }) => wrong(TREE, Problem::Unreadable(source.to_string())),
            Err(other) => Err(other),
        }
    }

    /// What is wrong with a manifest or image config; `None` where nothing is.
    #[must_use]
    pub fn verify_blob(&self, digest: &Digest) -> Option<Problem> {
        match self.raw_blob(digest) {
            Ok(None) => Some(Problem::Missing),
            Ok(Some(bytes)) if Digest::of(&bytes) == *digest => None,
            Ok(Some(_)) => Some(Problem::Content),
            Err(StoreError::Io { source, .. }) => Some(Problem::Unreadable(source.to_string())),
            Err(other) => Some(Problem::Unreadable(other.to_string())),
        }
    }

    /// Every layer that is here, whole or not.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn all_layers(&self) -> Result<Vec<Digest>> {
        let mut layers = self.names(&self.layers())?;
        layers.sort();
        Ok(layers)
    }

    /// The image records that cannot be read. Each is named by the digest of its reference.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn damaged_images(&self) -> Result<Vec<(PathBuf, Option<Digest>)>> {
        let name =
            |path: &PathBuf| path.file_stem().and_then(|stem| stem.to_str()).and_then(Digest::from_hex);
        let damaged = self.image_files()?.into_iter().filter(|(_, image)| image.is_none());
        Ok(damaged.map(|(path, _)| (path.clone(), name(&path))).collect())
    }
}
