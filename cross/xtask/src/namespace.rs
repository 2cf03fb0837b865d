//! A mount namespace in which crun accepts the control groups of this machine.
//!
//! On a hybrid machine the controllers are version 1 and an empty version 2 tree lies beside them; crun refuses that
//! mixture. Hiding the version 2 tree from ourselves and our children, and from nobody else, makes it plain version 1.

use std::fs;
use std::io;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;

const HYBRID: &str = "/sys/fs/cgroup/unified";

/// Enters such a namespace where one is needed; to be called before any thread is started.
pub fn enter() -> io::Result<()> {
    if !is_hybrid(&fs::read_to_string("/proc/self/mounts")?) {
        return Ok(());
    }
    if !geteuid().is_root() {
        return Err(io::Error::other(format!("control groups are hybrid here ({HYBRID}): run this as root")));
    }
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    umount2(Path::new(HYBRID), MntFlags::MNT_DETACH)?;
    Ok(())
}

/// Whether the table of mounts has the version 2 tree of a hybrid machine.
fn is_hybrid(mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let mut words = line.split(' ').skip(1);
        words.next() == Some(HYBRID) && words.next() == Some("cgroup2")
    })
}

#[cfg(test)]
mod tests {
    use super::is_hybrid;

    #[test]
    fn only_a_version_two_tree_beside_the_controllers_is_hybrid() {
        assert!(is_hybrid("proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"));
        assert!(!is_hybrid("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"));
        assert!(!is_hybrid("cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n"));
    }
}
