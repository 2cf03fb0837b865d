//! `coracle images` and `prune`.

use std::collections::BTreeSet;

use coracle_core::oci::Digest;
use coracle_host::store::{ImageRecord, Store};
use serde_json::json;

use super::args::Json;
use super::{context, out, pull};
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::retain::{self, CollectError};

/// Lists images.
pub(super) fn images(settings: &Settings, args: &Json) -> Result<Exit, Failure> {
    let store = context::store(settings)?;
    let records = store.images().map_err(|error| Failure::new(Exit::Unexpected, &error))?;
    let used = needed(settings)?;
    if args.json {
        let describe = |record: &ImageRecord| {
            let used = used.contains(&record.manifest);
            json!({ "image": pull::describe(record), "used": used, "unpackedBytes": unpacked(&store, record) })
        };
        out::json(&records.iter().map(describe).collect());
        return Ok(Exit::Done);
    }
    let row = |record: &ImageRecord| {
        vec![
            record.reference.clone(),
            record.platform.to_string(),
            record.manifest.short(),
            out::bytes(unpacked(&store, record)),
            if used.contains(&record.manifest) { "yes" } else { "no" }.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = records.iter().map(row).collect();
    out::line(out::table(&["IMAGE", "PLATFORM", "MANIFEST", "SIZE", "USED"], &rows));
    Ok(Exit::Done)
}

fn unpacked(store: &Store, record: &ImageRecord) -> u64 {
    record.layers.iter().filter_map(|layer| store.layer(layer)).map(|layer| layer.unpacked_bytes).sum()
}

fn needed(settings: &Settings) -> Result<BTreeSet<Digest>, Failure> {
    retain::needed(settings, &context::supervisor(settings)?)
        .map_err(|error| Failure::new(Exit::Unexpected, &error))
}

/// Removes what nothing needs.
pub(super) fn prune(settings: &Settings, args: &Json) -> Result<Exit, Failure> {
    let collected = retain::collect(settings, &context::supervisor(settings)?, &*context::store(settings)?);
    let collected = collected.map_err(|error| match &error {
        CollectError::Store(_) => Failure::new(Exit::TryAgain, &error),
        CollectError::Journal(_) => Failure::new(Exit::Unexpected, &error),
    })?;
    if args.json {
        out::json(&json!({
            "images": collected.images,
            "layers": collected.layers,
            "blobs": collected.blobs,
            "bytes": collected.bytes,
        }));
    } else {
        out::line(format_args!(
            "removed {}, {}, {} in all",
            out::count(collected.images, "image"),
            out::count(collected.layers, "layer"),
            out::bytes(collected.bytes)
        ));
    }
    Ok(Exit::Done)
}
