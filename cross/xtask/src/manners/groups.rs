//! Control groups: one whose waits the kernel counts, one whose memory it bounds. Removed on drop.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where groups of version 2 may be: on a board of today, and beside those of version 1.
const UNIFIED: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// Where memory is bounded, and by which file: version 1, then 2.
const MEMORY: [(&str, &str); 2] =
    [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];

/// A group of this process's own.
pub struct Group(PathBuf);

impl Group {
    /// One whose waits are counted.
    pub fn of_product() -> io::Result<Self> {
        let group = Self::below(UNIFIED.map(Path::new).into_iter(), "io.pressure", "product")?;
        fs::read(group.0.join("io.pressure"))?;
        Ok(group)
    }

    /// One that may have so many bytes of memory.
    pub fn bounded(bytes: u64) -> io::Result<Self> {
        let mut last = io::Error::other("no control group bounds memory here");
        for (root, file) in MEMORY {
            match Self::below([Path::new(root)].into_iter(), file, "update") {
                Ok(group) => {
                    fs::write(group.0.join(file), bytes.to_string())?;
                    return Ok(group);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Made in the first root where such a group has `file`.
    fn below<'a>(roots: impl Iterator<Item = &'a Path>, file: &str, name: &str) -> io::Result<Self> {
        for root in roots {
            let path = root.join(format!("coracle-manners-{name}-{}", std::process::id()));
            if fs::create_dir(&path).is_err() {
                continue;
            }
            let group = Self(path);
            if group.0.join(file).exists() {
                return Ok(group);
            }
        }
        Err(io::Error::other(format!(
            "no control group has {file} here: this needs root, and a kernel that counts"
        )))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Moves a process into it.
    pub fn take(&self, pid: u32) -> io::Result<()> {
        fs::write(self.0.join("cgroup.procs"), pid.to_string())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // One with processes refuses, and they were ended before.
        let _ = fs::remove_dir(&self.0);
    }
}
