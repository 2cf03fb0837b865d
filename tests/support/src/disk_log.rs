//! Every write that a disk got, in order, as the device mapper's target `log-writes` notes them, and the disk as a power
//! cut after any of them leaves it.
//!
//! ```text
//! sector 0   magic, version, number of entries, bytes of a sector
//! sector 1   entry: sector, sectors, flags, bytes of a mark; then the sectors themselves; then the next entry
//! ```
//! (Linux, admin-guide/device-mapper/log-writes)

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const MAGIC: u64 = 0x6a_7366_7773_6872;
const VERSION: u64 = 1;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
/// Bytes of the fields at the beginning of an entry.
const ENTRY_BYTES: usize = 32;

/// One write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write {
    /// Bytes from the beginning of the disk.
    pub at: u64,
    /// Bytes of it.
    pub length: u64,
    /// Where its bytes are in the log; `None` for a discard.
    data: Option<u64>,
    /// Everything before it is durable, or it is durable itself: what follows began later.
    pub barrier: bool,
}

/// A log that is whole.
#[derive(Debug)]
pub struct DiskLog {
    file: File,
    /// In the order in which the disk got them.
    pub writes: Vec<Write>,
}

impl DiskLog {
    /// Reads the log on the disk image at `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let damaged =
            |what: &str| io::Error::other(format!("{} is no log of writes: {what}", path.display()));
        let mut head = [0u8; 28];
        file.read_exact_at(&mut head, 0)?;
        if (field(&head, 0), field(&head, 1)) != (MAGIC, VERSION) {
            return Err(damaged("its first sector says something else"));
        }
        let entries = field(&head, 2);
        let sector = u64::from(u32::from_le_bytes([head[24], head[25], head[26], head[27]]));
        if !(512..=4096).contains(&sector) {
            return Err(damaged("its sectors have no usual size"));
        }
        let (mut writes, mut at) = (Vec::new(), sector);
        for _ in 0..entries {
            let mut entry = [0u8; ENTRY_BYTES];
            file.read_exact_at(&mut entry, at)?;
            let [place, count, flags] = [0, 1, 2].map(|index| field(&entry, index));
            at += sector;
            let length = count.checked_mul(sector).ok_or_else(|| damaged("an entry is endless"))?;
            let discard = flags & DISCARD != 0;
            writes.push(Write {
                at: place.saturating_mul(sector),
                length,
                data: (!discard).then_some(at),
                barrier: flags & (FLUSH | FUA) != 0,
            });
            if !discard {
                at = at.checked_add(length).ok_or_else(|| damaged("an entry is endless"))?;
            }
        }
        Ok(Self { file, writes })
    }

    /// Does `write` to the disk image `disk`.
    pub fn replay(&self, write: &Write, disk: &File) -> io::Result<()> {
        // A discarded block may read as anything; what a file system still needs, it must not have discarded.
        let Some(data) = write.data else { return Ok(()) };
        let mut bytes = vec![0u8; usize::try_from(write.length).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, data)?;
        disk.write_all_at(&bytes, write.at)
    }
}

/// The `index`-th of the eight-byte fields at the beginning of `bytes`.
fn field(bytes: &[u8], index: usize) -> u64 {
    let mut eight = [0u8; 8];
    eight.copy_from_slice(&bytes[index * 8..index * 8 + 8]);
    u64::from_le_bytes(eight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::TempDir;

    fn entry(sector: u64, data: &[u8], flags: u64) -> Vec<u8> {
        let sectors = u64::try_from(data.len() / 512).unwrap();
        let mut bytes: Vec<u8> = [sector, sectors, flags, 0].iter().flat_map(|n| n.to_le_bytes()).collect();
        bytes.resize(512, 0);
        bytes.extend_from_slice(data);
        bytes
    }

    #[test]
    fn a_log_replays_to_the_disk_it_was_made_of() {
        let dir = TempDir::new("disk-log");
        let mut log: Vec<u8> = [MAGIC, VERSION, 3].iter().flat_map(|n| n.to_le_bytes()).collect();
        log.extend_from_slice(&512u32.to_le_bytes());
        log.resize(512, 0);
        log.extend(entry(1, &[1; 512], 0));
        log.extend(entry(0, &[], FLUSH));
        log.extend(entry(0, &[2; 1024], FUA));
        std::fs::write(dir.join("log"), &log).unwrap();
        let log = DiskLog::open(&dir.join("log")).unwrap();
        assert_eq!(log.writes.iter().map(|write| write.barrier).collect::<Vec<_>>(), [false, true, true]);
        let disk = File::options().create_new(true).read(true).write(true).open(dir.join("disk")).unwrap();
        disk.set_len(2048).unwrap();
        let look = |expected: [u8; 3]| {
            let bytes = std::fs::read(dir.join("disk")).unwrap();
            assert_eq!([bytes[0], bytes[512], bytes[1024]], expected);
        };
        for (write, expected) in log.writes.iter().zip([[0, 1, 0], [0, 1, 0], [2, 2, 0]]) {
            log.replay(write, &disk).unwrap();
            look(expected);
        }
    }

    #[test]
    fn what_is_no_log_is_refused() {
        let dir = TempDir::new("disk-log");
        std::fs::write(dir.join("log"), [0u8; 4096]).unwrap();
        assert!(DiskLog::open(&dir.join("log")).unwrap_err().to_string().contains("no log of writes"));
    }
}
