//! The bundle of a unit (runtime-spec, "config.json"): facts of the board and of the root, joined by `core`.

use std::fs;
use std::path::{Path, PathBuf};

use coracle_core::bundle::{BundleInput, DeviceNode, Means, config_json, granted};
use coracle_core::compose::Service;
use coracle_core::oci::Digest;
use coracle_core::seccomp::Target;
use coracle_host::supervise::{Place, Unit};
use coracle_host::{confinement, devices, seccomp, users};
use serde_json::Value;

use super::error::{ShimError, system};
use super::files;

/// The container's group within that of its unit.
const CONTAINER_GROUP: &str = "container";
/// The run directory of a board; its agent's control groups have the plain names.
const USUAL_RUN_DIR: &str = "/run/coracle";

/// Writes `config.json`; `rootfs` is mounted.
pub(super) fn write(
    unit: &Unit,
    place: &Place,
    rootfs: &Path,
    sources: &[Option<PathBuf>],
    group: Option<&str>,
) -> Result<(), ShimError> {
    let service = &unit.workload.service;
    let user = users::lookup(rootfs, service.user.as_deref().unwrap_or(&unit.exec.user))?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let sources: Vec<_> = sources.iter().map(|source| source.as_deref().map(text)).collect();
    let means = confinement::look();
    let filter = filter(unit, &means)?;
    let input = BundleInput {
        workload: &unit.id.to_string(),
        service,
        exec: &unit.exec,
        user: &user,
        rootfs: &text(rootfs),
        host_name: &files::host_name(service, unit.id.service.as_str()),
        etc: &text(&place.join("etc")),
        sources: &sources,
        devices: &nodes(service)?,
        cgroup_path: &group.map_or_else(|| cgroup_path(place), |group| format!("{group}/{CONTAINER_GROUP}")),
        seccomp: filter.as_ref(),
        means: &means,
    };
    let mut config = config_json(&input)?;
    plain_read_only_files(&mut config);
    let bytes = serde_json::to_vec(&config).map_err(system("config.json"))?;
    fs::write(place.join("config.json"), bytes).map_err(system("config.json"))
}

/// The system call filter, resolved for what the container may; none only where the service says so.
fn filter(unit: &Unit, means: &Means) -> Result<Option<Value>, ShimError> {
    let service = &unit.workload.service;
    if service.privileged || service.seccomp_unconfined {
        return Ok(None);
    }
    let profile = seccomp::load(unit.seccomp_profile.as_deref())?;
    let (architecture, kernel) = seccomp::kernel().map_err(system("kernel"))?;
    let capabilities = granted(service, means)?;
    Ok(Some(profile.resolve(&Target { architecture: &architecture, capabilities, kernel })?))
}

/// Nothing can be mounted below a file, and crun (1.8) fails to make one read-only "recursively".
fn plain_read_only_files(config: &mut Value) {
    for mount in config.get_mut("mounts").and_then(Value::as_array_mut).into_iter().flatten() {
        let is_file =
            mount.get("source").and_then(Value::as_str).is_some_and(|path| Path::new(path).is_file());
        let options = mount.get_mut("options").and_then(Value::as_array_mut);
        for option in options.into_iter().flatten().filter(|option| is_file && *option == "rro") {
            *option = Value::from("ro");
        }
    }
}

fn nodes(service: &Service) -> Result<Vec<DeviceNode>, ShimError> {
    let asked = service.devices.iter().map(devices::node);
    let mut nodes = asked.collect::<Result<Vec<_>, _>>()?;
    if service.privileged {
        let all = devices::board().into_iter();
        let new: Vec<_> = all.filter(|node| !nodes.iter().any(|own| own.target == node.target)).collect();
        nodes.extend(new);
    }
    Ok(nodes)
}

/// The container's control group. Agents with another run directory than the usual share the hierarchy, but not
/// the names in it.
fn cgroup_path(place: &Place) -> String {
    let runtime = place.runtime_root();
    if runtime.parent() == Some(Path::new(USUAL_RUN_DIR)) {
        return format!("/coracle/{}", place.name());
    }
    let tag: String = Digest::of(runtime.as_os_str().as_encoded_bytes()).hex().chars().take(12).collect();
    format!("/coracle/{tag}-{}", place.name())
}
