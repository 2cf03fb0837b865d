//! What was written goes to the disk soon and in small steps, and is waited for, so that never more than two steps of a
//! layer are on their way.
//!
//! Left to the kernel, hundreds of megabytes gather in memory and go out at once; a workload that syncs a few bytes then
//! waits for all of them, for the file system commits both together. Nothing is made durable here, that is the
//! checkpoint's and the publisher's: only what they have left to do becomes little.
//!
//! Small files count as much as large ones: a few megabytes of them, left for the checkpoint, hold a workload up for
//! as long as any other few megabytes.
//!
//! ```text
//! written ──▶ this step ──full──▶ begun ──next step full──▶ waited for
//! ```

#![allow(unsafe_code)] // sync_file_range has no safe wrapper in our libraries

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::rc::Rc;

use nix::errno::Errno;
use nix::libc;

/// Bytes of a step: a tenth of a second of a slow flash, and enough for one that is quick.
const STEP_BYTES: u64 = 1 << 20;
/// Files of a step at most, which stay open until the end of the next one.
const STEP_FILES: usize = 64;

/// What was written of one file.
struct Range {
    file: Rc<File>,
    from: u64,
    to: u64,
}

/// Two steps: the one that is being filled, and the one that is under way.
#[derive(Default)]
pub(super) struct Behind {
    filling: Vec<Range>,
    bytes: u64,
    begun: Vec<Range>,
    /// The file system or a sandbox does not know the call; then it is left to the kernel.
    unable: bool,
}

impl Behind {
    /// `bytes` were written at `offset`. Waits for the step before, once this one is full.
    ///
    /// # Errors
    /// That of a write that came to nothing after all.
    pub(super) fn wrote(&mut self, file: &Rc<File>, offset: u64, bytes: u64) -> io::Result<()> {
        if self.unable || bytes == 0 {
            return Ok(());
        }
        match self.filling.last_mut() {
            Some(last) if Rc::ptr_eq(&last.file, file) && last.to == offset => last.to += bytes,
            _ => self.filling.push(Range { file: Rc::clone(file), from: offset, to: offset + bytes }),
        }
        self.bytes += bytes;
        if self.bytes < STEP_BYTES && self.filling.len() < STEP_FILES {
            return Ok(());
        }
        let done = std::mem::take(&mut self.begun);
        self.begun = std::mem::take(&mut self.filling);
        self.bytes = 0;
        for range in &self.begun {
            self.unable |= !range.sync(libc::SYNC_FILE_RANGE_WRITE)?;
        }
        let wait = libc::SYNC_FILE_RANGE_WAIT_BEFORE
            | libc::SYNC_FILE_RANGE_WRITE
            | libc::SYNC_FILE_RANGE_WAIT_AFTER;
        for range in &done {
            self.unable |= !range.sync(wait)?;
        }
        Ok(())
    }
}

impl Range {
    fn bytes(&self) -> u64 {
        self.to - self.from
    }

    /// Whether it was done; not where the system does not know how.
    fn sync(&self, how: libc::c_uint) -> io::Result<bool> {
        let (Ok(from), Ok(bytes)) = (self.from.try_into(), self.bytes().try_into()) else {
            return Ok(false);
        };
        // SAFETY: the descriptor is open, and the rest are numbers.
        let answer = unsafe { libc::sync_file_range(self.file.as_raw_fd(), from, bytes, how) };
        match Errno::result(answer) {
            Ok(_) | Err(Errno::EINTR) => Ok(true),
            Err(errno @ (Errno::EIO | Errno::ENOSPC | Errno::EDQUOT | Errno::EROFS)) => Err(errno.into()),
            Err(_) => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileExt as _;

    use super::*;
    use crate::files::tests::TempDir;

    #[test]
    fn no_more_than_two_steps_are_under_way_and_no_file_stays_open_beyond() {
        let dir = TempDir::new();
        let mut behind = Behind::default();
        let (piece, mut open) = (vec![7; 100_000], Vec::new());
        for n in 0..200_u64 {
            let file = Rc::new(File::create_new(dir.path().join(n.to_string())).unwrap());
            // Every tenth is larger than a step, the first half of the others is tiny.
            let (pieces, bytes) = match n {
                n if n % 10 == 0 => (15, 100_000),
                ..100 => (1, 100),
                _ => (1, 50_000),
            };
            for at in 0..pieces {
                file.write_all_at(&piece[..bytes], at * 100_000).unwrap();
                behind.wrote(&file, at * 100_000, bytes as u64).unwrap();
                let filling = behind.filling.iter().map(Range::bytes).sum::<u64>();
                assert!(behind.bytes == filling && filling < STEP_BYTES);
                assert!(behind.filling.len() < STEP_FILES && behind.begun.len() <= STEP_FILES);
            }
            open.push(Rc::downgrade(&file));
        }
        assert!(open.iter().filter(|file| file.strong_count() > 0).count() <= 2 * STEP_FILES);
        assert!(!behind.unable && !behind.begun.is_empty());
        assert_eq!(fs::metadata(dir.path().join("190")).unwrap().len(), 1_500_000);
    }

    #[test]
    fn what_cannot_be_synced_is_left_to_the_kernel() {
        let mut behind = Behind::default();
        let (_read, write) = io::pipe().unwrap();
        let pipe = Rc::new(File::from(std::os::fd::OwnedFd::from(write)));
        for at in 0..4 {
            behind.wrote(&pipe, at * STEP_BYTES, STEP_BYTES).unwrap();
        }
        assert!(behind.unable && behind.filling.is_empty());
    }
}
