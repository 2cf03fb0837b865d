//! What a board's own configuration lets the services of documents ask for, whoever signed them.
//!
//! Invariant: a function of the board's words and of a service. What is run by hand at the board is not judged here: who
//! is root there may do all of it anyway.

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bundle::capability;
use crate::compose::form::{FormError, parse_capability, parse_path};
use crate::compose::{Mount, NetworkMode, Project, Service};
use crate::fault::{Code, Fault};
use crate::ident::{ProjectName, ServiceName, WorkloadId};

/// Whose services a word of the board is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// `*`: everybody's.
    Everybodys,
    /// `project`: all of a project's.
    Project(ProjectName),
    /// `project.service`: that one.
    Workload(WorkloadId),
}

impl Whose {
    /// `*`, `project` or `project.service`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "*" => Ok(Self::Everybodys),
            _ if text.contains('.') => {
                WorkloadId::parse(text).map(Self::Workload).map_err(|error| error.to_string())
            }
            _ => ProjectName::parse(text).map(Self::Project).map_err(|error| error.to_string()),
        }
    }

    fn covers(&self, project: &ProjectName, service: &ServiceName) -> bool {
        match self {
            Self::Everybodys => true,
            Self::Project(named) => named == project,
            Self::Workload(named) => named.project == *project && named.service == *service,
        }
    }
}

/// A place of the board that may be mounted into containers, with all below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Absolute.
    pub path: String,
    /// Only where it cannot be written.
    pub read_only: bool,
}

impl Place {
    /// `PATH` or `PATH:ro`.
    ///
    /// # Errors
    /// Relative paths and `..`.
    pub fn parse(text: &str) -> Result<Self, FormError> {
        let (path, read_only) = text.strip_suffix(":ro").map_or((text, false), |path| (path, true));
        Ok(Self { path: parse_path(path)?, read_only })
    }
}

/// The places that may be mounted, and those that never are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Places {
    /// Those that may.
    pub allowed: Vec<Place>,
    /// The agent's own: what is in them decides what runs on the board.
    pub own: Vec<String>,
}

impl Places {
    /// Whether what is at `path` may be mounted.
    #[must_use]
    pub fn allow(&self, path: &str, read_only: bool) -> bool {
        let covers = |place: &Place| within(path, &place.path) && (read_only || !place.read_only);
        !self.is_own(path) && self.allowed.iter().any(covers)
    }

    /// Whether it holds, or lies in, a directory of the agent's own.
    fn is_own(&self, path: &str) -> bool {
        self.own.iter().any(|own| within(path, own) || within(own, path))
    }
}

/// Whether `path` is `above` or below it; both are absolute and have no `..`.
fn within(path: &str, above: &str) -> bool {
    let above = above.trim_end_matches('/');
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What this board allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Who may be privileged; nothing else is asked of them.
    pub privileged: Vec<Whose>,
    /// Who may go without a system call filter.
    pub unconfined: Vec<Whose>,
    /// Capabilities beside docker's fourteen, without `CAP_`; `ALL` for all.
    pub capabilities: Vec<String>,
    /// Devices: a node, a directory for all below it, or the beginning of names before a `*`.
    pub devices: Vec<String>,
    /// What of the board's files may be mounted.
    pub places: Places,
    /// Whether the board's own network may be used.
    pub host_network: bool,
    /// Kernel settings: a name, the beginning of names before a `*`, or `*`.
    pub sysctls: Vec<String>,
}

/// Something that a service asks for and this board does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Where it stands in the document.
    pub path: String,
    /// What is asked for.
    pub asks: String,
    /// The setting that would allow it.
    pub setting: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} is not allowed by this board's configuration", self.path, self.asks)
    }
}

