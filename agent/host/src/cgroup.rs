//! What a container's control group says after the fact; the runtime makes and removes the group.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the hierarchies are mounted.
const ROOT: &str = "/sys/fs/cgroup";
/// Groups between a container and the slice; the unit's, and what a runtime puts in between.
const GROUPS_MAX: usize = 4;

/// What the kernel takes for a group at once and gives back where that would be too much: 64 pages for each processor,
/// of which a limit that is met may be short.
const CHARGED_AHEAD_BYTES: u64 = 1 << 20;

/// The group in which the memory of a process is counted.
#[derive(Debug, Clone)]
pub struct MemoryGroup(PathBuf);

impl MemoryGroup {
    /// The group of `pid`, in either version of the hierarchy.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        parse(&groups).map(Self)
    }

    /// Processes of the group that the kernel ended for want of memory.
    #[must_use]
    pub fn oom_kills(&self) -> u64 {
        let text = read(&self.0, "memory.events").or_else(|| read(&self.0, "memory.oom_control"));
        counter(&text.unwrap_or_default(), "oom_kill")
    }

    /// The limit in bytes that nothing more could be had under: the group's own, or that of a group around it within
    /// the unit. `None` where none of these was met: then it was one that others share, or the board had no more.
    #[must_use]
    pub fn limit_met(&self) -> Option<u64> {
        let shared = |group: &&Path| group.extension().is_some_and(|kind| kind == "slice");
        let own = self.0.ancestors().take_while(|group| !shared(group) && *group != Path::new(ROOT));
        own.take(GROUPS_MAX).find_map(limit_met)
    }

    /// Whether the kernel refused the group another process or thread. Version 1 counts that elsewhere.
    #[must_use]
    pub fn refused_processes(&self) -> bool {
        counter(&read(&self.0, "pids.events").unwrap_or_default(), "max") > 0
    }
}

fn read(group: &Path, file: &str) -> Option<String> {
    fs::read_to_string(group.join(file)).ok()
}

/// The number after a name, in a file of `name number` on each line.
fn counter(text: &str, name: &str) -> u64 {
    let count = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// The limit of one group, where it was met.
fn limit_met(group: &Path) -> Option<u64> {
    let number = |file: &str| read(group, file)?.trim().parse::<u64>().ok();
    match read(group, "memory.events") {
        // Without a limit the file says `max`.
        Some(text) => number("memory.max").filter(|_| counter(&text, "oom") > 0),
        // Version 1 counts failures where only memory has a limit, and not where swap has the same one.
        None => {
            let most = number("memory.max_usage_in_bytes")?;
            number("memory.limit_in_bytes").filter(|limit| most.saturating_add(CHARGED_AHEAD_BYTES) >= *limit)
        }
    }
}

/// Moves the calling process to `group` in every hierarchy that takes it. One that refuses keeps it where it is:
/// that is no worse than not asking.
pub fn leave_for(group: &str) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for hierarchy in hierarchies(&mounts) {
        let path = hierarchy.join(group);
        let moved = fs::create_dir_all(&path)
            .and_then(|()| fs::write(path.join("cgroup.procs"), std::process::id().to_string()));
        // cpuset and read-only mounts refuse.
        drop(moved);
    }
}

/// Moves the calling process into `leaf` below its own group, so that there is room for other groups beside it: in
/// version 2, a group that has processes hands no controllers on. Answers the own group's path, as the runtime takes it.
///
/// # Errors
/// That of the system, or `NotFound` where this process has no group of a service manager's.
pub fn step_aside(leaf: &str) -> io::Result<String> {
    let root = PathBuf::from(ROOT);
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let unified = root.join("cgroup.controllers").exists();
    let own = own_group(&groups, unified).ok_or(io::ErrorKind::NotFound)?;
    if unified {
        let place = root.join(own.trim_start_matches('/')).join(leaf);
        fs::create_dir_all(&place)?;
        fs::write(place.join("cgroup.procs"), std::process::id().to_string())?;
    }
    Ok(own.to_owned())
}

