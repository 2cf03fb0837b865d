//! The checks: facts in, findings out.

use coracle_host::disk::Keeping;
use coracle_host::kernel::Attempt;

use super::Finding;
use super::cgroups::Layout;
use super::facts::{Demanded, Facts, Tried, Trusted};
use crate::cli::out;

/// 2024-01-01: a clock before it was never set, for this agent is younger.
const BUILT_AFTER: u64 = 1_704_067_200;
/// Below it not even a small image can be unpacked.
const FREE_BYTES_LEAST: u64 = 64 << 20;
/// Below it an update of a common image (twice 100 MB while both are there) may not fit.
const FREE_BYTES_GOOD: u64 = 256 << 20;
/// The oldest runc without the escapes by masked paths of November 2025 (CVE-2025-31133 and two more).
const RUNC_LEAST: [u32; 3] = [1, 2, 8];
/// The oldest crun whose executed processes inherit no capabilities (CVE-2022-27650). Later ones mend what our bundles
/// do not ask for: agent/docs/security.md tells.
const CRUN_LEAST: [u32; 3] = [1, 4, 4];

pub(super) fn all(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![
        root(facts),
        kernel(facts),
        overlay(facts),
        attributes(facts),
        openat2(facts),
        namespaces(facts),
        seccomp(facts),
        seccomp_profile(facts),
        cgroups(facts),
        pressure(facts),
        runtime(facts),
        state_dir(facts),
        disk(facts),
        clock(facts),
        identity(facts),
        trust(facts),
        images(facts),
        agent(facts),
        supervisor(facts),
        ca_store(facts),
        dns(facts),
        broker(facts),
    ];
    findings.extend(registries(facts));
    findings
}

fn trust(facts: &Facts) -> Finding {
    match &facts.trust {
        Trusted::Keys(whose) => Finding::ok("trust", whose.clone()),
        Trusted::Anybody => Finding::warn(
            "trust",
            "unsigned documents are taken: whoever may publish on the broker decides what runs",
            "put the keys of whoever deploys into the image, and take trust.unsigned = true away",
        ),
        Trusted::Nobody(why) => Finding::warn(
            "trust",
            format!("no document is taken: {why}"),
            "put the keys of whoever deploys into the image, below trust.keys_dir",
        ),
    }
}

fn images(facts: &Facts) -> Finding {
    match &facts.images {
        Demanded::Nothing(file) => {
            let file = file.display();
            Finding::ok("images", format!("no signature is demanded of images: there is no {file}"))
        }
        Demanded::Policy(file) => Finding::ok("images", format!("held against {}", file.display())),
        Demanded::Unusable(why) => Finding::warn(
            "images",
            format!("no image is taken: {why}"),
            "mend the policy file (trust.image_policy), and see coracle trust show",
        ),
    }
}

fn root(facts: &Facts) -> Finding {
    if facts.root {
        Finding::ok("root", "running as root")
    } else {
        Finding::warn("root", "not running as root: some checks are not possible", "run: sudo coracle doctor")
    }
}

fn kernel(facts: &Facts) -> Finding {
    let release = &facts.kernel.release;
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= (5, 6) {
        return Finding::ok("kernel", format!("Linux {release}"));
    }
    let remedy = "this agent is tried on Linux 5.6 and newer; use a newer kernel for this board";
    Finding::warn("kernel", format!("Linux {release}"), remedy)
}

fn attempt(name: &'static str, attempt: &Attempt, works: &str, remedy: &str) -> Finding {
    match attempt {
        Attempt::Works => Finding::ok(name, works),
        Attempt::Refused(why) => Finding::fail(name, format!("refused: {why}"), remedy),
        Attempt::NotTried(why) => Finding::warn(name, format!("not tried: {why}"), "run it again as root"),
    }
}

fn overlay(facts: &Facts) -> Finding {
    let dir = facts.state_dir.display();
    let remedy =
        format!("build the kernel with CONFIG_OVERLAY_FS, and keep {dir} on ext4, xfs, f2fs or btrfs");
    attempt("overlayfs", &facts.kernel.overlay, &format!("mounted and written to near {dir}"), &remedy)
}

