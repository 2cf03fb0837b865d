//! A service as everything after the parser sees it: each setting once, in one form, with its unit in the name.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::ident::{ServiceName, VolumeName};

/// A Compose document: the services that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// The workloads.
    pub services: BTreeMap<ServiceName, Service>,
    /// The named volumes they may mount.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<VolumeName, Volume>,
}

/// A named volume; it outlives its workloads.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Free-form facts for the operator.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// One service. Two equal values mean the same container: nothing is restarted for equal ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The image reference as written.
    pub image: String,
    /// Replaces the image's `Entrypoint`; `Some([])` clears it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's `Cmd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Added to the image's environment, over it where names meet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Absolute; replaces the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// `user[:group]`, names or numbers; replaces the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The container's host name; the board's with the host network, else the service's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Which network the container sees.
    pub network_mode: NetworkMode,
    /// Lines of `/etc/hosts`: name and address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_hosts: Vec<(String, IpAddr)>,
    /// Name servers instead of the board's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<IpAddr>,
    /// Bind mounts, named volumes and tmpfs, in the order written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// The root file system cannot be written.
    #[serde(default)]
    pub read_only: bool,
    /// Devices of the board.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// Capabilities added to the default set, without `CAP_`; `ALL` for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    /// Capabilities taken from it, without `CAP_`; `ALL` for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<String>,
    /// All capabilities, all devices, no seccomp, no masks.
    #[serde(default)]
    pub privileged: bool,
    /// `no-new-privileges`.
    #[serde(default)]
    pub no_new_privileges: bool,
    /// `seccomp=unconfined`.
    #[serde(default)]
    pub seccomp_unconfined: bool,
    /// Kernel settings of the container's namespaces.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Resource limits by their lower-case names (`nofile`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Limits of the container's cgroup.
    #[serde(default)]
    pub resources: Resources,
    /// What happens when the process ends.
    #[serde(default)]
    pub restart: Restart,
    /// Services that come first, and in which condition.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub depends_on: BTreeMap<ServiceName, Condition>,
    /// How health is found out; the image's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// The same by asking its network; instead of a health check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    /// How an update passes.
    #[serde(default)]
    pub update: UpdateConfig,
    /// Signal that asks the process to end, e.g. `SIGTERM`; the image's, else `SIGTERM`, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Milliseconds from that signal to `SIGKILL`.
    #[serde(default = "default_grace_ms")]
    pub stop_grace_ms: u64,
    /// A terminal for the process.
    #[serde(default)]
    pub tty: bool,
    /// Standard input stays open.
    #[serde(default)]
    pub stdin_open: bool,
    /// Free-form facts for the operator.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Compose's ten seconds.
pub(crate) fn default_grace_ms() -> u64 {
    10_000
}

impl Service {
    /// A service with nothing but its image and network.
    #[must_use]
    pub fn new(image: &str, network_mode: NetworkMode) -> Self {
        Self {
            image: image.to_owned(),
            entrypoint: None,
            command: None,
            environment: BTreeMap::new(),
            working_dir: None,
            user: None,
            hostname: None,
            network_mode,
            extra_hosts: Vec::new(),
            dns: Vec::new(),
            mounts: Vec::new(),
            read_only: false,
            devices: Vec::new(),
            cap_add: Vec::new(),
            cap_drop: Vec::new(),
            privileged: false,
            no_new_privileges: false,
            seccomp_unconfined: false,
            sysctls: BTreeMap::new(),
            ulimits: BTreeMap::new(),
            resources: Resources::default(),
            restart: Restart::No,
            depends_on: BTreeMap::new(),
            healthcheck: None,
            probe: None,
            update: UpdateConfig::default(),
            stop_signal: None,
            stop_grace_ms: default_grace_ms(),
            tty: false,
            stdin_open: false,
            labels: BTreeMap::new(),
        }
    }
}

/// Which network a container sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// The board's own.
    Host,
    /// Loopback only.
    None,
}

/// Something mounted into the container. Targets are absolute paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Mount {
    /// A file or directory of the board.
    Bind {
        /// Absolute path on the board.
        source: String,
        /// Where in the container.
        target: String,
        /// Cannot be written.
        #[serde(default)]
        read_only: bool,
        /// Make the source a directory where it is missing (Compose's short form and `docker -v` do).
        #[serde(default)]
        create: bool,
    },
    /// A named volume of the project.
    Volume {
        /// Its name.
        name: VolumeName,
        /// Where in the container.
        target: String,
        /// Cannot be written.
        #[serde(default)]
        read_only: bool,
    },
    /// Memory.
    Tmpfs {
        /// Where in the container.
        target: String,
        /// Bytes it may hold; half of the memory where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size_bytes: Option<u64>,
        /// Permission bits of its root; 1777 where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<u32>,
        /// `noexec`, as docker has it by default.
        #[serde(default)]
        noexec: bool,
    },
}

