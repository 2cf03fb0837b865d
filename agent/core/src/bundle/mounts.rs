//! The mounts of a bundle: what every container has, then what the service asks for.

use serde_json::{Value, json};

use super::{BundleError, BundleInput};
use crate::compose::Mount;

/// Bytes of `/dev/shm`, docker's 64 MiB.
const SHM_BYTES: u64 = 64 << 20;

pub(super) fn mounts(input: &BundleInput<'_>) -> Result<Vec<Value>, BundleError> {
    let own = own(input)?;
    let mut all = system(input);
    all.extend(etc(input));
    // What the service mounts in such a place is what it wants there.
    all.retain(|(target, _)| !own.iter().any(|(other, _)| other == target));
    all.extend(own);
    // A mount that comes after one above it would be hidden by that: parents first, else the order as it is.
    all.sort_by_key(|(target, _)| target.matches('/').count());
    Ok(all.into_iter().map(|(_, mount)| mount).collect())
}

fn entry(target: &str, kind: &str, source: &str, options: &[&str]) -> (String, Value) {
    let mount = json!({ "destination": target, "type": kind, "source": source, "options": options });
    (target.to_owned(), mount)
}

/// The kernel's and the runtime's own (docker's list).
fn system(input: &BundleInput<'_>) -> Vec<(String, Value)> {
    let writable = if input.service.privileged { "rw" } else { "ro" };
    let shm = format!("size={SHM_BYTES}");
    let mut mounts = vec![
        entry("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        entry("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        entry("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", writable]),
        entry(
            "/dev/pts",
            "devpts",
            "devpts",
            // Group 5 is tty in every distribution.
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        entry("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &shm]),
        entry("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", writable]),
    ];
    if input.means.mqueue {
        mounts.push(entry("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]));
    }
    mounts
}

/// The files that the agent writes for the container; read-only where the root is.
fn etc(input: &BundleInput<'_>) -> impl Iterator<Item = (String, Value)> {
    let writable = if input.service.read_only { "ro" } else { "rw" };
    ["resolv.conf", "hostname", "hosts"].into_iter().map(move |file| {
        let source = format!("{}/{file}", input.etc);
        entry(&format!("/etc/{file}"), "bind", &source, &["rbind", "rprivate", writable])
    })
}

/// What the service asks for.
fn own(input: &BundleInput<'_>) -> Result<Vec<(String, Value)>, BundleError> {
    let mut mounts = Vec::new();
    for (at, mount) in input.service.mounts.iter().enumerate() {
        mounts.push(match mount {
            Mount::Bind { target, read_only, .. } | Mount::Volume { target, read_only, .. } => {
                let Some(Some(source)) = input.sources.get(at) else {
                    return Err(BundleError::NoSource { target: target.clone() });
                };
                let writable = match (read_only, input.means.recursive_read_only) {
                    (false, _) => "rw",
                    (true, false) => "ro",
                    (true, true) => "rro",
                };
                entry(target, "bind", source, &["rbind", "rprivate", writable])
            }
            Mount::Tmpfs { target, size_bytes, mode, noexec } => {
                let mut options = vec!["nosuid".to_owned(), "nodev".to_owned()];
                options.extend(noexec.then(|| "noexec".to_owned()));
                options.push(format!("mode={:o}", mode.unwrap_or(0o1777)));
                options.extend(size_bytes.map(|bytes| format!("size={bytes}")));
                let options: Vec<&str> = options.iter().map(String::as_str).collect();
                entry(target, "tmpfs", "tmpfs", &options)
            }
        });
    }
    Ok(mounts)
}
