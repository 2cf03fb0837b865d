//! `coracle images` and `prune`.

use std::collections::BTreeSet;

use coracle_core::oci::{Digest, Reference};
use coracle_host::store::{ImageRecord, Store};
use serde_json::json;

use super::args::{ChangeImage, Images, Json};
use super::{context, out, pull};
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::pins::{self, PinError};
use crate::retain::{self, CollectError};

/// Lists images, or changes what is said of one.
pub(super) fn images(settings: &Settings, args: &Images) -> Result<Exit, Failure> {
    match &args.change {
        None => list(settings, args.json),
        Some(ChangeImage::Pin(name)) => pin(settings, &name.reference),
        Some(ChangeImage::Unpin(name)) => unpin(settings, &name.reference),
    }
}

fn pin(settings: &Settings, name: &str) -> Result<Exit, Failure> {
    let store = context::store(settings)?;
    let reference = full(name)?;
    // Under the lock of a pull: a collection that is under way does not miss it.
    let _shared = store.share().map_err(|error| Failure::new(Exit::TryAgain, &error))?;
    let held = store.image(&reference).map_err(|error| Failure::new(Exit::Unexpected, &error))?;
    if held.is_none() {
        return Err(Failure::usage(format!("{reference} is not on this board; pull it first")));
    }
    let new = pins::pin(&settings.state_dir, &reference).map_err(|error| unpinned(&error))?;
    out::line(format_args!("{reference} is {}", if new { "pinned" } else { "pinned already" }));
    Ok(Exit::Done)
}

fn unpin(settings: &Settings, name: &str) -> Result<Exit, Failure> {
    let reference = full(name)?;
    if !pins::unpin(&settings.state_dir, &reference).map_err(|error| unpinned(&error))? {
        return Err(Failure::usage(format!("{reference} is not pinned")));
    }
    out::line(format_args!("{reference} is no longer pinned"));
    Ok(Exit::Done)
}

fn full(name: &str) -> Result<String, Failure> {
    Reference::parse(name)
        .map(|reference| reference.to_string())
        .map_err(|error| Failure::new(Exit::Usage, &error))
}

fn unpinned(error: &PinError) -> Failure {
    let exit = match error {
        PinError::Io { .. } => Exit::Unexpected,
        PinError::Lock(_) => Exit::TryAgain,
        PinError::Full => Exit::Usage,
    };
    Failure::new(exit, error)
}

fn list(settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    let store = context::store(settings)?;
    let records = store.images().map_err(|error| Failure::new(Exit::Unexpected, &error))?;
    let used = needed(settings)?;
    let pinned = pins::all(&settings.state_dir).map_err(|error| unpinned(&error))?;
    if as_json {
        let describe = |record: &ImageRecord| {
            let used = used.contains(&record.manifest);
            json!({
                "image": pull::describe(record),
                "used": used,
                "pinned": pinned.contains(&record.reference),
                "unpackedBytes": unpacked(&store, record),
            })
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
            if pinned.contains(&record.reference) { "yes" } else { "no" }.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = records.iter().map(row).collect();
    out::line(out::table(&["IMAGE", "PLATFORM", "MANIFEST", "SIZE", "USED", "PINNED"], &rows));
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
    let collected = retain::collect(
        settings,
        &context::supervisor(settings)?,
        &*context::store(settings)?,
        &BTreeSet::new(),
    );
    let collected = collected.map_err(|error| match &error {
        CollectError::Store(_) => Failure::new(Exit::TryAgain, &error),
        CollectError::Journal(_) | CollectError::Pins(_) | CollectError::Newer(_) => {
            Failure::new(Exit::Unexpected, &error)
        }
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
