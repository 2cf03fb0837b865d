//! What a pull would move and need, held against the disk before its first byte.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coracle_core::oci::{Descriptor, Digest};
use coracle_core::preflight::{Measured, Preflight, Room};
use coracle_host::disk;
use coracle_host::reserve::{RESERVE_BYTES, Reserve};
use coracle_host::store::StoreError;

use super::{ImageError, Images, Resolved};
use crate::cli::out;
use crate::events;
use crate::exit::chain;
use crate::retain::Goal;

/// References that a message names of many.
const NAMED_MAX: usize = 3;

impl Images {
    /// The figures of what is missing of these images, all of them together.
    ///
    /// # Errors
    /// [`StoreError`] when store or disk cannot be looked at.
    pub(crate) fn preflight(&self, images: &[&Resolved]) -> Result<Preflight, StoreError> {
        let (mut missing, mut present) = (BTreeMap::<Digest, &Descriptor>::new(), BTreeSet::new());
        let mut documents = Vec::new();
        for image in images {
            for (layer, diff_id) in image.manifest.layers.iter().zip(&image.config.diff_ids) {
                if self.store.has_layer(diff_id) {
                    present.insert(*diff_id);
                } else {
                    missing.insert(*diff_id, layer);
                }
            }
            let bytes = [&image.top.bytes, &image.raw.bytes, &image.config_bytes];
            documents.extend(bytes.map(|bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX)));
        }
        let mut measured = Measured::default();
        for layer in self.store.layer_records()? {
            measured.add(layer.wire_bytes, layer.unpacked_bytes, layer.entries);
        }
        let mut room = self.room()?;
        // What came of these layers before takes no room again.
        let blobs: Vec<_> = missing.values().map(|layer| layer.digest).collect();
        room.free_bytes = room.free_bytes.saturating_add(self.store.begun_bytes(&blobs)?);
        Ok(Preflight::of(missing.into_values(), present.len(), &documents, &measured, &room))
    }

    fn room(&self) -> Result<Room, StoreError> {
        let root = self.store.root();
        let space = disk::space(root).map_err(|source| StoreError::Io {
            attempt: "look at the free space of",
            path: root.to_owned(),
            source,
        })?;
        let held = Reserve::of(root).is_held();
        Ok(Room {
            free_bytes: space.free_bytes,
            free_files: space.free_files,
            block_bytes: space.block_bytes,
            // A reserve that is held is not among what is free.
            kept_bytes: if held { 0 } else { RESERVE_BYTES },
        })
    }

    /// Lets these images come, or refuses with the figures. What nothing needs is removed first, if that helps.
    ///
    /// # Errors
    /// [`ImageError::Room`], [`ImageError::Store`].
    pub(crate) async fn admit(&self, images: &[&Resolved]) -> Result<Preflight, ImageError> {
        let named = || names(images);
        let stored = |source| ImageError::Store { image: named(), source: Box::new(source) };
        let first = self.preflight(images).map_err(stored)?;
        let Some((bytes, files)) = first.lack() else { return Ok(first) };
        // What would not fit an empty store either costs no image its place, whatever a manifest says.
        if bytes > self.store.unpacked_bytes().map_err(stored)? {
            return Err(ImageError::Room { image: named(), figures: Box::new(first) });
        }
        let goal = Goal {
            bytes: if files > 0 { u64::MAX } else { bytes },
            // Layers of an earlier attempt are here, and needed in a moment.
            spared: images.iter().map(|image| image.raw.digest).collect(),
        };
        let (keeper, store) = (Arc::clone(&self.keeper), Arc::clone(&self.store));
        match tokio::task::spawn_blocking(move || keeper.make_room(&store, &goal)).await {
            Ok(Ok(collected)) => events::collected(&collected),
            Ok(Err(error)) => events::not_collected(&chain(&error)),
            Err(error) => events::not_collected(&error.to_string()),
        }
        let second = self.preflight(images).map_err(stored)?;
        match second.lack() {
            None => Ok(second),
            Some(_) => Err(ImageError::Room { image: named(), figures: Box::new(second) }),
        }
    }
}

fn names(images: &[&Resolved]) -> String {
    let named = images.iter().take(NAMED_MAX).map(|image| image.reference.to_string());
    let more = images.len().saturating_sub(NAMED_MAX);
    let more = (more > 0).then(|| format!("{more} more"));
    named.chain(more).collect::<Vec<_>>().join(", ")
}

/// The figures for a person.
pub(crate) fn words(figures: &Preflight) -> String {
    let layers = u64::try_from(figures.layers).unwrap_or(u64::MAX);
    let mut words = format!(
        "{} to fetch for {}, about {} to write in {}; the disk needs {} and has {}",
        out::bytes(figures.wire_bytes),
        out::count(layers, "layer"),
        out::bytes(figures.write_bytes),
        out::count(figures.files, "file"),
        out::bytes(figures.peak_bytes),
        out::bytes(figures.free_bytes),
    );
    if figures.kept_bytes > 0 {
        words +=
            &format!(", of which {} stay for the journal and a roll back", out::bytes(figures.kept_bytes));
    }
    if let Some((_, files)) = figures.lack().filter(|(_, files)| *files > 0) {
        words += &format!("; {} too many for its inodes", out::count(files, "file"));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_figures_are_told() {
        let figures = Preflight {
            layers: 2,
            present: 1,
            wire_bytes: 1 << 20,
            write_bytes: 3 << 20,
            peak_bytes: 4 << 20,
            files: 200,
            free_bytes: 2 << 20,
            kept_bytes: 1 << 20,
            free_files: Some(150),
        };
        assert_eq!(
            words(&figures),
            "1.0 MiB to fetch for 2 layers, about 3.0 MiB to write in 200 files; the disk needs 4.0 MiB and has 2.0 MiB, \
             of which 1.0 MiB stay for the journal and a roll back; 50 files too many for its inodes"
        );
    }
}
