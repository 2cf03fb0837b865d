//! What the commands need of this board, made from its settings.

use std::path::Path;
use std::sync::Arc;

use coracle_core::board::{self, Board, Facts};
use coracle_core::ident::{LOCAL_PROJECT, WorkloadId};
use coracle_core::oci::Platform;
use coracle_host::registry::RegistryClient;
use coracle_host::sandbox;
use coracle_host::store::Store;
use coracle_host::supervise::{Clearing, Direct, DirectConfig, Status, Supervisor, Systemd, SystemdConfig};

use super::saved_facts;
use crate::config::{self, Settings, Supervision};
use crate::events;
use crate::exit::{Exit, Failure};
use crate::image_policy;
use crate::images::Images;
use crate::pace::Pace;
use crate::room::Keeper;
use crate::units::Units;

/// The settings, or how they are wrong.
pub(crate) fn settings(path: Option<&Path>) -> Result<Settings, Failure> {
    config::load(path).map_err(|error| Failure::new(Exit::Configuration, &error))
}

/// What this board can execute. `asked` and the configuration's platforms stand before what was detected.
pub(crate) fn board(settings: &Settings, asked: Option<&str>) -> Result<Board, Failure> {
    let given = match asked {
        Some(text) => {
            vec![Platform::parse(text).map_err(|error| Failure::new(Exit::Usage, &error))?]
        }
        None => settings.platforms.clone(),
    };
    Ok(board::detect(&facts(settings), &given))
}

/// What the system says of itself. A sandbox hides some of it, and lets no program of another architecture run: whoever
/// is confined takes what `coracle platform --save` found out before.
fn facts(settings: &Settings) -> Facts {
    if !sandbox::confined() {
        return coracle_host::board::gather();
    }
    saved_facts::read(&settings.run_dir).unwrap_or_else(|why| {
        events::lacking(
            "what the board can execute is found out from within the sandbox, as far as it goes",
            &why,
        );
        coracle_host::board::gather()
    })
}

/// Refuses a supervisor whose workloads would be confined as this process is.
pub(crate) fn frees_workloads(supervisor: &Supervisor, settings: &Settings) -> Result<(), Failure> {
    if matches!(supervisor, Supervisor::Systemd(_)) || !sandbox::confined() {
        return Ok(());
    }
    let why = match (settings.supervision, SystemdConfig::find()) {
        (Supervision::Auto, Err(why)) => format!("{why}, so workloads would be started by the agent itself"),
        _ => "supervisor is \"direct\"".to_owned(),
    };
    Err(Failure {
        exit: Exit::Configuration,
        message: format!(
            "{why}, but this process is sandboxed (NoNewPrivileges=), and what it starts would be too; let systemd run \
             the workloads (supervisor = \"auto\"), or take the sandbox off: install /usr/share/coracle/direct.conf in \
             /etc/systemd/system/coracle.service.d and coracle-boot.service.d, and run systemctl daemon-reload"
        ),
    })
}

/// The image store.
pub(crate) fn store(settings: &Settings) -> Result<Arc<Store>, Failure> {
    Store::open(&settings.state_dir).map(Arc::new).map_err(|error| Failure::new(Exit::Unexpected, &error))
}

/// Whether an agent runs on this board, as far as the kernel tells.
pub(crate) fn agent_runs(settings: &Settings) -> bool {
    Store::agent_runs(&settings.state_dir).unwrap_or(false)
}

/// The supervisor of workloads.
pub(crate) fn supervisor(settings: &Settings) -> Result<Supervisor, Failure> {
    let exe = std::env::current_exe()
        .map_err(|error| Failure::unexpected(format!("failed to find the agent's own binary: {error}")))?;
    let direct = Direct::new(DirectConfig {
        run_dir: settings.run_dir.clone(),
        state_dir: settings.state_dir.clone(),
        exe,
        clearing: if sandbox::confined() { Clearing::Unit } else { Clearing::Child },
    });
    let systemd = match settings.supervision {
        Supervision::Direct => None,
        Supervision::Auto => SystemdConfig::find().ok(),
        Supervision::Systemd => Some(SystemdConfig::find().map_err(|why| Failure {
            exit: Exit::Configuration,
            message: format!("supervisor is \"systemd\", but {why}"),
        })?),
    };
    Ok(match systemd {
        Some(config) => Supervisor::Systemd(Systemd::new(direct, config)),
        None => Supervisor::Direct(direct),
    })
}

/// What runs workloads.
pub(crate) fn units(settings: &Settings, store: &Arc<Store>) -> Result<Units, Failure> {
    Ok(Units {
        store: Arc::clone(store),
        supervisor: supervisor(settings)?,
        runtime: settings.runtime.path.clone(),
        seccomp_profile: settings.runtime.seccomp_profile.clone(),
        log_bytes_max: settings.runtime.log_bytes_max,
        allowance: settings.allowance.clone(),
    })
}

/// What fetches images.
pub(crate) fn images(
    settings: &Settings,
    store: &Arc<Store>,
    asked: Option<&str>,
) -> Result<Images, Failure> {
    Ok(Images {
        registry: registry(settings)?,
        store: Arc::clone(store),
        can_run: board(settings, asked)?.platforms,
        rules: image_policy::load(settings),
        keeper: Arc::new(Keeper { settings: settings.clone(), supervisor: supervisor(settings)? }),
        concurrency: settings.pull.concurrency,
        pace: Arc::new(Pace::new(&settings.pace)),
    })
}

fn registry(settings: &Settings) -> Result<RegistryClient, Failure> {
    let config = crate::images::registry_config(&settings.registry)
        .map_err(|error| Failure::new(Exit::Configuration, &error))?;
    RegistryClient::new(config).map_err(|error| Failure::new(Exit::Configuration, &error))
}

/// Threads for what blocks; made when needed. Every layer that comes in holds one until its last byte, and an address is
/// looked up in one: were all taken, broken connections could never be made again.
const BLOCKING_THREADS_MAX: usize = 16;

/// A runtime for the network part of a command: one thread, and few for what blocks.
pub(crate) fn run<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .map_err(|error| Failure::unexpected(format!("failed to start: {error}")))?
        .block_on(work)
}

/// The workload that a person means: `project.service` in full, or a service's name if it is the only one.
pub(crate) fn workload(supervisor: &Supervisor, name: &str) -> Result<Status, Failure> {
    let all = supervisor.list();
    let local = format!("{LOCAL_PROJECT}.{name}");
    let named = |full: &str| all.iter().find(|status| status.id.to_string() == full).cloned();
    if let Some(status) = named(name).or_else(|| named(&local)) {
        return Ok(status);
    }
    let mut same: Vec<&Status> =
        all.iter().filter(|status| status.id.service.as_str() == name && !status.beside).collect();
    match (same.pop(), same.is_empty()) {
        (Some(status), true) => Ok(status.clone()),
        (Some(_), false) => Err(Failure::usage(format!(
            "{name} is a service of several projects; say which: {}",
            list(all.iter().filter(|status| status.id.service.as_str() == name).map(|status| &status.id))
        ))),
        (None, _) if all.is_empty() => {
            Err(Failure::usage(format!("no workload {name}: none is known on this board")))
        }
        (None, _) => Err(Failure::usage(format!(
            "no workload {name}; known: {}",
            list(all.iter().map(|status| &status.id))
        ))),
    }
}

fn list<'a>(ids: impl Iterator<Item = &'a WorkloadId>) -> String {
    ids.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
