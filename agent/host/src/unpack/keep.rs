//! What makes it possible to go on with a layer after the process or the power went: checkpoints, and a ledger of names.
//!
//! Invariant: while a checkpoint stands, what it speaks of is on the disk and unchanged, but for the times of
//! directories, which the ledger has. What came after it can be told by the ledger and is removed before going on. So
//! going on gives the same tree as never having been interrupted.
//!
//! ```text
//! ingest/<name>/tree/        the layer so far
//!               ledger       for each name made: 'n' and 8 bytes; for each directory: 'd', inode, time
//!               checkpoint   where to go on; replaced whole, after tree and ledger are synced
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coracle_core::oci::Hasher;

use super::checkpoint::{self, Checkpoint, LedgerEnd, Raw, Whole};
use super::error::{Result, UnpackError};
use super::ledger::{Names, Record};
use super::pax::FileTime;
use crate::{chance, files};

pub(super) const CHECKPOINT: &str = "checkpoint";
pub(super) const LEDGER: &str = "ledger";
const FILE_MODE: u32 = 0o600;
/// Names up to which checkpoints are made: going on reads them all, 8 bytes each, into memory.
const NAMES_MAX: u64 = 256 << 10;
/// Makes the names in a ledger guessable by nobody: an archive cannot be made to have two with one hash.
const SALT_BYTES: usize = 16;

/// How far apart checkpoints are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Compressed bytes after which one is due.
    pub bytes: u64,
    /// But not before this time has passed: on fast links those bytes are not worth what a sync writes.
    pub time_min: Duration,
    /// Or this time, on links that take longer for those bytes.
    pub time: Duration,
    /// But not for fewer bytes than these.
    pub bytes_min: u64,
}

impl Default for Interval {
    fn default() -> Self {
        // One makes the file system write half a megabyte that it would not have written, where files are spread over
        // many directories: 3 % of what 8 MiB mostly unpack to.
        Self {
            bytes: 8 << 20,
            time_min: Duration::from_secs(1),
            time: Duration::from_secs(120),
            bytes_min: 2 << 20,
        }
    }
}

impl Interval {
    pub(super) fn over(&self, bytes: u64, elapsed: Duration) -> bool {
        (bytes >= self.bytes && elapsed >= self.time_min) || (bytes >= self.bytes_min && elapsed >= self.time)
    }
}

/// Where and how often checkpoints are made; or nowhere.
#[derive(Debug, Default)]
pub struct Keeper {
    kept: Option<Box<Kept>>,
}

#[derive(Debug)]
struct Kept {
    dir: PathBuf,
    layer: Whole,
    interval: Interval,
    salt: [u8; SALT_BYTES],
    ledger: BufWriter<File>,
    written: Hasher,
    bytes: u64,
    names: u64,
    /// Whether a checkpoint is on the disk.
    standing: bool,
}

impl Keeper {
    /// No checkpoints: the layer starts again whatever happens.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Checkpoints beside `dir/tree`, of a layer that starts now.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn new(dir: &Path, layer: Whole, interval: Interval) -> io::Result<Self> {
        let mut salt = [0; SALT_BYTES];
        chance::fill(&mut salt)?;
        let mut options = OpenOptions::new();
        let ledger =
            options.write(true).create(true).truncate(true).mode(FILE_MODE).open(dir.join(LEDGER))?;
        Ok(Self::over(dir, layer, interval, (ledger, salt), (Hasher::new(), 0, 0), false))
    }

    pub(super) fn over(
        dir: &Path,
        layer: Whole,
        interval: Interval,
        (ledger, salt): (File, [u8; SALT_BYTES]),
        (written, bytes, names): (Hasher, u64, u64),
        standing: bool,
    ) -> Self {
        let (dir, ledger) = (dir.to_owned(), BufWriter::new(ledger));
        Self {
            kept: Some(Box::new(Kept {
                dir,
                layer,
                interval,
                salt,
                ledger,
                written,
                bytes,
                names,
                standing,
            })),
        }
    }

    /// When the next checkpoint is due; `None` when there will be none.
    pub(super) fn interval(&self) -> Option<Interval> {
        self.kept.as_ref().filter(|kept| kept.names < NAMES_MAX).map(|kept| kept.interval)
    }

    /// A name was made in the directory with inode `parent`.
    pub(super) fn named(&mut self, parent: u64, name: &[u8]) -> Result<()> {
        let Some(kept) = &mut self.kept else { return Ok(()) };
        kept.names += 1;
        kept.note(&Record::Name(Names::key(&kept.salt, parent, name)))
    }

    /// A directory has this time, whatever is put into it.
    pub(super) fn timed(&mut self, inode: u64, time: FileTime) -> Result<()> {
        match &mut self.kept {
            Some(kept) => kept.note(&Record::Directory(inode, time)),
            None => Ok(()),
        }
    }

    /// Something that a checkpoint speaks of is about to be changed: from now on none stands.
    pub(super) fn changing(&mut self) -> Result<()> {
        let Some(kept) = self.kept.as_mut().filter(|kept| kept.standing) else { return Ok(()) };
        kept.standing = false;
        files::remove_durable(&kept.dir.join(CHECKPOINT))
            .map_err(UnpackError::write("take back a checkpoint"))
    }

    /// A directory with all in it is about to go, which the ledger cannot tell: no more checkpoints for this layer.
    pub(super) fn removing(&mut self) -> Result<()> {
        self.changing()?;
        self.kept = None;
        Ok(())
    }

    /// Makes what was unpacked durable, then the checkpoint that `make` gives for it.
    pub(super) fn keep(&mut self, make: impl FnOnce(Whole, LedgerEnd) -> Checkpoint) -> Result<()> {
        let Some(kept) = &mut self.kept else { return Ok(()) };
        kept.keep(make).map_err(UnpackError::write("keep a checkpoint"))
    }
}

impl Kept {
    fn note(&mut self, record: &Record) -> Result<()> {
        let bytes = record.encode();
        self.written.update(&bytes);
        self.bytes += bytes.len() as u64;
        self.ledger.write_all(&bytes).map_err(UnpackError::write("write the ledger"))
    }

    fn keep(&mut self, make: impl FnOnce(Whole, LedgerEnd) -> Checkpoint) -> io::Result<()> {
        self.ledger.flush()?;
        let sha256 = self.written.clone().finish();
        let ledger = LedgerEnd { salt: Raw(self.salt.to_vec()), bytes: self.bytes, sha256 };
        let bytes = make(self.layer, ledger).encode()?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > checkpoint::BYTES_MAX) {
            return Ok(());
        }
        // In this order: a checkpoint must not speak of what a power cut can take away.
        nix::unistd::syncfs(File::open(&self.dir)?)?;
        files::write_durable(&self.dir.join(CHECKPOINT), &bytes, FILE_MODE)?;
        self.standing = true;
        Ok(())
    }
}

/// Removes what only the way here needed, once the layer is whole.
///
/// # Errors
/// Whatever the system says.
pub fn forget(dir: &Path) -> io::Result<()> {
    for name in [CHECKPOINT, LEDGER] {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_due_for_bytes_or_time_but_not_for_little_of_either() {
        const MIB: u64 = 1 << 20;
        for (mib, seconds, due) in
            [(7, 119, false), (8, 0, false), (8, 1, true), (100, 0, false), (1, 600, false), (2, 120, true)]
        {
            assert_eq!(
                Interval::default().over(mib * MIB, Duration::from_secs(seconds)),
                due,
                "{mib} MiB in {seconds} s"
            );
        }
    }
}
