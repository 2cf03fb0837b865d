//! `coracle run`: docker's words, made into the same service that a deployment has.

mod service;

use std::sync::Arc;

use coracle_core::deployment::{PinnedImage, Workload};
use coracle_core::ident::{LOCAL_PROJECT, ProjectName, ServiceName, WorkloadId};
use coracle_core::oci::reference::Reference;
use coracle_host::store::{ImageRecord, Store};

use super::args::Run;
use super::attach::{Ending, Interrupt};
use super::{attach, context, out, progress, pull};
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::images::Reach;
use crate::local;
use crate::units::Units;

/// Runs an image as the command line says.
pub(super) fn run(settings: &Settings, args: &Run) -> Result<Exit, Failure> {
    let (service, id) = (service::service(args, settings.default_network)?, id(args)?);
    let store = context::store(settings)?;
    let units = context::units(settings, &store)?;
    if units.supervisor.status(&id).is_ok() {
        let name = id.service.as_str();
        return Err(Failure::usage(format!(
            "{id} exists; remove it with `coracle rm -f {name}`, or choose another --name"
        )));
    }
    // Whoever is root here may do all of this anyway; a document may not, and that is better known before it is written.
    for refusal in settings.allowance.refusals(&id.project, &id.service, &service) {
        let (asks, setting) = (&refusal.asks, &refusal.setting);
        out::note(format_args!(
            "coracle: note: a document may not ask for {asks} on this board; {setting} would allow it"
        ));
    }
    let record = image(settings, args, &store)?;
    let image = PinnedImage {
        reference: record.reference,
        index: record.index,
        manifest: record.manifest,
        platform: record.platform,
    };
    start(settings, &units, &id, &Workload { service, image }, args)
}

fn start(
    settings: &Settings,
    units: &Units,
    id: &WorkloadId,
    workload: &Workload,
    args: &Run,
) -> Result<Exit, Failure> {
    let wrong = |error: &dyn std::error::Error| Failure::new(Exit::Unexpected, error);
    let unit = units.unit(id, workload).map_err(|error| wrong(&error))?;
    let started = match args.detach {
        true => units.supervisor.start(&unit).map(|_| None),
        false => units.supervisor.start_attached(&unit).map(Some),
    };
    let attachment = match started {
        Ok(attachment) => attachment,
        Err(error) => {
            // A name that never ran must not be in the way of the next try.
            let _ = units.supervisor.remove(id);
            return Err(wrong(&error));
        }
    };
    local::remember(&settings.state_dir, id, workload).map_err(|error| wrong(&error))?;
    let Some(attachment) = attachment else {
        out::line(id);
        return Ok(Exit::Done);
    };
    let streams = attach::Streams::of(&workload.service);
    match attach::until_end(&units.supervisor, id, streams, attachment, Interrupt::Stops)? {
        Ending::Left => Ok(Exit::Done),
        Ending::Over(exit) => {
            if args.rm {
                local::forget(&settings.state_dir, id).map_err(|error| wrong(&error))?;
                units.supervisor.remove(id).map_err(|error| wrong(&error))?;
            }
            Ok(exit)
        }
    }
}

fn image(settings: &Settings, args: &Run, store: &Arc<Store>) -> Result<ImageRecord, Failure> {
    let text = args.words.first().map(String::as_str).unwrap_or_default();
    let reference = Reference::parse(text).map_err(|error| Failure::new(Exit::Usage, &error))?;
    let when = args.pull.as_deref().unwrap_or("missing");
    let images = context::images(settings, store, args.platform.as_deref())?;
    let known = match when {
        "always" => None,
        "missing" | "never" => {
            images.known(&reference).map_err(|error| Failure::new(Exit::Unexpected, &error))?
        }
        other => return Err(Failure::usage(format!("--pull {other}: say always, missing or never"))),
    };
    match known {
        Some(record) => {
            let reach = if when == "never" { Reach::Store } else { Reach::Registry };
            let digest = reference.digest().unwrap_or(&record.index);
            let vouched = async {
                images.vouch_held(&reference, digest, reach).await.map_err(|error| pull::failure(&error))
            };
            context::run(vouched)?;
            Ok(record)
        }
        None if when == "never" => Err(Failure::usage(format!(
            "{reference} is not on this board, and --pull=never forbids fetching it"
        ))),
        None => context::run(pull::fetch(&images, text, &progress::watch(false))),
    }
}

/// `--name`, or a name made from the image's: its last part.
fn id(args: &Run) -> Result<WorkloadId, Failure> {
    let image = args.words.first().map(String::as_str).unwrap_or_default();
    let last = image.split('@').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    let made = last.split(':').next().unwrap_or_default();
    let usage = |error| Failure::new(Exit::Usage, &error);
    Ok(WorkloadId {
        project: ProjectName::parse(LOCAL_PROJECT).map_err(usage)?,
        service: ServiceName::parse(args.name.as_deref().unwrap_or(made)).map_err(usage)?,
    })
}