fn attributes(facts: &Facts) -> Finding {
    let name = "xattr";
    let remedy = "use a file system with extended attributes for state_dir (ext4: CONFIG_EXT4_FS_SECURITY is not enough, mount without nouser_xattr)";
    match (&facts.kernel.trusted_xattr, &facts.kernel.user_xattr) {
        (Attempt::Works, Attempt::Works) => Finding::ok(name, "trusted and user attributes can be written"),
        (Attempt::Works, Attempt::Refused(why)) => {
            let remedy =
                "images that carry user attributes cannot be unpacked; mount state_dir with user_xattr";
            Finding::warn(name, format!("user attributes refused: {why}"), remedy)
        }
        (Attempt::Refused(_), _) if !facts.root => {
            Finding::warn(name, "trusted attributes need root", "run it again as root")
        }
        (trusted, _) => attempt(name, trusted, "trusted attributes can be written", remedy),
    }
}

fn openat2(facts: &Facts) -> Finding {
    match &facts.kernel.openat2 {
        Attempt::Refused(why) => {
            let remedy = "nothing must be done: images unpack by a slower way; Linux 5.6 has it, a container needs a seccomp profile that allows it";
            Finding::warn("openat2", format!("refused: {why}"), remedy)
        }
        it @ (Attempt::Works | Attempt::NotTried(_)) => {
            attempt("openat2", it, "paths can be resolved beneath a directory", "")
        }
    }
}

fn namespaces(facts: &Facts) -> Finding {
    let missing = &facts.kernel.namespaces_missing;
    if missing.is_empty() {
        return Finding::ok("namespaces", "all that containers get are there");
    }
    let remedy = "build the kernel with CONFIG_NAMESPACES and CONFIG_{UTS,IPC,PID,NET}_NS, CONFIG_CGROUPS";
    Finding::fail("namespaces", format!("missing: {}", missing.join(", ")), remedy)
}

fn seccomp(facts: &Facts) -> Finding {
    let remedy = "build the kernel with CONFIG_SECCOMP and CONFIG_SECCOMP_FILTER";
    attempt("seccomp", &facts.kernel.seccomp, "system calls can be filtered", remedy)
}

fn seccomp_profile(facts: &Facts) -> Finding {
    match &facts.seccomp_profile {
        Some(path) => Finding::ok("seccomp-profile", path.display().to_string()),
        None => Finding::ok("seccomp-profile", "the built-in one, for the board has no profile file"),
    }
}

fn cgroups(facts: &Facts) -> Finding {
    let name = "cgroups";
    let crun = facts.runtime.file_name().is_some_and(|name| name == "crun");
    let (found, missing) = match &facts.cgroups {
        Layout::None => {
            let remedy = "mount cgroup2 on /sys/fs/cgroup; build the kernel with CONFIG_CGROUPS";
            return Finding::fail(name, "no control groups are mounted", remedy);
        }
        Layout::Hybrid { .. } if crun => {
            let found =
                "hybrid: controllers in version 1, and version 2 at unified/; crun refuses to run in that";
            let remedy = "boot with systemd.unified_cgroup_hierarchy=1 (version 2 alone), or set runtime.path = \"runc\"";
            return Finding::fail(name, found, remedy);
        }
        Layout::Unified { missing } => ("version 2", missing),
        Layout::Legacy { missing } => ("version 1", missing),
        Layout::Hybrid { missing } => ("hybrid (version 1 with version 2 beside it)", missing),
    };
    if missing.is_empty() {
        return Finding::ok(name, format!("{found}, with cpu, memory and pids"));
    }
    let list = missing.join(", ");
    let remedy = format!(
        "limits by {list} will not hold; build the kernel with them, on a Raspberry Pi boot with cgroup_enable=memory"
    );
    Finding::warn(name, format!("{found}, without {list}"), remedy)
}

