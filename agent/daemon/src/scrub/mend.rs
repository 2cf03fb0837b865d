//! Fetches again what a pass found damaged, and nothing else.

use std::collections::BTreeSet;

use coracle_core::oci::Digest;

use super::inventory::Known;
use super::{Finding, Inventory, Thing};
use crate::exit::chain;
use crate::images::{Broken, ImageError, Images, Watch};

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Mended {
    /// Layers that were fetched again.
    pub(crate) layers: BTreeSet<Digest>,
    /// What was found damaged and is not any more.
    pub(crate) things: BTreeSet<Thing>,
    /// Bytes that came over the network.
    pub(crate) bytes: u64,
    /// What is still damaged, and why.
    pub(crate) failed: Vec<(Thing, String)>,
    /// Whether the same may work later.
    pub(crate) passes: bool,
}

/// Mends what can be mended of `findings`. Each image that needs something damaged is asked for it, until one gives it.
pub(crate) async fn mend(
    images: &Images,
    inventory: &Inventory,
    findings: &[Finding],
    watch: &Watch,
) -> Mended {
    if let Some(form) = &inventory.newer {
        // What looks damaged may be whole in a form that is not known here.
        let why = format!("nothing is repaired while this board has what a newer agent wrote: {form}");
        let failed = findings.iter().map(|finding| (finding.thing.clone(), why.clone())).collect();
        return Mended { failed, ..Mended::default() };
    }
    let mut mended = Mended::default();
    let mut broken = Broken::default();
    for finding in findings {
        match &finding.thing {
            Thing::Layer(digest) => drop(broken.layers.insert(*digest)),
            Thing::Blob(digest, _) => drop(broken.blobs.insert(*digest)),
            Thing::Image(_) | Thing::File(_) => {}
        }
    }
    let mut told = None;
    for known in &inventory.images {
        if !concerns(known, &broken, findings) {
            continue;
        }
        match images.mend(known, &mut broken, &mut mended.bytes, watch).await {
            Ok(()) => {}
            Err(error) => {
                mended.passes |= error.passes();
                told = Some(error);
            }
        }
    }
    let why = |error: &Option<ImageError>, otherwise: &str| {
        error.as_ref().map_or_else(|| otherwise.to_owned(), |error| chain(error))
    };
    for finding in findings {
        let left = match &finding.thing {
            Thing::Layer(digest) if broken.layers.contains(digest) => {
                Some(why(&told, "no image needs it any more: `coracle prune` removes it"))
            }
            Thing::Blob(digest, _) if broken.blobs.contains(digest) => Some(why(&told, "no image gave it")),
            Thing::Image(name) => match inventory.images.iter().find(|known| known.is_named(name)) {
                Some(known) if images.store.image(&known.reference).is_ok_and(|it| it.is_some()) => None,
                Some(_) => Some(why(&told, "its image is not whole")),
                None => {
                    Some("nobody knows of which image it is: pull the image again, or `coracle prune`".into())
                }
            },
            Thing::File(path) if path == "journal" => {
                Some("the agent puts it aside at its next start and takes the document anew".to_owned())
            }
            Thing::File(_) => Some("start the workload again: `coracle run`".to_owned()),
            Thing::Layer(_) | Thing::Blob(..) => None,
        };
        match left {
            Some(why) => mended.failed.push((finding.thing.clone(), why)),
            None => {
                mended.things.insert(finding.thing.clone());
                if let Thing::Layer(digest) = finding.thing {
                    mended.layers.insert(digest);
                }
            }
        }
    }
    mended
}

fn concerns(known: &Known, broken: &Broken, findings: &[Finding]) -> bool {
    let blob = |digest: &Digest| broken.blobs.contains(digest);
    let named = |finding: &Finding| matches!(&finding.thing, Thing::Image(name) if known.is_named(name));
    blob(&known.index)
        || blob(&known.manifest)
        || known.config.as_ref().is_some_and(blob)
        || known.layers.iter().flatten().any(|layer| broken.layers.contains(layer))
        || findings.iter().any(named)
}
