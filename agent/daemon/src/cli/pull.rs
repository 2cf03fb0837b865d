//! `coracle pull`, and how every command gets an image.

use std::sync::{Arc, Mutex};

use coracle_core::oci::reference::Reference;
use coracle_core::preflight::Preflight;
use coracle_host::store::ImageRecord;
use serde_json::json;

use super::args::Pull;
use super::{context, out, progress};
use crate::config::Settings;
use crate::exit::{Exit, Failure, chain};
use crate::faults;
use crate::images::{ImageError, Images, Reach, Step, Watch, words};
use crate::pace::Urgency;

/// Fetches an image and says what was fetched.
pub(super) fn pull(settings: &Settings, args: &Pull) -> Result<Exit, Failure> {
    let store = context::store(settings)?;
    let images = context::images(settings, &store, args.platform.as_deref())?;
    if args.dry_run {
        return dry_run(&images, args);
    }
    images.registry.bound_speed(args.max_bps.unwrap_or(0));
    images.pace.begin(if args.full_speed { Urgency::Urgent } else { Urgency::Normal });
    let (watch, moved) = counted(progress::watch(args.quiet || args.json));
    let (record, figures) = context::run(admitted(&images, &args.reference, &watch))?;
    let moved = moved.lock().map(|moved| *moved).unwrap_or_default();
    let moved = Moved { rested_ms: images.pace.rested_ms(), ..moved };
    if args.json {
        let mut image = describe(&record);
        if let Some(fields) = image.as_object_mut() {
            fields.insert("transfer".to_owned(), moved.json());
            fields.insert("preflight".to_owned(), json!(figures));
        }
        out::json(&image);
    } else {
        if moved.layers > 0 && !args.quiet {
            out::note(moved.words());
        }
        out::line(format_args!("{} for {}: {}", record.reference, record.platform, record.manifest));
    }
    Ok(Exit::Done)
}

/// Says what a pull would fetch, write and need; ends as it would where the disk has no room for it.
fn dry_run(images: &Images, args: &Pull) -> Result<Exit, Failure> {
    let reference = parse(&args.reference)?;
    let resolved = context::run(async { images.resolve(&reference).await.map_err(|error| failure(&error)) })?;
    let figures = images.preflight(&[&resolved]).map_err(|error| Failure::new(Exit::Unexpected, &error))?;
    let fits = figures.lack().is_none();
    if args.json {
        let (manifest, platform) = (resolved.raw.digest, resolved.platform.to_string());
        out::json(&json!({
            "reference": reference.to_string(),
            "manifest": manifest,
            "platform": platform,
            "preflight": figures,
            "fits": fits,
        }));
    } else {
        out::line(words(&figures));
    }
    Ok(if fits { Exit::Done } else { Exit::TryAgain })
}

/// Rests shorter than this are nobody's concern: that of one look at whether workloads wait because of the pull.
const RESTED_MS_MIN: u64 = 600;

/// What a pull took over the link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Moved {
    layers: u64,
    bytes: u64,
    resumed: u64,
    refetched: u64,
    rested_ms: u64,
}

impl Moved {
    fn json(self) -> serde_json::Value {
        json!({
            "layers": self.layers,
            "layerBytes": self.bytes,
            "resumedBytes": self.resumed,
            "refetchedBytes": self.refetched,
            "restedMs": self.rested_ms,
        })
    }

    fn words(self) -> String {
        let layers = out::count(self.layers, "layer");
        let mut words = format!("{layers}, {}", out::bytes(self.bytes));
        if self.resumed > 0 {
            words += &format!("; {} of it from an earlier attempt", out::bytes(self.resumed));
        }
        if self.refetched > 0 {
            words += &format!("; {} came twice", out::bytes(self.refetched));
        }
        if self.rested_ms >= RESTED_MS_MIN {
            words += &format!("; held up for {} s, because workloads waited", self.rested_ms.div_ceil(1000));
        }
        words
    }
}

/// Passes the steps on to `watch`, and adds up.
fn counted(watch: Watch) -> (Watch, Arc<Mutex<Moved>>) {
    let moved = Arc::new(Mutex::new(Moved::default()));
    let sum = Arc::clone(&moved);
    let counting: Watch = Arc::new(move |step| {
        if let (Step::Unpacked(layer), Ok(mut moved)) = (&step, sum.lock()) {
            moved.layers += 1;
            moved.bytes += layer.size;
            moved.resumed += layer.resumed_at;
            moved.refetched += layer.refetched;
        }
        watch(step);
    });
    (counting, moved)
}

/// The image that `text` names, whole in the store.
pub(super) async fn fetch(images: &Images, text: &str, watch: &Watch) -> Result<ImageRecord, Failure> {
    admitted(images, text, watch).await.map(|(record, _)| record)
}

/// The same with the figures from before the first byte; none where nothing had to be asked for.
async fn admitted(
    images: &Images,
    text: &str,
    watch: &Watch,
) -> Result<(ImageRecord, Option<Preflight>), Failure> {
    let reference = parse(text)?;
    if let Some(held) = images.held(&reference).map_err(|error| Failure::new(Exit::Unexpected, &error))? {
        let digest = reference.digest().unwrap_or(&held.index);
        let vouched = images.vouch_held(&reference, digest, Reach::Registry).await;
        vouched.map_err(|error| failure(&error))?;
        return Ok((held, None));
    }
    let resolved = images.resolve(&reference).await.map_err(|error| failure(&error))?;
    let figures = images.admit(&[&resolved]).await.map_err(|error| failure(&error))?;
    let record = images.pull(&resolved, watch).await.map_err(|error| failure(&error))?;
    Ok((record, Some(figures)))
}

fn parse(text: &str) -> Result<Reference, Failure> {
    Reference::parse(text).map_err(|error| Failure::new(Exit::Usage, &error))
}

/// How a command ends when an image could not be had.
pub(super) fn failure(error: &ImageError) -> Failure {
    let exit = match error {
        ImageError::Untrusted { fault } | ImageError::Unruled { fault } => {
            let exit = if matches!(error, ImageError::Untrusted { .. }) {
                Exit::Refused
            } else {
                Exit::Configuration
            };
            let hint = fault.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
            return Failure { exit, message: format!("{fault}{hint}") };
        }
        error if error.passes() => Exit::TryAgain,
        ImageError::Registry { .. }
        | ImageError::Store { .. }
        | ImageError::Document { .. }
        | ImageError::Room { .. }
        | ImageError::Platform { .. } => Exit::Unexpected,
    };
    let hint = faults::of_image(error).hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    Failure { exit, message: format!("{}{hint}", chain(error)) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moved_is_said_without_what_did_not_happen() {
        let all = Moved { layers: 3, bytes: 4096, resumed: 1024, refetched: 10, rested_ms: 599 };
        for (moved, words) in [
            (Moved { resumed: 0, refetched: 0, ..all }, "3 layers, 4.0 KiB"),
            (
                Moved { layers: 1, refetched: 0, ..all },
                "1 layer, 4.0 KiB; 1.0 KiB of it from an earlier attempt",
            ),
            (all, "3 layers, 4.0 KiB; 1.0 KiB of it from an earlier attempt; 10 B came twice"),
            (
                Moved { resumed: 0, refetched: 0, rested_ms: 4100, ..all },
                "3 layers, 4.0 KiB; held up for 5 s, because workloads waited",
            ),
        ] {
            assert_eq!(moved.words(), words);
        }
    }
}