fn pressure(facts: &Facts) -> Finding {
    let name = "pressure";
    let lost = "an update is not slowed while workloads wait because of it";
    match (&facts.cgroups, &facts.waits_counted) {
        (Layout::None, _) => Finding::ok(name, "not looked at: see cgroups"),
        (Layout::Legacy { .. }, _) => {
            let remedy = "boot with systemd.unified_cgroup_hierarchy=1: only version 2 of control groups counts the waits of workloads";
            Finding::warn(name, format!("version 1 of control groups counts no waits: {lost}"), remedy)
        }
        (Layout::Unified { .. } | Layout::Hybrid { .. }, Err(why)) => {
            let remedy = "build the kernel with CONFIG_PSI; where it has it, boot with psi=1";
            Finding::warn(name, format!("the kernel counts no waits ({why}): {lost}"), remedy)
        }
        (Layout::Unified { .. } | Layout::Hybrid { .. }, Ok(())) => {
            Finding::ok(name, "the kernel counts what workloads wait")
        }
    }
}

fn runtime(facts: &Facts) -> Finding {
    let name = "runtime";
    let path = facts.runtime.display();
    let line = match &facts.runtime_version {
        Ok(line) => line,
        Err(why) => {
            let remedy = format!("install {path}, or set runtime.path");
            return Finding::fail(name, format!("{path} does not run: {why}"), remedy);
        }
    };
    let numbers = line.rsplit(' ').next().unwrap_or_default();
    let numbers: Vec<u32> = numbers.split(['.', '-', '+', '~']).map_while(|part| part.parse().ok()).collect();
    if line.starts_with("runc ") && numbers.as_slice() < RUNC_LEAST.as_slice() {
        let remedy = "update to runc 1.2.8, 1.3.3 or newer: older ones let a container out (CVE-2025-31133), and no workload is started with them";
        return Finding::fail(name, line, remedy);
    }
    if line.starts_with("crun ") && numbers.as_slice() < CRUN_LEAST.as_slice() {
        let remedy = "update to crun 1.4.4 or newer: older ones hand capabilities on (CVE-2022-27650)";
        return Finding::warn(name, line, remedy);
    }
    Finding::ok(name, line)
}

fn state_dir(facts: &Facts) -> Finding {
    let name = "state-dir";
    let dir = facts.state_dir.display();
    match facts.space.as_ref().map(|space| space.keeping) {
        Ok(Keeping::Disk) => Finding::ok(name, format!("{dir} is on a disk")),
        Ok(Keeping::Memory) => Finding::fail(
            name,
            format!("{dir} is in memory: a boot loses every image"),
            "mount a partition there, or set state_dir",
        ),
        Ok(Keeping::Overlay) => {
            let remedy = "mount a partition there, or set state_dir to a place on one";
            Finding::fail(
                name,
                format!("{dir} is on an overlay: containers cannot be mounted on top of it"),
                remedy,
            )
        }
        Ok(Keeping::ReadOnly) => {
            Finding::fail(name, format!("{dir} cannot be written"), "mount it writable, or set state_dir")
        }
        Err(why) => Finding::fail(name, format!("{dir}: {why}"), "set state_dir to a place that exists"),
    }
}

fn disk(facts: &Facts) -> Finding {
    let name = "disk";
    let Ok(space) = &facts.space else {
        return Finding::warn(name, "unknown", "see state-dir");
    };
    let found = format!("{} free of {}", out::bytes(space.free_bytes), out::bytes(space.total_bytes));
    let remedy = "run: coracle prune; or give state_dir a larger partition";
    if space.free_bytes < FREE_BYTES_LEAST {
        Finding::fail(name, found, remedy)
    } else if space.free_bytes < FREE_BYTES_GOOD {
        Finding::warn(name, found, remedy)
    } else {
        Finding::ok(name, found)
    }
}

fn clock(facts: &Facts) -> Finding {
    let now = facts.handed.now.0;
    if now < BUILT_AFTER {
        let remedy =
            "start a time service (systemd-timesyncd, chrony); until then no certificate is valid yet";
        return Finding::fail("clock", format!("{now} s after 1970: it was never set"), remedy);
    }
    if facts.handed.clock_synced {
        return Finding::ok("clock", "follows a time server");
    }
    let remedy = "start a time service (systemd-timesyncd, chrony): windows and expiry of documents go by it";
    Finding::warn("clock", "set, but follows no time server", remedy)
}

