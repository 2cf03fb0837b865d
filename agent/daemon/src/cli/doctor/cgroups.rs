//! How control groups are mounted, from `/proc/self/mountinfo` (cgroups(7), proc_pid_mountinfo(5)).

use std::collections::BTreeSet;

/// Controllers that limits are made of.
const WANTED: [&str; 3] = ["cpu", "memory", "pids"];

/// The layout of control groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Nothing is mounted.
    None,
    /// Version 2 alone.
    Unified { missing: Vec<&'static str> },
    /// Version 1 alone.
    Legacy { missing: Vec<&'static str> },
    /// Controllers in version 1 and a version 2 beside them.
    Hybrid { missing: Vec<&'static str> },
}

impl Layout {
    /// From the mounts and the content of `/sys/fs/cgroup/cgroup.controllers`.
    pub(crate) fn read(mountinfo: &str, controllers: &str) -> Self {
        let mut legacy = BTreeSet::new();
        let mut unified = false;
        for line in mountinfo.lines() {
            let Some((place, kind)) = line.split_once(" - ") else { continue };
            let target = place.split(' ').nth(4).unwrap_or_default();
            let mut kind = kind.split(' ');
            match kind.next() {
                Some("cgroup2") if target.starts_with("/sys/fs/cgroup") => unified = true,
                Some("cgroup") => legacy.extend(kind.next_back().unwrap_or_default().split(',')),
                Some(_) | None => {}
            }
        }
        let without = |has: &dyn Fn(&str) -> bool| WANTED.into_iter().filter(|name| !has(name)).collect();
        let named = legacy.iter().any(|option| WANTED.contains(option));
        match (unified, named) {
            (false, false) => Self::None,
            (true, false) => Self::Unified {
                missing: without(&|name| controllers.split_whitespace().any(|found| found == name)),
            },
            (false, true) => Self::Legacy { missing: without(&|name| legacy.contains(name)) },
            (true, true) => Self::Hybrid { missing: without(&|name| legacy.contains(name)) },
        }
    }
}
