//! From a JSON document to a [`Project`]: every key is understood or refused with its path, none half-obeyed.

mod fields;
mod health;
mod life;
mod limits;
mod mounts;
mod network;
mod node;
#[cfg(test)]
mod page;
mod security;
mod service;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::form::volume_name;
use super::{Condition, NetworkMode, Project, Restart, Service, Volume};
use crate::ident::{ProjectName, ServiceName, VolumeName};
use crate::limits::SERVICES_MAX;
use node::Node;

/// Why a document was refused: where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct ComposeError {
    /// The place in the document, as `services.web.ports[0]`.
    pub path: String,
    /// The rule it breaks.
    pub reason: String,
}

/// What the board's configuration says where a document is silent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Defaults {
    /// The network of a service without `network_mode`; such a service is refused where this is absent.
    pub network: Option<NetworkMode>,
}

/// Reads the whole document of the project `name`. Keys that start with `x-` are ignored, `null` is as absent.
///
/// # Errors
/// [`ComposeError`] at the first thing that is not supported or not valid.
pub fn parse(name: &ProjectName, value: &Value, defaults: &Defaults) -> Result<Project, ComposeError> {
    let mut top = Node::root(value).fields()?;
    if let Some(given) = top.take("name")
        && given.text()? != name.as_str()
    {
        return Err(given.refuse(format!("the document says this project is {name:?}", name = name.as_str())));
    }
    if let Some(version) = top.take("version") {
        // Obsolete and without meaning, but still in many documents.
        version.text()?;
    }
    let volumes = top.take("volumes").map(|node| parse_volumes(&node)).transpose()?.unwrap_or_default();
    let Some(services) = top.take("services") else {
        return Err(top.node().refuse("services: a project needs services"));
    };
    for key in ["networks", "secrets", "configs"] {
        top.refuse_key(key, "not built yet")?;
    }
    top.finish()?;
    let entries = services.entries()?;
    if entries.len() > SERVICES_MAX {
        return Err(services.refuse(format!("more than {SERVICES_MAX} services")));
    }
    let context = Context { volumes: &volumes, defaults };
    let mut parsed = BTreeMap::new();
    for (key, node) in entries {
        let key = ServiceName::parse(key).map_err(|error| node.refuse(error.to_string()))?;
        parsed.insert(key, service::parse_service(&node, &context)?);
    }
    dependencies_end(&services, &parsed)?;
    Ok(Project { services: parsed, volumes })
}

/// What a service is read against.
struct Context<'a> {
    volumes: &'a BTreeMap<VolumeName, Volume>,
    defaults: &'a Defaults,
}

fn parse_volumes(node: &Node<'_>) -> Result<BTreeMap<VolumeName, Volume>, ComposeError> {
    let mut volumes = BTreeMap::new();
    for (key, node) in node.entries()? {
        let name = volume_name(key).map_err(|error| node.refuse(error.to_string()))?;
        let mut volume = Volume::default();
        if !node.is_null() {
            let mut fields = node.fields()?;
            if let Some(labels) = fields.take("labels") {
                volume.labels = labels.pairs()?;
            }
            if let Some(driver) = fields.take("driver") {
                driver.one_of(&["local"])?;
            }
            fields.finish()?;
        }
        volumes.insert(name, volume);
    }
    Ok(volumes)
}

/// Why a service never comes into this condition, where its settings say so already.
fn never(condition: Condition, service: &Service) -> Option<&'static str> {
    let restarts = matches!(service.restart, Restart::Always | Restart::UnlessStopped);
    match condition {
        Condition::ServiceCompletedSuccessfully if restarts => {
            Some("it never completes, for its restart policy starts it again")
        }
        Condition::ServiceCompletedSuccessfully | Condition::ServiceHealthy | Condition::ServiceStarted => {
            None
        }
    }
}

/// Every dependency is a service of the project, can come into the condition that is asked of it, and following them
/// comes to an end.
fn dependencies_end(node: &Node<'_>, services: &BTreeMap<ServiceName, Service>) -> Result<(), ComposeError> {
    let at = |name: &ServiceName| node.child(name.as_str()).child("depends_on");
    for (name, service) in services {
        if let Some(missing) = service.depends_on.keys().find(|other| !services.contains_key(*other)) {
            return Err(at(name).refuse(format!("there is no service {:?}", missing.as_str())));
        }
        for (other, condition) in &service.depends_on {
            if let Some(why) = services.get(other).and_then(|other| never(*condition, other)) {
                return Err(at(name).child(other.as_str()).child("condition").refuse(why));
            }
        }
    }
    // Services whose dependencies are all done are done; where no more become done, the rest wait for each other.
    let mut done = BTreeSet::new();
    while done.len() < services.len() {
        let ready = |(name, service): &(&ServiceName, &Service)| {
            !done.contains(*name) && service.depends_on.keys().all(|other| done.contains(other))
        };
        let next: Vec<_> = services.iter().filter(ready).map(|(name, _)| name.clone()).collect();
        if next.is_empty() {
            let stuck = services.keys().find(|name| !done.contains(*name));
            return Err(stuck.map_or_else(
                || node.refuse("depends_on goes in a circle"),
                |name| at(name).refuse("goes in a circle"),
            ));
        }
        done.extend(next);
    }
    Ok(())
}
