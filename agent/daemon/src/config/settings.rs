//! Stage three: checked values. A pure function of the inputs and the board's own names.

use std::path::PathBuf;
use std::time::Duration;

use coracle_core::address::ProxyUrl;
use coracle_core::allowance::Allowance;
use coracle_core::compose::NetworkMode;
use coracle_core::ident::{DeviceId, GroupName};
use coracle_core::oci::Platform;
use coracle_core::retention::Watermarks;
use serde::Serialize;

use super::allow;
use super::broker::{self, BrokerSettings, BrokerUrl, Protocol, Transport};
use super::error::{ConfigError, Mistake};
use super::fragment::Raw;
use super::inputs::{Inputs, Origin};
use super::keys;
use super::naming;
use super::reading::Reading;
use super::surroundings::Surroundings;

/// Groups of one board: with its own four filters they make the eight of one SUBSCRIBE that every broker takes.
const GROUPS_MAX: usize = 4;
/// The same where commands for groups are listened to: each group has two filters then.
const COMMANDED_GROUPS_MAX: usize = 2;
/// Keys that a broker may have: the one of today and those to come.
const PINS_MAX: usize = 8;
/// Control groups of workloads: that of their units, and that of the agent's own processes over them.
const PACE_GROUPS: [&str; 2] = ["coracle.slice", "coracle"];
/// Groups whose waits count; each costs three small reads, four times a second while an image comes.
const PACE_GROUPS_MAX: usize = 8;

/// What this board was told; every value is checked.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) device_id: DeviceId,
    /// What the board is not provisioned with yet, and cannot connect without, in words.
    pub(crate) waits: Option<String>,
    /// Whether the device id may be another one after a boot.
    pub(crate) unsteady: bool,
    pub(crate) groups: Vec<GroupName>,
    pub(crate) state_dir: PathBuf,
    pub(crate) run_dir: PathBuf,
    /// Instead of what was detected, best first; empty: detect.
    pub(crate) platforms: Vec<Platform>,
    pub(crate) accept_tags: bool,
    pub(crate) default_network: Option<NetworkMode>,
    pub(crate) supervision: Supervision,
    pub(crate) trust: Trust,
    /// Where the image keeps the keys that are believed.
    pub(crate) keys_dir: PathBuf,
    /// The policy for images.
    pub(crate) image_policy: PolicyFile,
    /// Absent: the agent runs without a broker.
    pub(crate) broker: Option<BrokerSettings>,
    pub(crate) registry: RegistrySettings,
    pub(crate) runtime: RuntimeSettings,
    pub(crate) pull: PullSettings,
    pub(crate) pace: PaceSettings,
    pub(crate) store: StoreSettings,
    /// How full the disk may become.
    pub(crate) disk: Watermarks,
    /// What services of documents may ask for.
    pub(crate) allowance: Allowance,
    /// Absent: nobody hands out turns.
    pub(crate) lock: Option<LockSettings>,
    /// The files that were read, in order.
    pub(crate) files: Vec<PathBuf>,
    /// Every key with its value and where that comes from.
    pub(crate) rows: Vec<SettingRow>,
}

/// Who stands over workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Supervision {
    /// Systemd where it can.
    Auto,
    /// Nobody else.
    Systemd,
    /// Processes of our own.
    Direct,
}

/// Where the policy for images is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PolicyFile {
    pub(crate) path: PathBuf,
    /// Whether the configuration names it: then it must be there.
    pub(crate) named: bool,
}

/// Which desired documents are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Only signed ones.
    Signed,
    /// Unsigned ones too; the reported state says so.
    Unsigned,
}

/// How registries are reached. Absent paths: where the containers tools look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RegistrySettings {
    /// `host[:port]`, reached over plain HTTP.
    pub(crate) insecure: Vec<String>,
    pub(crate) auth_file: Option<PathBuf>,
    pub(crate) certs_dir: Option<PathBuf>,
    pub(crate) registries_conf: Option<PathBuf>,
    pub(crate) ca_file: Option<PathBuf>,
    /// Absent: what the environment says.
    pub(crate) proxy: Option<ProxyUrl>,
    /// Reached without that proxy.
    pub(crate) no_proxy: Vec<String>,
}