impl Mount {
    /// Where in the container.
    #[must_use]
    pub fn target(&self) -> &str {
        match self {
            Self::Bind { target, .. } | Self::Volume { target, .. } | Self::Tmpfs { target, .. } => target,
        }
    }
}

/// A device node of the board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Path on the board.
    pub source: String,
    /// Path in the container.
    pub target: String,
    /// Some of `rwm`.
    pub permissions: String,
}

/// Soft and hard limit; -1 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// The limit in force.
    pub soft: i64,
    /// How far the process may raise it.
    pub hard: i64,
}

/// Limits of a cgroup; absent means none, but for the process count, which has a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resources {
    /// Bytes of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Bytes of memory kept for the container where others press.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_reservation_bytes: Option<u64>,
    /// Thousandths of a processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_milli: Option<u64>,
    /// Processes and threads; -1 for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<i64>,
}

/// What happens when a workload's process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Nothing.
    #[default]
    No,
    /// It is started again, also after a boot.
    Always,
    /// As `Always`, but not after a user stopped it.
    UnlessStopped,
    /// It is started again after an exit code other than 0, at most so many times (no bound where absent).
    OnFailure {
        /// Bound on the restarts in a row.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<u32>,
    },
}

/// What a dependency must have reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Its process runs.
    ServiceStarted,
    /// Its health check passes.
    ServiceHealthy,
    /// Its process ended with exit code 0.
    ServiceCompletedSuccessfully,
}

/// A health check (compose-spec, "healthcheck").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Healthcheck {
    /// `["CMD", …]`, `["CMD-SHELL", line]` or `["NONE"]`.
    pub test: Vec<String>,
    /// Milliseconds between checks.
    pub interval_ms: u64,
    /// Milliseconds one check may take.
    pub timeout_ms: u64,
    /// Failures in a row that make it unhealthy.
    pub retries: u32,
    /// Milliseconds after the start in which failures do not count.
    pub start_period_ms: u64,
    /// Milliseconds between the checks of that period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_interval_ms: Option<u64>,
}

impl Healthcheck {
    /// Its times.
    #[must_use]
    pub fn timing(&self) -> Timing {
        Timing {
            interval_ms: self.interval_ms,
            timeout_ms: self.timeout_ms,
            retries: self.retries,
            start_period_ms: self.start_period_ms,
            start_interval_ms: self.start_interval_ms,
        }
    }
}

/// When health is checked, and what failures count for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Milliseconds between checks.
    pub interval_ms: u64,
    /// Milliseconds one check may take.
    pub timeout_ms: u64,
    /// Failures in a row that make it unhealthy.
    pub retries: u32,
    /// Milliseconds after the start in which failures do not count.
    pub start_period_ms: u64,
    /// Milliseconds between the checks of that period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_interval_ms: Option<u64>,
}

/// A health check that needs no program in the image (`x-coracle-probe`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What is asked.
    pub probed: Probed,
    /// When.
    pub timing: Timing,
}

/// What a probe asks, on the loopback address of the container's network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probed {
    /// A GET that is answered well.
    Http {
        /// The port.
        port: u16,
        /// Absolute.
        path: String,
        /// The one status that passes; 200 to 399 where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
    },
    /// A connection that is taken.
    Tcp {
        /// The port.
        port: u16,
    },
}

/// How an update of this service passes (compose-spec, "deploy.update_config").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UpdateConfig {
    /// Which of old and new runs alone for a moment.
    pub order: UpdateOrder,
    /// Milliseconds after the start in which a failure counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitor_ms: Option<u64>,
    /// What a failure calls for.
    pub failure_action: FailureAction,
}

/// Order of old and new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateOrder {
    /// The old one stops, then the new one starts.
    #[default]
    StopFirst,
    /// The new one starts, then the old one stops.
    StartFirst,
}

/// What a failed update calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureAction {
    /// The old one comes back.
    #[default]
    Rollback,
    /// Everything stays as it is.
    Pause,
}
