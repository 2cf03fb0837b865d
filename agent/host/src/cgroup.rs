//! What a container's control group says after the fact; the runtime makes and removes the group.

use std::fs;
use std::io;
use std::path::PathBuf;

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
        let read = |file: &str| fs::read_to_string(self.0.join(file)).ok();
        let text = read("memory.events").or_else(|| read("memory.oom_control")).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
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
    let root = PathBuf::from("/sys/fs/cgroup");
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
    fn a_service_managers_group_is_found_in_both_hierarchies() {
        let groups = "9:name=systemd:/coracle.slice/a.service\n4:memory:/\n0::/coracle.slice/b.service\n";
        assert_eq!(own_group(groups, true), Some("/coracle.slice/b.service"));
        assert_eq!(own_group(groups, false), Some("/coracle.slice/a.service"));
        assert_eq!(own_group("4:memory:/\n", true), None);
    }
}