/// The OCI runtime and what every workload gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RuntimeSettings {
    /// A name without a slash, looked up in PATH, or an absolute path.
    pub(crate) path: PathBuf,
    pub(crate) seccomp_profile: Option<PathBuf>,
    pub(crate) log_bytes_max: u64,
}

/// How images are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PullSettings {
    /// Layers at a time.
    pub(crate) concurrency: usize,
}

/// How updates give way to what runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PaceSettings {
    /// Percent of full speed that is kept in any case.
    pub(crate) least_percent: u32,
    /// Control groups whose waits count.
    pub(crate) groups: Vec<String>,
}

/// How the store is looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoreSettings {
    /// Days between two passes over its content; 0 for none.
    pub(crate) scrub_days: u64,
    /// From a start to the first pass, at the least.
    pub(crate) scrub_after: Duration,
}

/// Who hands out turns to update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LockSettings {
    /// `http://` or `https://`.
    pub(crate) url: String,
    pub(crate) group: String,
    pub(crate) ca_file: Option<PathBuf>,
}

/// One key with its value and where that comes from.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SettingRow {
    pub(crate) key: &'static str,
    /// `null` where nothing is set and there is no value by default.
    pub(crate) value: serde_json::Value,
    pub(crate) origin: Origin,
}

/// Checks `inputs`.
pub(crate) fn check(inputs: Inputs, board: &Surroundings) -> Result<Settings, ConfigError> {
    let mut reading = Reading::new(inputs);
    let naming = naming::name(&mut reading, board)?;
    let groups = groups(&mut reading)?;
    let settings = Settings {
        device_id: naming.id,
        waits: naming.waits,
        unsteady: naming.unsteady,
        state_dir: reading.path("state_dir", "/var/lib/coracle")?,
        run_dir: reading.path("run_dir", "/run/coracle")?,
        platforms: platforms(&mut reading)?,
        accept_tags: reading.switch("accept_tags"),
        default_network: reading.parsed("default_network", network)?,
        supervision: reading.parsed("supervisor", supervision)?.unwrap_or(Supervision::Auto),
        trust: if reading.switch("trust.unsigned") { Trust::Unsigned } else { Trust::Signed },
        keys_dir: keys_dir(&mut reading)?,
        image_policy: image_policy(&mut reading)?,
        broker: broker_settings(&mut reading, groups.len())?,
        registry: registry(&mut reading)?,
        runtime: runtime(&mut reading)?,
        pull: PullSettings {
            concurrency: usize::try_from(reading.count("pull.concurrency", 2)).unwrap_or(1),
        },
        pace: pace(&mut reading)?,
        store: StoreSettings {
            scrub_days: reading.count("store.scrub_days", 30),
            scrub_after: Duration::from_secs(reading.count("store.scrub_after_seconds", 300)),
        },
        disk: watermarks(&mut reading)?,
        allowance: allow::allowance(&mut reading)?,
        lock: lock(&mut reading)?,
        groups,
        files: reading.inputs.files,
        rows: reading.rows,
    };
    Ok(settings)
}

fn supervision(text: &str) -> Result<Supervision, String> {
    match text {
        "auto" => Ok(Supervision::Auto),
        "systemd" => Ok(Supervision::Systemd),
        "direct" => Ok(Supervision::Direct),
        other => Err(format!("{other:?} is no supervisor; there are \"auto\", \"systemd\" and \"direct\"")),
    }
}

fn keys_dir(reading: &mut Reading) -> Result<PathBuf, ConfigError> {
    const KEY: &str = "trust.keys_dir";
    let unsigned = reading.inputs.value("trust.unsigned").is_some_and(|(raw, ..)| *raw == Raw::Switch(true));
    let dir = reading.path(KEY, "/usr/share/coracle/trust.d")?;
    if unsigned && reading.inputs.value(KEY).is_some() {
        return Err(reading.mistake(KEY, None, "has no effect with trust.unsigned = true".to_owned()));
    }
    Ok(dir)
}

