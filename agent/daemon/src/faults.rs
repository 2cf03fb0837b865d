//! From the errors of the adapters to the closed set of codes that the wire has.

use coracle_core::fault::{Class, Code, Fault};
use coracle_core::ident::WorkloadId;
use coracle_core::oci::reference::ReferenceError;
use coracle_core::plan::{Outlook, Wait};
use coracle_host::registry::{self, RegistryError};
use coracle_host::store::{self, StoreError};
use coracle_host::supervise::{self, Attempt, Checked, Status, SuperviseError};

use crate::endings;
use crate::exit::chain;
use crate::images::ImageError;
use crate::units::UnitError;

/// A reference that does not parse.
pub(crate) fn of_reference(error: &ReferenceError) -> Fault {
    Fault::new(Code::Resolve, &error.to_string()).classed(Class::Permanent)
}

/// An image that could not be had.
pub(crate) fn of_image(error: &ImageError) -> Fault {
    let message = chain(error);
    match error {
        ImageError::Registry { source, .. } => of_registry(source, &message),
        ImageError::Store { source, .. } => of_stored(source, &message),
        ImageError::Room { .. } => {
            let hint =
                "coracle prune removes images that nothing needs; coracle pull --dry-run shows the figures";
            Fault::new(Code::DiskFull, &message).classed(Class::Transient).hint(hint)
        }
        ImageError::Untrusted { fault } | ImageError::Unruled { fault } => Fault::clone(fault),
        ImageError::Document { .. } => Fault::new(Code::Resolve, &message).classed(Class::Permanent),
        ImageError::Platform { .. } => {
            Fault::new(Code::Platform, &message).hint("coracle platform --explain REFERENCE shows each entry")
        }
    }
}

fn of_registry(error: &RegistryError, message: &str) -> Fault {
    use registry::Cause;
    let passes = match error.retry() {
        registry::Retry::Never => Class::Permanent,
        registry::Retry::Backoff | registry::Retry::Limited(_) => Class::Transient,
    };
    let code = match &*error.cause {
        Cause::Status { status: 404, .. } => Code::NotFound,
        Cause::Status { status: 401 | 403, .. }
        | Cause::Denied(_)
        | Cause::Secret(_)
        | Cause::Token { .. }
        | Cause::Challenge(_) => Code::Auth,
        Cause::Digest { .. } | Cause::AnnouncedDigest | Cause::Size { .. } | Cause::TooLong { .. } => {
            Code::Digest
        }
        Cause::Connection(_)
        | Cause::Broken(_)
        | Cause::Unbelieved(_)
        | Cause::NoTls
        | Cause::Stalled(_)
        | Cause::TooSlow { .. }
        | Cause::Status { .. }
        | Cause::Redirect { .. }
        | Cause::Endless
        | Cause::Truncated { .. }
        | Cause::Refetched { .. }
        | Cause::Blocked
        | Cause::File { .. }
        | Cause::Tls(_)
        | Cause::ConsumerGone => Code::Pull,
    };
    // What a registry serves wrongly today it may serve rightly tomorrow; credentials can be mended on the board.
    let may_be_mended = [Code::Auth, Code::Digest, Code::NotFound].contains(&code);
    let class = if may_be_mended { Class::Transient } else { passes };
    let fault = Fault::new(code, message).classed(class);
    match of_connection(&error.cause) {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}

/// What helps where a registry was reached and not understood or believed.
#[allow(clippy::wildcard_enum_match_arm)] // Of many causes, two can be mended by a setting.
fn of_connection(cause: &registry::Cause) -> Option<&'static str> {
    match cause {
        registry::Cause::Unbelieved(_) => {
            Some("registry.ca_file and registry.certs_dir say whose certificates are believed")
        }
        registry::Cause::NoTls => Some("registry.insecure names registries of plain HTTP"),
        _ => None,
    }
}

/// A store that could not be read.
pub(crate) fn of_store(error: &StoreError) -> Fault {
    of_stored(error, &chain(error))
}

fn of_stored(error: &StoreError, message: &str) -> Fault {
    let class = match error.retry() {
        store::Retry::Again | store::Retry::Space | store::Retry::Unlocked => Class::Transient,
        store::Retry::Never => Class::Permanent,
    };
    if error.retry() == store::Retry::Space {
        return Fault::new(Code::DiskFull, message).hint("coracle prune removes images that nothing needs");
    }
    let code = match error {
        StoreError::Size { .. } | StoreError::BlobDigest { .. } | StoreError::DiffId { .. } => Code::Digest,
        StoreError::Unpack { .. } | StoreError::Layer { .. } => Code::Unpack,
        StoreError::Io { .. }
        | StoreError::Lock(_)
        | StoreError::Room { .. }
        | StoreError::Full { .. }
        | StoreError::Input { .. }
        | StoreError::Resumed { .. }
        | StoreError::Unknown { .. } => Code::Store,
    };
    Fault::new(code, message).classed(class)
}

