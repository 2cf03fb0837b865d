//! From a service and its image's settings to what the runtime reads (OCI runtime-spec, `config.json`).
//!
//! Invariant: a pure function of [`BundleInput`]. What the board is like comes in as facts; a setting that the board
//! cannot honor is an error, never left out in silence.

pub mod capability;
mod linux;
mod mounts;
mod process;
#[cfg(test)]
mod tests;
pub mod user;

use serde_json::{Value, json};

use crate::compose::Service;
use crate::oci::config::ExecConfig;
pub use capability::CapabilitySet;
pub use linux::PIDS_DEFAULT;
pub use user::ProcessUser;

/// The runtime-spec release whose words are used.
const OCI_VERSION: &str = "1.0.2";

/// Everything a bundle is made of.
#[derive(Debug, Clone)]
pub struct BundleInput<'a> {
    /// The workload, `project.service`; kept as an annotation.
    pub workload: &'a str,
    /// Its settings.
    pub service: &'a Service,
    /// Its image's settings.
    pub exec: &'a ExecConfig,
    /// Who the process is, resolved inside the root.
    pub user: &'a ProcessUser,
    /// The mounted root, an absolute path or one from the bundle's directory.
    pub rootfs: &'a str,
    /// The container's host name.
    pub host_name: &'a str,
    /// Directory of the container's own `hosts`, `hostname` and `resolv.conf`.
    pub etc: &'a str,
    /// The path on the board of each of the service's mounts, in their order; nothing for memory.
    pub sources: &'a [Option<String>],
    /// The nodes to make: those of the service's devices, or all of the board's for a privileged one.
    pub devices: &'a [DeviceNode],
    /// The control group, from the root of each hierarchy.
    pub cgroup_path: &'a str,
    /// A resolved system call filter (`linux.seccomp`).
    pub seccomp: Option<&'a Value>,
    /// What the board has to confine a container with.
    pub means: &'a Means,
}

/// What the board has to confine a container with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Means {
    /// What the agent may hand on.
    pub capabilities: CapabilitySet,
    /// Whether control groups can rule over devices; not on pure version 2 without eBPF.
    pub device_rules: bool,
    /// Whether the kernel counts swap per control group.
    pub swap_limit: bool,
    /// Whether control groups can bound processes and threads.
    pub pids_limit: bool,
    /// Whether the kernel has POSIX message queues.
    pub mqueue: bool,
    /// Whether read-only holds below a bind mount too (`mount_setattr`, Linux 5.12).
    pub recursive_read_only: bool,
    /// How many processors have a directory under `/sys/devices/system/cpu`.
    pub cpus: u32,
}

/// A device of the board as its node says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceNode {
    /// Path in the container.
    pub target: String,
    /// Character or block.
    pub kind: DeviceKind,
    /// Driver number.
    pub major: u64,
    /// Which of the driver's.
    pub minor: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Some of `rwm`.
    pub permissions: String,
}

/// What a device node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// A stream of bytes.
    Character,
    /// Storage.
    Block,
}

/// Why there is no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Neither service nor image says what to run.
    #[error("neither the service nor its image names a command")]
    NoCommand,
    /// A mount without its source: the caller resolved another service's.
    #[error("the mount at {target:?} has no source")]
    NoSource {
        /// Where in the container.
        target: String,
    },
    /// The service asks for more than the agent has.
    #[error("the agent itself lacks CAP_{name}, so it cannot add it")]
    Capability {
        /// Without `CAP_`.
        name: String,
    },
}

/// The runtime's `config.json` for one workload.
///
/// # Errors
/// [`BundleError`] names what is missing.
pub fn config_json(input: &BundleInput<'_>) -> Result<Value, BundleError> {
    let service = input.service;
    let granted = granted(service, input.means)?;
    Ok(json!({
        "ociVersion": OCI_VERSION,
        "process": process::process(input, granted)?,
        "root": { "path": input.rootfs, "readonly": service.read_only },
        "hostname": input.host_name,
        "mounts": mounts::mounts(input)?,
        "annotations": { "coracle.workload": input.workload },
        "linux": linux::linux(input),
    }))
}

/// The capabilities of the workload's first process, were it root; the system call filter follows them.
///
/// # Errors
/// [`BundleError::Capability`] where the service names one that the agent lacks.
pub fn granted(service: &Service, means: &Means) -> Result<CapabilitySet, BundleError> {
    let bound = means.capabilities;
    if let Some(name) = service.cap_add.iter().find(|name| *name != "ALL" && !bound.has(name)) {
        return Err(BundleError::Capability { name: name.clone() });
    }
    Ok(CapabilitySet::granted(service.privileged, &service.cap_add, &service.cap_drop, bound))
}