fn image_policy(reading: &mut Reading) -> Result<PolicyFile, ConfigError> {
    const KEY: &str = "trust.image_policy";
    let named = reading.inputs.value(KEY).is_some();
    Ok(PolicyFile { path: reading.path(KEY, "/usr/share/coracle/policy.json")?, named })
}

fn network(text: &str) -> Result<NetworkMode, String> {
    match text {
        "host" => Ok(NetworkMode::Host),
        "none" => Ok(NetworkMode::None),
        other => Err(format!("{other:?} is not a network; there are \"host\" and \"none\"")),
    }
}

fn groups(reading: &mut Reading) -> Result<Vec<GroupName>, ConfigError> {
    const KEY: &str = "groups";
    let mut groups = Vec::new();
    for (text, line) in reading.list(KEY, serde_json::json!([])).unwrap_or_default() {
        let group =
            GroupName::parse(&text).map_err(|error| reading.mistake(KEY, Some(line), error.to_string()))?;
        if groups.contains(&group) {
            return Err(reading.mistake(KEY, Some(line), format!("{text:?} is there twice")));
        }
        if groups.len() == GROUPS_MAX {
            return Err(reading.mistake(KEY, Some(line), format!("more than {GROUPS_MAX} groups")));
        }
        groups.push(group);
    }
    Ok(groups)
}

fn platforms(reading: &mut Reading) -> Result<Vec<Platform>, ConfigError> {
    const KEY: &str = "platform";
    let Some(texts) = reading.list(KEY, serde_json::Value::Null) else { return Ok(Vec::new()) };
    if texts.is_empty() {
        return Err(reading.mistake(
            KEY,
            None,
            "an empty list; leave the key out to detect the platform".to_owned(),
        ));
    }
    let parse = |(text, line): &(String, usize)| {
        Platform::parse(text).map_err(|error| reading.mistake(KEY, Some(*line), error.to_string()))
    };
    texts.iter().map(parse).collect()
}

fn broker_settings(reading: &mut Reading, groups: usize) -> Result<Option<BrokerSettings>, ConfigError> {
    let url = reading.parsed("broker.url", BrokerUrl::parse)?;
    let protocol = reading.text("broker.version", Some("5")).unwrap_or_default();
    let protocol = Protocol::parse(&protocol).map_err(|it| reading.mistake("broker.version", None, it))?;
    let root = reading.text("broker.root", Some("coracle/v1")).unwrap_or_default();
    broker::root(&root).map_err(|it| reading.mistake("broker.root", None, it))?;
    let username = reading.text("broker.username", None);
    let password_file = reading.optional_path("broker.password_file")?;
    let ca_file = reading.optional_path("broker.ca_file")?;
    let tls_name = reading.parsed("broker.tls_name", broker::tls_name)?;
    let pins = pins(reading)?;
    let proxy = reading.proxy("broker.proxy", broker::proxy)?;
    let cert_file = reading.optional_path("broker.cert_file")?;
    let key_file = reading.optional_path("broker.key_file")?;
    let keepalive = Duration::from_secs(reading.count("broker.keepalive_seconds", 120));
    let first_connect_splay = Duration::from_secs(reading.count("broker.first_connect_splay_seconds", 10));
    let group_commands = reading.switch_or("broker.group_commands", groups <= COMMANDED_GROUPS_MAX);
    if group_commands && groups > COMMANDED_GROUPS_MAX {
        let problem = format!(
            "is true, but brokers take eight filters of one board, which are used up by {COMMANDED_GROUPS_MAX} \
             groups with their commands; it has {groups}"
        );
        return Err(reading.mistake("broker.group_commands", None, problem));
    }

    let Some(url) = url else {
        let Some((key, file, line)) = reading.inputs.first_of("broker") else { return Ok(None) };
        let problem = "is set, but broker.url is not: without it there is no broker".to_owned();
        let (file, line, key) = (Some(file.to_owned()), Some(line), Some(key.to_owned()));
        return Err(Mistake { file, line, key, problem }.into());
    };
    if password_file.is_some() && username.is_none() {
        let problem = "needs broker.username beside it".to_owned();
        return Err(reading.mistake("broker.password_file", None, problem));
    }
    let of_tls = ["ca_file", "tls_name", "pin_sha256", "proxy", "cert_file", "key_file"];
    for key in of_tls.map(|key| format!("broker.{key}")) {
        let key = key.as_str();
        if url.transport == Transport::Plain && reading.inputs.value(key).is_some() {
            let problem = "has no effect with mqtt://; write mqtts:// in broker.url".to_owned();
            return Err(reading.mistake(key, None, problem));
        }
    }
    let identity = match (cert_file, key_file) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => {
            return Err(reading.mistake(
                "broker.cert_file",
                None,
                "needs broker.key_file beside it".to_owned(),
            ));
        }
        (None, Some(_)) => {
            return Err(reading.mistake(
                "broker.key_file",
                None,
                "needs broker.cert_file beside it".to_owned(),
            ));
        }
    };
    Ok(Some(BrokerSettings {
        url,
        protocol,
        root,
        username,
        password_file,
        ca_file,
        tls_name,
        pins,
        proxy,
        identity,
        keepalive,
        first_connect_splay,
        group_commands,
    }))
}

