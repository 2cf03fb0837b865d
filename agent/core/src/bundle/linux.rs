//! The Linux part of a bundle: namespaces, control group, devices, hidden and read-only paths.

use serde_json::{Map, Value, json};

use super::{BundleInput, DeviceKind, DeviceNode};
use crate::compose::NetworkMode;

/// Processes and threads of a container that does not say: enough for any service, too few for a fork bomb.
pub const PIDS_DEFAULT: i64 = 2048;
/// Microseconds over which processor time is shared out (the kernel's default).
const CPU_PERIOD_US: u64 = 100_000;
/// The smallest share the kernel takes, in microseconds a period.
const CPU_QUOTA_US_MIN: u64 = 1_000;
/// Processors whose thermal counters are hidden; no board has more.
const CPUS_MAX: u32 = 1024;

/// Docker's list: what tells of, or reaches into, the board.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Docker's devices: kind, major, minor (none: all) and access. Nodes of any kind may be made, these few be opened:
/// null, zero, full, random, urandom, tty, console, ptmx and the terminals.
const DEVICES: [(&str, Option<u64>, Option<u64>, &str); 11] = [
    ("c", None, None, "m"),
    ("b", None, None, "m"),
    ("c", Some(1), Some(3), "rwm"),
    ("c", Some(1), Some(5), "rwm"),
    ("c", Some(1), Some(7), "rwm"),
    ("c", Some(1), Some(8), "rwm"),
    ("c", Some(1), Some(9), "rwm"),
    ("c", Some(5), Some(0), "rwm"),
    ("c", Some(5), Some(1), "rwm"),
    ("c", Some(5), Some(2), "rwm"),
    ("c", Some(136), None, "rwm"),
];

pub(super) fn linux(input: &BundleInput<'_>) -> Value {
    let service = input.service;
    let mut namespaces = vec!["pid", "ipc", "uts", "mount", "cgroup"];
    match service.network_mode {
        NetworkMode::Host => {}
        NetworkMode::None => namespaces.push("network"),
    }
    let namespaces: Vec<Value> = namespaces.into_iter().map(|kind| json!({ "type": kind })).collect();
    let (masked, read_only) = if service.privileged {
        (Vec::new(), Vec::new())
    } else {
        let thermal = |cpu: u32| format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle");
        let masked = MASKED.iter().map(|&path| path.to_owned());
        (masked.chain((0..input.means.cpus.min(CPUS_MAX)).map(thermal)).collect(), READ_ONLY.to_vec())
    };
    let mut linux = json!({
        "namespaces": namespaces,
        "cgroupsPath": input.cgroup_path,
        "resources": resources(input),
        "devices": input.devices.iter().map(node).collect::<Vec<_>>(),
        "sysctl": service.sysctls,
        "maskedPaths": masked,
        "readonlyPaths": read_only,
    });
    let confined = !service.privileged && !service.seccomp_unconfined;
    if let (Some(filter), Some(linux)) = (input.seccomp.filter(|_| confined), linux.as_object_mut()) {
        linux.insert("seccomp".to_owned(), filter.clone());
    }
    linux
}

fn resources(input: &BundleInput<'_>) -> Value {
    let limits = &input.service.resources;
    let mut resources = Map::new();
    let mut memory = Map::new();
    if let Some(bytes) = limits.memory_bytes {
        memory.insert("limit".to_owned(), json!(bytes));
        if input.means.swap_limit {
            // Memory and swap together: equal means no swap, for flash wears out.
            memory.insert("swap".to_owned(), json!(bytes));
        }
    }
    if let Some(bytes) = limits.memory_reservation_bytes {
        memory.insert("reservation".to_owned(), json!(bytes));
    }
    if !memory.is_empty() {
        resources.insert("memory".to_owned(), Value::Object(memory));
    }
    if let Some(milli) = limits.cpu_milli {
        let quota = (milli.saturating_mul(CPU_PERIOD_US) / 1000).max(CPU_QUOTA_US_MIN);
        resources.insert("cpu".to_owned(), json!({ "quota": quota, "period": CPU_PERIOD_US }));
    }
    // The runtime refuses a limit that cannot hold: right for what somebody asked for, too much for a default.
    let by_default = input.means.pids_limit.then_some(PIDS_DEFAULT);
    if let Some(pids) = limits.pids.or(by_default).filter(|pids| *pids > 0) {
        resources.insert("pids".to_owned(), json!({ "limit": pids }));
    }
    if input.means.device_rules {
        resources.insert("devices".to_owned(), device_rules(input));
    }
    Value::Object(resources)
}

fn device_rules(input: &BundleInput<'_>) -> Value {
    if input.service.privileged {
        return json!([{ "allow": true, "access": "rwm" }]);
    }
    let mut rules = vec![json!({ "allow": false, "access": "rwm" })];
    rules.extend(DEVICES.map(|(kind, major, minor, access)| {
        let mut rule = Map::new();
        rule.insert("allow".to_owned(), json!(true));
        rule.insert("type".to_owned(), json!(kind));
        rule.insert("access".to_owned(), json!(access));
        // Absent stands for all.
        rule.extend(major.map(|number| ("major".to_owned(), json!(number))));
        rule.extend(minor.map(|number| ("minor".to_owned(), json!(number))));
        Value::Object(rule)
    }));
    rules.extend(input.devices.iter().map(|device| {
        json!({
            "allow": true,
            "type": letter(device.kind),
            "major": device.major,
            "minor": device.minor,
            "access": device.permissions,
        })
    }));
    Value::Array(rules)
}

fn letter(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Character => "c",
        DeviceKind::Block => "b",
    }
}

fn node(device: &DeviceNode) -> Value {
    json!({
        "path": device.target,
        "type": letter(device.kind),
        "major": device.major,
        "minor": device.minor,
        "fileMode": device.mode & 0o7777,
        "uid": device.uid,
        "gid": device.gid,
    })
}