/// The group in which a service manager keeps a process: the only one of version 2, else that of its own hierarchy.
fn own_group(groups: &str, unified: bool) -> Option<&str> {
    let hierarchy = if unified { "" } else { "name=systemd" };
    groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        (parts.next()? == hierarchy).then(|| parts.next())?
    })
}

/// Where the hierarchies are mounted, from `/proc/self/mounts`: `what where type …`.
fn hierarchies(mounts: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        if let (Some(place), Some("cgroup" | "cgroup2")) = (words.next(), words.next()) {
            found.push(PathBuf::from(place));
        }
    }
    found
}

/// Finds the memory group in `/proc/<pid>/cgroup`: lines of `number:controllers:path`, version 2 without controllers.
fn parse(groups: &str) -> Option<PathBuf> {
    let mut unified = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
        if controllers.split(',').any(|name| name == "memory") {
            return Some(PathBuf::from("/sys/fs/cgroup/memory").join(path));
        }
        if controllers.is_empty() {
            unified = Some(PathBuf::from("/sys/fs/cgroup").join(path));
        }
    }
    unified
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tests::TempDir;

    #[test]
    fn hierarchies_of_both_versions_are_found() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
            cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n/dev/vda / ext4 rw 0 0\n";
        let expected = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/unified"].map(PathBuf::from);
        assert_eq!(hierarchies(mounts), expected);
    }

    #[test]
    fn the_memory_group_is_found_in_both_hierarchies() {
        let path = |text: &str| parse(text).map(|path| path.display().to_string());
        let v1 = "4:memory:/coracle/a.b\n3:cpu,cpuacct:/x\n0::/y\n";
        assert_eq!(path(v1).as_deref(), Some("/sys/fs/cgroup/memory/coracle/a.b"));
        assert_eq!(path("0::/coracle/a.b\n").as_deref(), Some("/sys/fs/cgroup/coracle/a.b"));
        assert_eq!(path(""), None);
    }

    #[test]
    fn the_limit_that_was_met_is_the_nearest_and_never_one_that_others_share() {
        let groups = TempDir::new();
        let check = |met: [u64; 3], expected: Option<u64>| {
            let mut group = groups.path().to_path_buf();
            for (name, (bytes, times)) in ["coracle.slice", "web.service", "container"]
                .into_iter()
                .zip([300, 200, 100].into_iter().zip(met))
            {
                group.push(name);
                fs::create_dir_all(&group).unwrap();
                let events = format!("low 0\nmax 7\noom {times}\noom_kill 1\noom_group_kill 9\n");
                fs::write(group.join("memory.events"), events).unwrap();
                fs::write(group.join("memory.max"), format!("{bytes}\n")).unwrap();
            }
            let group = MemoryGroup(group);
            assert_eq!((group.oom_kills(), group.limit_met()), (1, expected), "{met:?}");
        };
        check([9, 9, 1], Some(100));
        check([9, 1, 0], Some(200));
        check([9, 0, 0], None);
        let container = groups.path().join("coracle.slice/web.service/container");
        let group = MemoryGroup(container.clone());
        fs::write(container.join("memory.max"), "max\n").unwrap();
        assert_eq!(group.limit_met(), None);
        assert!(!group.refused_processes());
        fs::write(container.join("pids.events"), "max 3\n").unwrap();
        assert!(group.refused_processes());
        for (file, text) in
            [("memory.max_usage_in_bytes", "33501184\n"), ("memory.limit_in_bytes", "33554432\n")]
        {
            fs::write(container.join(file), text).unwrap();
        }
        fs::remove_file(container.join("memory.events")).unwrap();
        assert_eq!(group.limit_met(), Some(32 << 20), "version 1");
    }

    #[test]
    fn a_service_managers_group_is_found_in_both_hierarchies() {
        let groups = "9:name=systemd:/coracle.slice/a.service\n4:memory:/\n0::/coracle.slice/b.service\n";
        assert_eq!(own_group(groups, true), Some("/coracle.slice/b.service"));
        assert_eq!(own_group(groups, false), Some("/coracle.slice/a.service"));
        assert_eq!(own_group("4:memory:/\n", true), None);
    }
}
