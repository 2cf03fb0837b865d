//! One pass over the store: the documents of each image, then every layer.

use std::collections::{BTreeMap, BTreeSet};

use coracle_core::oci::Digest;
use coracle_core::scrub::Problem;
use coracle_host::store::{Condition, Damage, Depth, Store, StoreError};

use super::{Finding, Inventory, Thing, Wanted, needed_by};

/// How far a pass is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct At {
    /// Layers that were looked at.
    pub(crate) layers: u64,
    /// Of so many.
    pub(crate) of: u64,
    /// Bytes read.
    pub(crate) bytes: u64,
}

/// What a pass found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Layers that were looked at.
    pub(crate) layers: u64,
    /// Their entries.
    pub(crate) entries: u64,
    /// Bytes read.
    pub(crate) bytes: u64,
    /// Layers of which nothing can be said, for an earlier agent unpacked them.
    pub(crate) unlisted: Vec<Digest>,
    /// What is not as it was.
    pub(crate) findings: Vec<Finding>,
}

/// Looks at what is `wanted`. Blocks; `progress` hears of every piece that was read, and may hold the pass up.
///
/// # Errors
/// [`StoreError`] when the store cannot be read at all.
pub(crate) fn look(
    store: &Store,
    inventory: &Inventory,
    wanted: &Wanted,
    depth: Depth,
    progress: &mut dyn FnMut(At),
) -> Result<Report, StoreError> {
    let mut report = Report::default();
    if wanted.everything() {
        report.findings.extend(inventory.damaged.iter().cloned());
    }
    blobs(store, inventory, wanted, &mut report);
    let needed = needed_by(inventory);
    let layers = layers(store, &needed, wanted)?;
    let mut at = At { of: layers.len() as u64, ..At::default() };
    progress(at);
    for layer in layers {
        // Held for one layer at a time: a pass over a large store must not keep others from collecting for hours.
        let shared = store.share()?;
        let condition = store.verify_layer(&layer, depth, &mut |bytes| {
            at.bytes += bytes;
            progress(at);
        })?;
        drop(shared);
        at.layers += 1;
        progress(at);
        let images = needed.get(&layer).cloned().unwrap_or_default();
        let (damage, damaged) = match condition {
            Condition::Missing if images.is_empty() => continue,
            Condition::Missing => (vec![Damage { path: None, problem: Problem::Missing }], 1),
            Condition::Unlisted => {
                report.unlisted.push(layer);
                (Vec::new(), 0)
            }
            Condition::Looked(looked) => {
                report.entries += looked.entries;
                (looked.damage, looked.damaged)
            }
        };
        if damaged > 0 {
            let on = inventory.users.iter().filter(|user| user.layers.contains(&layer));
            let workloads = on.map(|user| user.id.clone()).collect();
            report.findings.push(Finding { thing: Thing::Layer(layer), images, workloads, damage, damaged });
        }
    }
    (report.layers, report.bytes) = (at.layers, at.bytes);
    Ok(report)
}

/// Indexes, manifests and configs: small, so all of them are read whatever the depth.
fn blobs(store: &Store, inventory: &Inventory, wanted: &Wanted, report: &mut Report) {
    let mut damaged: BTreeMap<Digest, Finding> = BTreeMap::new();
    for image in inventory.images.iter().filter(|image| wanted.image(&image.reference)) {
        let index = Some(image.index).filter(|index| image.recorded && *index != image.manifest);
        let parts = [(index, "index"), (Some(image.manifest), "manifest"), (image.config, "image config")];
        for (digest, what) in parts {
            let Some(digest) = digest else { continue };
            if let Some(problem) = store.verify_blob(&digest) {
                let finding = damaged.entry(digest).or_insert_with(|| Finding {
                    thing: Thing::Blob(digest, what),
                    images: Vec::new(),
                    workloads: BTreeSet::new(),
                    damage: vec![Damage { path: None, problem }],
                    damaged: 1,
                });
                finding.images.push(image.reference.clone());
            }
        }
    }
    report.findings.extend(damaged.into_values());
}

fn layers(
    store: &Store,
    needed: &BTreeMap<Digest, Vec<String>>,
    wanted: &Wanted,
) -> Result<BTreeSet<Digest>, StoreError> {
    if wanted.everything() {
        let mut all: BTreeSet<_> = store.all_layers()?.into_iter().collect();
        all.extend(needed.keys());
        return Ok(all);
    }
    let of_images =
        needed.iter().filter(|(_, images)| images.iter().any(|image| wanted.images.contains(image)));
    Ok(of_images.map(|(layer, _)| *layer).chain(wanted.layers.iter().copied()).collect())
}
