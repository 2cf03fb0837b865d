//! From a target to a deployment: every image of it in the store, and nothing fetched that would not fit.

use std::collections::BTreeMap;

use coracle_core::deployment::{Deployment, PinnedImage, Workload};
use coracle_core::fault::Fault;
use coracle_core::gate::{Mode, Policy};
use coracle_core::ident::WorkloadId;
use coracle_core::oci::reference::Reference;
use coracle_core::rollout::Target;
use coracle_host::clock;
use coracle_host::files::Lock;
use coracle_host::store::ImageRecord;

use crate::faults;
use crate::images::{Images, Reach, Resolved, Watch};
use crate::pace::Urgency;

/// Gets every image of `target`; with the lock that keeps them from being collected before somebody needs them.
pub(super) async fn stage(
    images: &Images,
    target: &Target,
    watch: &Watch,
) -> Result<(Deployment, Lock), Fault> {
    images.registry.bound_speed(target.gates.max_bps);
    images.pace.begin(urgency(&target.gates));
    let resolved = resolve(images, target).await?;
    // All images of the deployment have to fit together, and that is known before the first byte.
    let wanted: Vec<&Resolved> = resolved.values().collect();
    images.admit(&wanted).await.map_err(|error| faults::of_image(&error))?;
    // Between two pulls too: what the first one fetched is needed by nothing that a collection could see.
    let shared = images.share().await.map_err(|error| faults::of_store(&error))?;
    let mut workloads = BTreeMap::new();
    let mut volumes = BTreeMap::new();
    for (name, project) in &target.projects {
        for (service_name, service) in &project.services {
            let id = WorkloadId { project: name.clone(), service: service_name.clone() };
            let record = image(images, &service.image, &resolved, watch)
                .await
                .map_err(|fault| fault.of(name, service_name))?;
            let image = PinnedImage {
                reference: service.image.clone(),
                index: record.index,
                manifest: record.manifest,
                platform: record.platform,
            };
            workloads.insert(id, Workload { service: service.clone(), image });
        }
        if !project.volumes.is_empty() {
            volumes.insert(name.to_string(), project.volumes.keys().cloned().collect());
        }
    }
    Ok((Deployment { generation: target.generation.clone(), workloads, volumes }, shared))
}

/// The documents of every image that is not whole in the store, by reference as the services write it; those that are
/// held against the board's policy as well.
async fn resolve(images: &Images, target: &Target) -> Result<BTreeMap<String, Resolved>, Fault> {
    let mut resolved = BTreeMap::new();
    for (name, project) in &target.projects {
        for (service_name, service) in &project.services {
            let of_service = |fault: Fault| fault.of(name, service_name);
            let reference = parse(&service.image).map_err(of_service)?;
            let held = images.held(&reference).map_err(|error| of_service(faults::of_store(&error)))?;
            if held.is_some() {
                // Found by its digest, so there is one.
                if let Some(digest) = reference.digest() {
                    let vouched = images.vouch_held(&reference, digest, Reach::Registry).await;
                    vouched.map_err(|error| of_service(faults::of_image(&error)))?;
                }
            } else if !resolved.contains_key(&service.image) {
                let image = images.resolve(&reference).await;
                let image = image.map_err(|error| of_service(faults::of_image(&error)))?;
                resolved.insert(service.image.clone(), image);
            }
        }
    }
    Ok(resolved)
}

/// As with the gates, the mode is force from the deadline on.
fn urgency(policy: &Policy) -> Urgency {
    let past = policy.deadline.is_some_and(|deadline| clock::wall() >= deadline);
    if past || policy.mode == Mode::Force { Urgency::Urgent } else { Urgency::Normal }
}

fn parse(text: &str) -> Result<Reference, Fault> {
    Reference::parse(text).map_err(|error| faults::of_reference(&error))
}

async fn image(
    images: &Images,
    text: &str,
    resolved: &BTreeMap<String, Resolved>,
    watch: &Watch,
) -> Result<ImageRecord, Fault> {
    let reference = parse(text)?;
    if let Some(held) = images.held(&reference).map_err(|error| faults::of_store(&error))? {
        return Ok(held);
    }
    let pulled = match resolved.get(text) {
        Some(resolved) => images.pull(resolved, watch).await,
        // It was whole a moment ago, and somebody removed it.
        None => match images.resolve(&reference).await {
            Ok(resolved) => images.pull(&resolved, watch).await,
            Err(error) => Err(error),
        },
    };
    pulled.map_err(|error| faults::of_image(&error))
}