fn pins(reading: &mut Reading) -> Result<Vec<[u8; 32]>, ConfigError> {
    const KEY: &str = "broker.pin_sha256";
    let written = reading.list(KEY, serde_json::Value::Null).unwrap_or_default();
    if let Some((_, line)) = written.get(PINS_MAX) {
        return Err(reading.mistake(KEY, Some(*line), format!("more than {PINS_MAX} keys")));
    }
    let pin = |(text, line): &(String, usize)| {
        broker::pin(text).map_err(|problem| reading.mistake(KEY, Some(*line), problem))
    };
    written.iter().map(pin).collect()
}

/// `registry.proxy` and what goes past it.
fn registry_proxy(reading: &mut Reading) -> Result<(Option<ProxyUrl>, Vec<String>), ConfigError> {
    const PAST: &str = "registry.no_proxy";
    let proxy = reading.proxy("registry.proxy", ProxyUrl::parse)?;
    let mut past = Vec::new();
    for (text, line) in reading.list(PAST, serde_json::Value::Null).unwrap_or_default() {
        let legal = |c: char| c.is_ascii_alphanumeric() || "*.-_:/[]".contains(c);
        if text.is_empty() || !text.chars().all(legal) {
            let problem = format!("{text:?} is not a host, a domain or a network");
            return Err(reading.mistake(PAST, Some(line), problem));
        }
        past.push(text);
    }
    if proxy.is_none() && reading.inputs.value(PAST).is_some() {
        let problem = "has no effect without registry.proxy; for HTTPS_PROXY there is NO_PROXY".to_owned();
        return Err(reading.mistake(PAST, None, problem));
    }
    Ok((proxy, past))
}

fn registry(reading: &mut Reading) -> Result<RegistrySettings, ConfigError> {
    const KEY: &str = "registry.insecure";
    let mut insecure = Vec::new();
    for (text, line) in reading.list(KEY, serde_json::json!([])).unwrap_or_default() {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
        if text.is_empty() || !text.chars().all(legal) {
            let problem = format!("{text:?} is not host[:port]; leave out http:// and any path");
            return Err(reading.mistake(KEY, Some(line), problem));
        }
        insecure.push(text);
    }
    let auth_file = reading.optional_path("registry.auth_file")?;
    let certs_dir = reading.optional_path("registry.certs_dir")?;
    let registries_conf = reading.optional_path("registry.registries_conf")?;
    let ca_file = reading.optional_path("registry.ca_file")?;
    let (proxy, no_proxy) = registry_proxy(reading)?;
    Ok(RegistrySettings { insecure, auth_file, certs_dir, registries_conf, ca_file, proxy, no_proxy })
}

