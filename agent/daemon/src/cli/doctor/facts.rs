//! What the checks are made of; everything that touches the board or the network is here.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use coracle_core::time::Timestamp;
use coracle_core::trust::Policy;
use coracle_core::trust::image::Rules;
use coracle_host::disk::{self, Space};
use coracle_host::kernel::{self, Kernel};
use coracle_host::pressure;
use coracle_host::store::Store;
use coracle_host::supervise::property;

use super::cgroups::Layout;
use crate::config::{Origin, RegistrySettings, Settings, Supervision, Transport};
use crate::{image_policy, trust};

/// How long a server may take to answer a connection; a good one takes a tenth, a person does not wait longer.
const CONNECT_SECONDS: u64 = 5;
/// Where distributions keep the CAs they vouch for.
const CA_STORES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// The unit of the agent.
const AGENT_UNIT: &str = "coracle.service";
/// Where containers-common keeps the profile.
const SECCOMP_PROFILES: [&str; 2] = ["/etc/containers/seccomp.json", "/usr/share/containers/seccomp.json"];

/// What the caller knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Handed {
    pub(crate) now: Timestamp,
    /// Whether the clock follows a time server.
    pub(crate) clock_synced: bool,
}

/// Something tried: how long it took, or what went wrong.
pub(crate) type Tried = Result<Duration, String>;

/// Whose documents are taken.
#[derive(Debug, Clone)]
pub(crate) enum Trusted {
    /// Those of these keys.
    Keys(String),
    /// Anybody's.
    Anybody,
    /// Nobody's, and why.
    Nobody(String),
}

impl Trusted {
    fn gather(settings: &Settings) -> Self {
        let policy = trust::load(settings).policy;
        match (policy.unusable(), &policy) {
            (Some((why, _)), _) => Self::Nobody(why),
            (None, Policy::Anybody) => Self::Anybody,
            (None, Policy::Keys(_) | Policy::Nobody(_)) => Self::Keys(policy.wants()),
        }
    }
}

/// What is demanded of images.
#[derive(Debug, Clone)]
pub(crate) enum Demanded {
    /// Nothing: there is no such file.
    Nothing(PathBuf),
    /// What that file says.
    Policy(PathBuf),
    /// None is taken, and why.
    Unusable(String),
}

impl Demanded {
    fn gather(settings: &Settings) -> Self {
        let file = settings.image_policy.path.clone();
        match image_policy::load(settings) {
            Rules::Nothing => Self::Nothing(file),
            Rules::Policy(_) => Self::Policy(file),
            Rules::Unusable(why) => Self::Unusable(why),
        }
    }
}

/// Everything the checks look at.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) handed: Handed,
    pub(crate) root: bool,
    pub(crate) kernel: Kernel,
    pub(crate) cgroups: Layout,
    /// Whether the kernel counts who waits for processor, disk and memory; or why not.
    pub(crate) waits_counted: Result<(), String>,
    pub(crate) runtime: PathBuf,
    /// The first line of `--version`.
    pub(crate) runtime_version: Result<String, String>,
    pub(crate) seccomp_profile: Option<PathBuf>,
    pub(crate) state_dir: PathBuf,
    /// Whether an agent holds the lock of the state directory; `None` where that could not be told.
    pub(crate) agent_running: Option<bool>,
    /// Whether workloads would inherit the sandbox of the agent's unit.
    pub(crate) confines_workloads: bool,
    pub(crate) space: Result<Space, String>,
    pub(crate) machine_id: Option<String>,
    pub(crate) device_id: String,
    /// What it was made of; absent where it is written down.
    pub(crate) named_after: Option<String>,
    /// Whether it may be another one after a boot.
    pub(crate) unsteady: bool,
    /// What the board is not provisioned with yet.
    pub(crate) waits: Option<String>,
    pub(crate) trust: Trusted,
    pub(crate) images: Demanded,
    pub(crate) ca_store: Option<PathBuf>,
    /// Content of `/etc/resolv.conf`.
    pub(crate) resolv_conf: Result<String, String>,
    /// Its address and what came of connecting; `None` where none is configured.
    pub(crate) broker: Option<(String, Tried)>,
    pub(crate) registries: Vec<(String, Tried)>,
}

