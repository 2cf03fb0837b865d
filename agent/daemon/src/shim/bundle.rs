//! The bundle of a unit (runtime-spec, "config.json").

use std::fs;
use std::path::{Path, PathBuf};

use coracle_core::compose::{Mount, NetworkMode};
use coracle_host::supervise::{Place, Unit};
use serde_json::json;

use super::error::{ShimError, system};
use super::files;

/// Writes `config.json`.
pub(super) fn write(
    unit: &Unit,
    place: &Place,
    rootfs: &Path,
    sources: &[Option<PathBuf>],
) -> Result<(), ShimError> {
    let service = &unit.workload.service;
    let mut args = service.entrypoint.clone().unwrap_or_else(|| unit.exec.entrypoint.clone());
    args.extend(service.command.clone().unwrap_or_else(|| unit.exec.cmd.clone()));
    let mut env = unit.exec.env.clone();
    env.extend(service.environment.iter().map(|(name, value)| format!("{name}={value}")));
    let mut mounts = vec![
        json!({"destination":"/proc","type":"proc","source":"proc"}),
        json!({"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","strictatime","mode=755","size=65536k"]}),
        json!({"destination":"/dev/pts","type":"devpts","source":"devpts","options":["nosuid","noexec","newinstance","ptmxmode=0666","mode=0620"]}),
        json!({"destination":"/sys","type":"sysfs","source":"sysfs","options":["nosuid","noexec","nodev","ro"]}),
    ];
    for name in ["hosts", "hostname", "resolv.conf"] {
        mounts.push(json!({"destination": format!("/etc/{name}"), "type": "bind", "source": place.join("etc").join(name), "options": ["rbind"]}));
    }
    for (mount, source) in service.mounts.iter().zip(sources) {
        match mount {
            Mount::Bind { target, read_only, .. } | Mount::Volume { target, read_only, .. } => mounts.push(json!({"destination": target, "type": "bind", "source": source, "options": ["rbind", if *read_only {"ro"} else {"rw"}]})),
            Mount::Tmpfs { target, .. } => mounts.push(json!({"destination": target, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev"]})),
        }
    }
    let mut namespaces = vec!["pid", "ipc", "uts", "mount"];
    if service.network_mode == NetworkMode::None {
        namespaces.push("network");
    }
    let namespaces: Vec<_> = namespaces.into_iter().map(|kind| json!({"type": kind})).collect();
    let caps = ["CAP_CHOWN", "CAP_SETUID", "CAP_SETGID", "CAP_KILL"];
    let config = json!({
        "ociVersion": "1.0.2",
        "process": {"terminal": service.tty, "user": {"uid": 0, "gid": 0}, "args": args, "env": env, "cwd": service.working_dir.as_deref().unwrap_or("/"),
            "capabilities": {"bounding": caps, "effective": caps, "permitted": caps}, "noNewPrivileges": service.no_new_privileges},
        "root": {"path": rootfs, "readonly": service.read_only},
        "hostname": files::host_name(service, unit.id.service.as_str()),
        "mounts": mounts,
        "linux": {"namespaces": namespaces, "cgroupsPath": cgroup_path(unit, place),
            "resources": {"memory": {"limit": service.resources.memory_bytes}, "pids": {"limit": service.resources.pids.unwrap_or(4096)}}},
    });
    let bytes = serde_json::to_vec(&config).map_err(system("config.json"))?;
    fs::write(place.join("config.json"), bytes).map_err(system("config.json"))
}

/// The container's control group. Agents with another run directory than the usual share the hierarchy, but not
/// the names in it.
fn cgroup_path(unit: &Unit, place: &Place) -> String {
    let run_dir = place.runtime_root();
    if run_dir.starts_with("/run/coracle") {
        return format!("/coracle/{}", unit.id);
    }
    let tag: String = coracle_core::oci::Digest::of(run_dir.as_os_str().as_encoded_bytes())
        .hex()
        .chars()
        .take(12)
        .collect();
    format!("/coracle/{tag}-{}", unit.id)
}