fn runtime(reading: &mut Reading) -> Result<RuntimeSettings, ConfigError> {
    const KEY: &str = "runtime.path";
    let path = reading.text(KEY, Some("crun")).unwrap_or_default();
    if path.is_empty() || (path.contains('/') && !path.starts_with('/')) {
        let problem = format!("{path:?} is neither a name nor an absolute path");
        return Err(reading.mistake(KEY, None, problem));
    }
    Ok(RuntimeSettings {
        path: path.into(),
        seccomp_profile: reading.optional_path("runtime.seccomp_profile")?,
        log_bytes_max: reading.count("runtime.log_bytes_max", 1 << 20),
    })
}

fn pace(reading: &mut Reading) -> Result<PaceSettings, ConfigError> {
    const KEY: &str = "pace.groups";
    let least_percent = u32::try_from(reading.count("pace.least_percent", 10)).unwrap_or(100);
    let Some(given) = reading.list(KEY, serde_json::json!(PACE_GROUPS)) else {
        return Ok(PaceSettings { least_percent, groups: PACE_GROUPS.map(str::to_owned).to_vec() });
    };
    let mut groups = Vec::new();
    for (text, line) in given {
        let parts = || text.trim_start_matches('/').split('/');
        if parts().any(|part| matches!(part, "" | "." | "..")) {
            let problem = format!("{text:?} is no path of a control group, as /proc/PID/cgroup shows them");
            return Err(reading.mistake(KEY, Some(line), problem));
        }
        if groups.len() == PACE_GROUPS_MAX {
            return Err(reading.mistake(KEY, Some(line), format!("more than {PACE_GROUPS_MAX} groups")));
        }
        groups.push(text);
    }
    Ok(PaceSettings { least_percent, groups })
}

fn watermarks(reading: &mut Reading) -> Result<Watermarks, ConfigError> {
    const LOW: &str = "disk.low_percent";
    let (high, low) = (reading.count("disk.high_percent", 85), reading.count(LOW, 70));
    if low >= high {
        let key = if reading.inputs.value(LOW).is_some() { LOW } else { "disk.high_percent" };
        let problem = format!("disk.low_percent ({low}) must be below disk.high_percent ({high})");
        return Err(reading.mistake(key, None, problem));
    }
    Ok(Watermarks { high, low })
}

fn lock(reading: &mut Reading) -> Result<Option<LockSettings>, ConfigError> {
    let url = reading.parsed("lock.url", server)?;
    let group = reading.text("lock.group", Some("default")).unwrap_or_default();
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if group.is_empty() || group.len() > 64 || !group.chars().all(legal) {
        let problem = format!("{group:?} is not 1 to 64 of A-Z a-z 0-9 . -");
        return Err(reading.mistake("lock.group", None, problem));
    }
    let ca_file = reading.optional_path("lock.ca_file")?;
    let Some(url) = url else {
        let Some((key, ..)) = reading.inputs.first_of("lock") else { return Ok(None) };
        let key = key.to_owned();
        return Err(reading.mistake(&key, None, "is set, but lock.url is not".to_owned()));
    };
    Ok(Some(LockSettings { url, group, ca_file }))
}

fn server(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let rest = rest.ok_or("must be http://host[:port] or https://host[:port]")?;
    if rest.is_empty() || rest.contains(['@', '?', '#']) || rest.contains(char::is_whitespace) {
        return Err("must be a host, perhaps a port and a path, and nothing else".to_owned());
    }
    Ok(text.to_owned())
}

impl Settings {
    /// The row of a key; for messages about its value.
    pub(crate) fn row(&self, key: &str) -> Option<&SettingRow> {
        debug_assert!(keys::find(key).is_some(), "{key} is no key");
        self.rows.iter().find(|row| row.key == key)
    }
}