impl Facts {
    /// Looks at this board; `registries` beside those that the settings name.
    pub(crate) fn gather(settings: &Settings, registries: &[String], handed: Handed) -> Self {
        let read = |path: &str| std::fs::read_to_string(path);
        let first = |paths: &[&str]| paths.iter().map(PathBuf::from).find(|path| path.is_file());
        let own = settings.runtime.seccomp_profile.clone();
        let registries = settings.registry.insecure.iter().chain(registries);
        Self {
            handed,
            root: nix::unistd::geteuid().is_root(),
            kernel: kernel::look(&settings.state_dir),
            cgroups: Layout::read(
                &read("/proc/self/mountinfo").unwrap_or_default(),
                &read("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default(),
            ),
            waits_counted: pressure::is_counted().map_err(|error| error.to_string()),
            runtime: settings.runtime.path.clone(),
            runtime_version: version(&settings.runtime.path),
            seccomp_profile: own.filter(|path| path.is_file()).or_else(|| first(&SECCOMP_PROFILES)),
            state_dir: settings.state_dir.clone(),
            agent_running: Store::agent_runs(&settings.state_dir),
            confines_workloads: settings.supervision == Supervision::Direct && is_confined(AGENT_UNIT),
            space: disk::space(&settings.state_dir).map_err(|error| error.to_string()),
            machine_id: read("/etc/machine-id").ok(),
            device_id: settings.device_id.to_string(),
            named_after: settings.row("device_id").and_then(|row| match &row.origin {
                Origin::Derived { from } => Some(from.clone()),
                Origin::Default | Origin::File { .. } => None,
            }),
            unsteady: settings.unsteady,
            waits: settings.waits.clone(),
            trust: Trusted::gather(settings),
            images: Demanded::gather(settings),
            ca_store: settings
                .registry
                .ca_file
                .clone()
                .or_else(coracle_host::registry::given_cert_file)
                .filter(|path| path.is_file())
                .or_else(|| first(&CA_STORES)),
            resolv_conf: read("/etc/resolv.conf").map_err(|error| error.to_string()),
            broker: settings.broker.as_ref().map(|broker| {
                let (host, port) = (&broker.url.host, broker.url.port);
                let secured = if broker.url.transport == Transport::Tls { " (TLS)" } else { "" };
                // Whether the proxy lets the board through is told by the agent, which has to prove itself there.
                match &broker.proxy {
                    Some(proxy) => {
                        (format!("{proxy}, to {host}:{port}{secured}"), connect(proxy.host(), proxy.port()))
                    }
                    None => (format!("{host}:{port}{secured}"), connect(host, port)),
                }
            }),
            registries: registries.map(|name| (name.clone(), reach(name, &settings.registry))).collect(),
        }
    }
}

/// Whether the service manager runs this unit without new privileges; no, where there is no service manager.
fn is_confined(unit: &str) -> bool {
    property(unit, "NoNewPrivileges").is_ok_and(|said| said == "yes")
}

fn version(runtime: &Path) -> Result<String, String> {
    let output = Command::new(runtime).arg("--version").stdin(Stdio::null()).output();
    let output = output.map_err(|error| error.to_string())?;
    let line = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned();
    if output.status.success() { Ok(line) } else { Err(format!("ended with {}", output.status)) }
}

fn reach(registry: &str, settings: &RegistrySettings) -> Tried {
    let plain = settings.insecure.iter().any(|name| name == registry);
    if let Some(proxy) = settings.proxy.as_ref().filter(|_| !plain) {
        return connect(proxy.host(), proxy.port());
    }
    let usual = if plain { 80 } else { 443 };
    // The name in references is not the server's.
    let server = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
    let with_port = server.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let (host, port) = with_port.unwrap_or((server, usual));
    connect(host.trim_matches(['[', ']']), port)
}

/// Connects and hangs up; each address of the name is tried.
fn connect(host: &str, port: u16) -> Tried {
    let begun = Instant::now();
    let addresses =
        (host, port).to_socket_addrs().map_err(|error| format!("its name was not found: {error}"))?;
    let mut refusal = "its name has no address".to_owned();
    for address in addresses.take(4) {
        match TcpStream::connect_timeout(&address, Duration::from_secs(CONNECT_SECONDS)) {
            Ok(_) => return Ok(begun.elapsed()),
            Err(error) => refusal = format!("{address} did not answer: {error}"),
        }
    }
    Err(refusal)
}