fn identity(facts: &Facts) -> Finding {
    if let Some(why) = &facts.waits {
        let remedy = "provision the board; the agent looks every few seconds, and goes on by itself";
        return Finding::warn("identity", format!("not provisioned yet: {why}"), remedy);
    }
    let whence = facts.named_after.as_ref().map(|from| format!(", from {from}")).unwrap_or_default();
    let found = format!("device id {}{whence}", facts.device_id);
    if facts.unsteady {
        let remedy = "let /etc/machine-id be kept, or set device_id or device_id_from: after a boot it may be another one";
        return Finding::warn("identity", format!("{found}; /etc/machine-id lies in memory"), remedy);
    }
    let machine_id = facts.machine_id.as_deref().map_or("", str::trim);
    if machine_id.len() == 32 {
        Finding::ok("identity", found)
    } else {
        let remedy =
            "run: systemd-machine-id-setup; boards cloned with one id push each other off the broker";
        Finding::warn("identity", format!("{found}; /etc/machine-id is missing or unset"), remedy)
    }
}

fn agent(facts: &Facts) -> Finding {
    match facts.agent_running {
        Some(true) => Finding::ok("agent", "running"),
        Some(false) => {
            Finding::warn("agent", "not running", "run: systemctl start coracle (or: coracle agent)")
        }
        None => Finding::warn("agent", "cannot be told", "run it again as root"),
    }
}

fn supervisor(facts: &Facts) -> Finding {
    if facts.confines_workloads {
        let remedy = "take supervisor = \"direct\" away, or install /usr/share/coracle/direct.conf in /etc/systemd/system/coracle.service.d and coracle-boot.service.d";
        return Finding::fail(
            "supervisor",
            "\"direct\" in a sandboxed unit: workloads would inherit the agent's sandbox, so the agent does not start",
            remedy,
        );
    }
    Finding::ok("supervisor", "workloads inherit nothing of the agent's sandbox")
}

fn ca_store(facts: &Facts) -> Finding {
    match &facts.ca_store {
        Some(path) => Finding::ok("ca-store", path.display().to_string()),
        None => {
            let remedy = "install ca-certificates, or name files with registry.ca_file and broker.ca_file";
            Finding::warn("ca-store", "none found: no public server will be trusted", remedy)
        }
    }
}

fn dns(facts: &Facts) -> Finding {
    let remedy = "put a name server there (DHCP client, systemd-resolved); addresses work without";
    match &facts.resolv_conf {
        Err(why) => Finding::warn("dns", format!("/etc/resolv.conf: {why}"), remedy),
        Ok(text) => {
            let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
            let servers: Vec<_> = servers.map(str::trim).collect();
            if servers.is_empty() {
                Finding::warn("dns", "/etc/resolv.conf names no server", remedy)
            } else {
                Finding::ok("dns", format!("name servers: {}", servers.join(", ")))
            }
        }
    }
}

fn broker(facts: &Facts) -> Finding {
    match &facts.broker {
        None => {
            Finding::warn("broker", "none is configured: the agent hears of no updates", "set broker.url")
        }
        Some((address, tried)) => reached("broker", address, tried),
    }
}

fn registries(facts: &Facts) -> Vec<Finding> {
    if facts.registries.is_empty() {
        return vec![Finding::ok("registry", "none to try; name one with --registry HOST")];
    }
    facts.registries.iter().map(|(name, tried)| reached("registry", name, tried)).collect()
}

fn reached(name: &'static str, address: &str, tried: &Tried) -> Finding {
    match tried {
        Ok(took) => Finding::ok(name, format!("{address} answered in {} ms", took.as_millis())),
        Err(why) => {
            let remedy = "check cable, route, name and firewall; what runs keeps running meanwhile";
            Finding::fail(name, format!("{address}: {why}"), remedy)
        }
    }
}