impl Allowance {
    /// Everything that `service` asks for and may not have; empty where it may run.
    #[must_use]
    pub fn refusals(&self, project: &ProjectName, name: &ServiceName, service: &Service) -> Vec<Refusal> {
        let whose = |list: &[Whose]| list.iter().any(|whose| whose.covers(project, name));
        if whose(&self.privileged) {
            return Vec::new();
        }
        let mut refusals = Vec::new();
        let mut refuse = |key: &str, asks: String, setting: String| {
            let path = format!("projects.{project}.services.{name}.{key}");
            refusals.push(Refusal { path, asks, setting });
        };
        if service.privileged {
            refuse(
                "privileged",
                "a privileged container".to_owned(),
                format!("allow.privileged = [\"{project}.{name}\"]"),
            );
        }
        for capability in service.cap_add.iter().filter(|capability| !self.allows_capability(capability)) {
            let setting = format!("allow.capabilities = [{capability:?}]");
            refuse("cap_add", capability.clone(), setting);
        }
        for device in service.devices.iter().filter(|device| !self.allows_device(&device.source)) {
            let setting = format!("allow.devices = [{:?}]", device.source);
            refuse("devices", format!("{:?}", device.source), setting);
        }
        for mount in &service.mounts {
            let Mount::Bind { source, read_only, .. } = mount else { continue };
            if self.places.allow(source, *read_only) {
                continue;
            }
            let (asks, setting) = if self.places.is_own(source) {
                let asks = format!("{source:?}, which holds what the agent decides by,");
                (asks, format!("allow.privileged = [\"{project}.{name}\"]"))
            } else {
                let ending = if *read_only { ":ro" } else { "" };
                let writing = if *read_only { "" } else { " with writing" };
                (format!("{source:?}{writing}"), format!("allow.binds = [{:?}]", format!("{source}{ending}")))
            };
            refuse("volumes", asks, setting);
        }
        if service.network_mode == NetworkMode::Host && !self.host_network {
            refuse(
                "network_mode",
                "the board's own network".to_owned(),
                "allow.host_network = true".to_owned(),
            );
        }
        if service.seccomp_unconfined && !whose(&self.unconfined) {
            let setting = format!("allow.unconfined = [\"{project}.{name}\"]");
            refuse("security_opt", "seccomp=unconfined".to_owned(), setting);
        }
        for name in
            service.sysctls.keys().filter(|name| !self.sysctls.iter().any(|known| begins(name, known)))
        {
            refuse("sysctls", format!("{name:?}"), format!("allow.sysctls = [{name:?}]"));
        }
        refusals
    }

    /// Judges all services of a project.
    ///
    /// # Errors
    /// A [`Fault`] that names everything that is refused, as far as a message goes, and what would allow it.
    pub fn judge(&self, name: &ProjectName, project: &Project) -> Result<(), Fault> {
        let refused = |(service, asks)| {
            let refusals = self.refusals(name, service, asks);
            (!refusals.is_empty()).then_some((service, refusals))
        };
        let Some((service, refusals)) = project.services.iter().find_map(refused) else { return Ok(()) };
        let message: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        let mut settings: Vec<&str> = refusals.iter().map(|refusal| refusal.setting.as_str()).collect();
        settings.dedup();
        let hint =
            format!("the operator of the board allows it in its configuration: {}", settings.join("; "));
        Err(Fault::new(Code::Policy, &message.join("; ")).of(name, service).hint(&hint))
    }

    /// The places that `workload` may mount, to be held against what links on the board come to; nothing where it may
    /// mount everything.
    #[must_use]
    pub fn places_of(&self, workload: &WorkloadId) -> Option<Places> {
        let everything =
            self.privileged.iter().any(|whose| whose.covers(&workload.project, &workload.service));
        (!everything).then(|| self.places.clone())
    }

    fn allows_capability(&self, name: &str) -> bool {
        let allowed = |wanted: &str| self.capabilities.iter().any(|known| known == wanted);
        capability::DEFAULT.contains(&name) || allowed("ALL") || allowed(name)
    }

    fn allows_device(&self, path: &str) -> bool {
        self.devices.iter().any(|known| within(path, known) || begins(path, known) && !deeper(path, known))
    }
}

/// Whether `name` is `pattern`, or begins as it does before its `*`.
fn begins(name: &str, pattern: &str) -> bool {
    pattern.strip_suffix('*').map_or(name == pattern, |beginning| name.starts_with(beginning))
}

/// Whether `path` lies in another directory than the names that `pattern` stands for.
fn deeper(path: &str, pattern: &str) -> bool {
    path.matches('/').count() != pattern.matches('/').count()
}

/// A device of [`Allowance::devices`].
///
/// # Errors
/// Relative paths, `..`, a `*` elsewhere than at the end.
pub fn parse_device_pattern(text: &str) -> Result<String, FormError> {
    let (path, star) = text.strip_suffix('*').map_or((text, ""), |path| (path, "*"));
    if path.contains('*') || path.ends_with('/') && !star.is_empty() {
        return Err(FormError::new(text, "want a path; a * may only end a name"));
    }
    Ok(format!("{}{star}", parse_path(path)?))
}

/// A capability of [`Allowance::capabilities`].
///
/// # Errors
/// A name no kernel we know has.
pub fn parse_allowed_capability(text: &str) -> Result<String, FormError> {
    parse_capability(text)
}
