//! How long the processes of a control group waited for processor, disk and memory: pressure stall information (kernel
//! documentation, accounting/psi.rst), which is in every group of version 2, with or without controllers.
//!
//! Invariant: kernels without it (`CONFIG_PSI`, or `psi=0`), groups that are not there and files that may not be read are
//! all the same: nothing is known.

use std::io;
use std::path::{Path, PathBuf};

use coracle_core::pace::{Reading, Waited};

use crate::files;

/// Where groups of version 2 are: on a board of today, and beside those of version 1.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// Bytes of a file: two lines of four figures.
const FILE_BYTES_MAX: u64 = 4096;

/// The figures of the whole board, which are there where those of groups are.
const BOARD: &str = "/proc/pressure/io";

/// Whether the kernel counts who waits at all.
///
/// # Errors
/// Why it does not, as far as it says: there is no such file, or it refuses to read it.
pub fn is_counted() -> io::Result<()> {
    // Where it is switched off (`psi=0`), some kernels have the file and refuse to read it.
    let bytes = files::read_needed(Path::new(BOARD), FILE_BYTES_MAX)?;
    let told = std::str::from_utf8(&bytes).ok().and_then(total_us);
    told.map(drop).ok_or_else(|| io::Error::other(format!("{BOARD} has no figure")))
}

/// Groups that are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pressure {
    groups: Vec<PathBuf>,
}

impl Pressure {
    /// Those of the given names, which are paths from the root of all groups; a full path is taken as it is.
    #[must_use]
    pub fn of<'a>(groups: impl IntoIterator<Item = &'a str>) -> Self {
        let places = |group: &'a str| ROOTS.map(|root| Path::new(root).join(group));
        let mut groups: Vec<PathBuf> = groups.into_iter().flat_map(places).collect();
        // A full path is the same below either root.
        groups.dedup();
        Self { groups }
    }

    /// Looks now. They are opened anew each time, for groups come and go with what is in them.
    #[must_use]
    pub fn read(&self) -> Reading {
        self.groups.iter().map(|group| read(group)).collect()
    }
}

fn read(group: &Path) -> Option<Waited> {
    let total = |file: &str| {
        let bytes = files::read_needed(&group.join(file), FILE_BYTES_MAX).ok()?;
        total_us(std::str::from_utf8(&bytes).ok()?)
    };
    let [processor, disk, memory] = ["cpu.pressure", "io.pressure", "memory.pressure"].map(total);
    (processor.is_some() || disk.is_some() || memory.is_some()).then(|| Waited {
        processor_us: processor.unwrap_or(0),
        disk_us: disk.unwrap_or(0),
        memory_us: memory.unwrap_or(0),
    })
}

/// The time in which at least one of them waited, so far.
fn total_us(text: &str) -> Option<u64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split(' ').find_map(|field| field.strip_prefix("total="))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::files::tests::TempDir;

    #[test]
    fn the_time_that_some_waited_is_read_from_each_file_that_is_there() {
        let dir = TempDir::new();
        let (whole, part, none) =
            (dir.path().join("whole"), dir.path().join("part"), dir.path().join("none"));
        fs::create_dir_all(&whole).unwrap();
        fs::create_dir_all(&part).unwrap();
        let line = |total: u64| {
            format!(
                "some avg10=93.12 avg60=81.89 avg300=35.97 total={total}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n"
            )
        };
        for (file, total) in [("cpu.pressure", 11), ("io.pressure", 22), ("memory.pressure", u64::MAX)] {
            fs::write(whole.join(file), line(total)).unwrap();
        }
        fs::write(part.join("io.pressure"), line(5)).unwrap();
        fs::write(part.join("cpu.pressure"), "some avg10=x total=\n").unwrap();
        fs::write(part.join("memory.pressure"), vec![b'x'; 8192]).unwrap();
        let names = [&whole, &part, &none].map(|path| path.to_str().unwrap());
        let expected = [
            Some(Waited { processor_us: 11, disk_us: 22, memory_us: u64::MAX }),
            Some(Waited { processor_us: 0, disk_us: 5, memory_us: 0 }),
            None,
        ];
        assert_eq!(Pressure::of(names).read(), expected);
    }

    #[test]
    fn a_name_is_looked_for_in_either_hierarchy() {
        let paths = |name| Pressure::of([name]).groups;
        let both = ["/sys/fs/cgroup/a.slice/b.service", "/sys/fs/cgroup/unified/a.slice/b.service"];
        assert_eq!(paths("a.slice/b.service"), both.map(PathBuf::from));
        assert_eq!(paths("/srv/group"), [PathBuf::from("/srv/group")]);
    }
}
