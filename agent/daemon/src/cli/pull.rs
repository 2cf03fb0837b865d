//! `coracle pull`, and how every command gets an image.

use coracle_core::oci::reference::Reference;
use coracle_host::store::ImageRecord;
use serde_json::json;

use super::args::Pull;
use super::{context, out, progress};
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::images::{ImageError, Images, Watch};

/// Fetches an image and says what was fetched.
pub(super) fn pull(settings: &Settings, args: &Pull) -> Result<Exit, Failure> {
    let store = context::store(settings)?;
    let images = context::images(settings, &store, args.platform.as_deref())?;
    let watch = progress::watch(args.quiet || args.json);
    let record = context::run(fetch(&images, &args.reference, &watch))?;
    if args.json {
        out::json(&describe(&record));
    } else {
        out::line(format_args!("{} for {}: {}", record.reference, record.platform, record.manifest));
    }
    Ok(Exit::Done)
}

/// The image that `text` names, whole in the store.
pub(super) async fn fetch(images: &Images, text: &str, watch: &Watch) -> Result<ImageRecord, Failure> {
    let reference = Reference::parse(text).map_err(|error| Failure::new(Exit::Usage, &error))?;
    if let Some(held) = images.held(&reference).map_err(|error| Failure::new(Exit::Unexpected, &error))? {
        return Ok(held);
    }
    let resolved = images.resolve(&reference).await.map_err(|error| failure(&error))?;
    images.pull(&resolved, watch).await.map_err(|error| failure(&error))
}

/// How a command ends when an image could not be had.
pub(super) fn failure(error: &ImageError) -> Failure {
    let exit = if error.passes() { Exit::TryAgain } else { Exit::Unexpected };
    Failure::new(exit, error)
}

/// An image for programs.
pub(super) fn describe(record: &ImageRecord) -> serde_json::Value {
    json!({
        "reference": record.reference,
        "index": record.index,
        "manifest": record.manifest,
        "platform": record.platform.to_string(),
        "layers": record.layers,
        "pulledAt": record.pulled_at,
    })
}