/// A deployment that the board could not be made to run.
pub(crate) fn of_unit(error: &UnitError) -> Fault {
    let message = chain(error);
    match error {
        UnitError::Circle(_) => Fault::new(Code::Compose, &message),
        UnitError::Incomplete { id, .. } => workload(Fault::new(Code::Store, &message), id),
        UnitError::Store { source, id } => workload(of_stored(source, &message), id),
        UnitError::Supervise(error) => of_supervise(error, &message),
    }
}

fn of_supervise(error: &SuperviseError, message: &str) -> Fault {
    let code = match (error.attempt(), error.cause()) {
        (Attempt::Stop | Attempt::Remove, _) => Code::Stop,
        (
            _,
            supervise::Cause::Board(_)
            | supervise::Cause::System { .. }
            | supervise::Cause::TimedOut(_)
            | supervise::Cause::Manager(_),
        ) => Code::Runtime,
        (Attempt::Start, _) => Code::Start,
        (Attempt::Read | Attempt::Attach | Attempt::Record, _) => Code::Internal,
    };
    workload(Fault::new(code, message), error.workload())
}

/// A candidate that crashes each time it starts.
pub(crate) fn crash_loop(id: &WorkloadId, status: &Status) -> Fault {
    let times = status.restarts.saturating_add(1);
    let last = last(status, "the last time it ");
    exited(&format!("{id} ended {times} times in a row{last}"), id, status)
}

/// A candidate that does not run yet.
pub(crate) fn not_running(id: &WorkloadId) -> Fault {
    workload(Fault::new(Code::HealthTimeout, &format!("{id} does not run")), id)
}

/// The same, of one that ran and ended.
pub(crate) fn not_running_again(id: &WorkloadId, status: &Status) -> Fault {
    let fault = Fault::new(Code::HealthTimeout, &format!("{id} does not run{}", last(status, "it ")));
    workload(fault, id)
}

/// A candidate whose checks have not passed yet.
pub(crate) fn not_healthy(id: &WorkloadId, health: Option<&Checked>) -> Fault {
    let message = format!("{id} has not passed a health check yet{}", why(health));
    workload(Fault::new(Code::HealthTimeout, &message), id)
}

/// A candidate whose checks say that it is not well.
pub(crate) fn unhealthy(id: &WorkloadId, health: Option<&Checked>) -> Fault {
    let message = format!("{id} is unhealthy{}", why(health));
    workload(Fault::new(Code::Unhealthy, &message), id).hint(&format!("coracle logs {id}"))
}

fn why(health: Option<&Checked>) -> String {
    let why = health.and_then(|checked| checked.why.as_ref());
    why.map_or_else(String::new, |why| format!(": {why}"))
}

/// A workload that is not started because of one that it depends on; the fault is that one's.
pub(crate) fn waits(wait: &Wait) -> Fault {
    let code = match wait.outlook {
        Outlook::Open => Code::HealthTimeout,
        Outlook::Failed(_) => Code::Unhealthy,
    };
    workload(Fault::new(code, &wait.to_string()), &wait.on)
}

/// A candidate that ended, or never started.
pub(crate) fn ended(id: &WorkloadId, status: &Status) -> Fault {
    let reason = status.error.as_ref().map_or_else(|| last(status, "it "), |error| format!(": {error}"));
    exited(&format!("{id} ended on trial{reason}"), id, status)
}

fn exited(message: &str, id: &WorkloadId, status: &Status) -> Fault {
    let logs = format!("coracle logs {id}");
    let hint = endings::remedy(status).map_or_else(|| logs.clone(), |remedy| format!("{remedy}; {logs}"));
    workload(Fault::new(Code::Exited, message), id).hint(&hint)
}

/// How its last run ended, where one did.
fn last(status: &Status, lead: &str) -> String {
    endings::how(status).map_or_else(String::new, |how| format!(": {lead}{how}"))
}

fn workload(fault: Fault, id: &WorkloadId) -> Fault {
    fault.of(&id.project, &id.service)
}
