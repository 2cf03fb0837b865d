//! The projects of a document, read: whatever an agent would not obey is refused here, before anything moves.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::compose::{self, Defaults, FailureAction, Project, Service};
use crate::fault::{Code, Fault};
use crate::ident::{LOCAL_PROJECT, ProjectName, ServiceName};
use crate::limits::DOCUMENT_SERVICES_MAX;

/// Reads the Compose documents of a desired state.
///
/// # Errors
/// `COMPOSE`, with the path of the first thing that is not supported, not built or too much.
pub fn projects(
    bodies: &BTreeMap<ProjectName, Value>,
    defaults: &Defaults,
) -> Result<BTreeMap<ProjectName, Project>, Fault> {
    let mut projects = BTreeMap::new();
    for (name, body) in bodies {
        if name.as_str() == LOCAL_PROJECT {
            let message = format!("projects.{name}: the name is kept for what people run by hand");
            return Err(Fault::new(Code::Compose, &message));
        }
        let project =
            compose::parse(name, body, defaults).map_err(|error| compose_fault(&error.to_string()))?;
        if let Some(message) = project.services.iter().find_map(|(service, asks)| not_built(service, asks)) {
            return Err(compose_fault(&format!("projects.{name}.{message}")));
        }
        projects.insert(name.clone(), project);
    }
    let services: usize = projects.values().map(|project: &Project| project.services.len()).sum();
    if services > DOCUMENT_SERVICES_MAX {
        let message =
            format!("projects hold {services} services, more than the {DOCUMENT_SERVICES_MAX} taken");
        return Err(compose_fault(&message));
    }
    Ok(projects)
}

/// What a service asks for that is understood but not built: refused, for nothing is half obeyed.
fn not_built(name: &ServiceName, service: &Service) -> Option<String> {
    let policy = |key, instead| format!("services.{name}.deploy.update_config.{key}: use policy.{instead}");
    if service.update.monitor_ms.is_some() {
        return Some(policy("monitor", "soak"));
    }
    if service.update.failure_action == FailureAction::Pause {
        return Some(policy("failure_action", "onFailure"));
    }
    None
}

fn compose_fault(message: &str) -> Fault {
    Fault::new(Code::Compose, message).hint("agent/docs/compose.md lists what is supported")
}
