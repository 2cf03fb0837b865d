//! What this board has to confine a container with; gathered once a start, for it may change with a boot only.

use std::fs;
use std::path::Path;

use coracle_core::bundle::{CapabilitySet, Means};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

mod bpf;

/// Looks at the running kernel and at what this process may do. Where the kernel does not tell, the answer is no.
#[must_use]
pub fn look() -> Means {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    // As the runtime finds out which version it is.
    let unified = statfs("/sys/fs/cgroup").is_ok_and(|found| found.filesystem_type() == CGROUP2_SUPER_MAGIC);
    let exists = |path: &str| Path::new(path).exists();
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    Means {
        capabilities: capabilities(&status),
        device_rules: if unified { bpf::rules_over_devices() } else { exists("/sys/fs/cgroup/devices") },
        // Version 2 counts swap wherever the kernel has swap at all.
        swap_limit: if unified {
            exists("/proc/swaps")
        } else {
            exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")
        },
        pids_limit: if unified {
            controllers.split_whitespace().any(|name| name == "pids")
        } else {
            exists("/sys/fs/cgroup/pids")
        },
        mqueue: filesystems.split_whitespace().any(|word| word == "mqueue"),
        recursive_read_only: release().is_some_and(|version| version >= (5, 12)),
        cpus: cpus(),
    }
}

/// What both the process holds and its bound lets it hand on.
fn capabilities(status: &str) -> CapabilitySet {
    let set = |name: &str| {
        let hex = status.lines().find_map(|line| line.strip_prefix(name));
        CapabilitySet(hex.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0))
    };
    set("CapEff:").and(set("CapBnd:"))
}

fn release() -> Option<(u32, u32)> {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Processors that can be there, also those that are off now.
fn cpus() -> u32 {
    let range = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = range.trim().rsplit([',', '-']).next().and_then(|number| number.parse::<u32>().ok());
    last.map_or(0, |last| last.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_what_is_held_and_may_be_handed_on() {
        let status =
            "Name:\tx\nCapInh:\t0000000000000000\nCapEff:\t0000000000000021\nCapBnd:\t0000000000000003\n";
        assert_eq!(capabilities(status).names(), ["CAP_CHOWN"]);
        assert_eq!(capabilities(""), CapabilitySet::default());
    }

    #[test]
    fn the_board_under_the_test_is_looked_at() {
        let means = look();
        assert!(means.cpus >= 1);
        assert!(release().unwrap() > (2, 6));
    }
}
