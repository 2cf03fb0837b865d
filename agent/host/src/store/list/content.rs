//! The sum over a file's content.
//!
//! A scrub reads past the page cache where the file system can (`O_DIRECT`): it sees what the disk holds and not what
//! memory remembers of it, and takes no memory from what runs. Elsewhere it tells the kernel to forget what it read.

use std::fs::File;
use std::io::{self, Read as _};

use flate2::Crc;
use nix::fcntl::{FcntlArg, OFlag, PosixFadviseAdvice, fcntl, posix_fadvise};

/// Bytes read at once.
const PIECE_BYTES: usize = 256 << 10;
/// What memory and offsets must be multiples of for reads past the cache; no disk wants more.
const ALIGNMENT: usize = 4096;

/// What becomes of the page cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cache {
    /// Read from it: the file was written a moment ago.
    Used,
    /// Neither believed nor filled.
    Spared,
}

/// A buffer that serves one file after the other.
pub(super) struct Content {
    buffer: Vec<u8>,
    aligned_at: usize,
}

impl Content {
    pub(super) fn new() -> Self {
        let buffer = vec![0; PIECE_BYTES + ALIGNMENT];
        let aligned_at = buffer.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { buffer, aligned_at }
    }

    /// CRC-32 of a file of `bytes` bytes that was opened for that use of the `cache`; `progress` hears of each piece.
    pub(super) fn sum(
        &mut self,
        mut file: File,
        cache: Cache,
        bytes: u64,
        progress: &mut dyn FnMut(u64),
    ) -> io::Result<u32> {
        let mut direct = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?).contains(OFlag::O_DIRECT);
        let piece = self.buffer.get_mut(self.aligned_at..self.aligned_at + PIECE_BYTES).unwrap_or_default();
        let (mut sum, mut read) = (Crc::new(), 0);
        while read < bytes {
            let count = match file.read(piece) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // Some file systems open a file so and then do not read it so.
                Err(error) if direct && error.kind() == io::ErrorKind::InvalidInput => {
                    let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
                    fcntl(&file, FcntlArg::F_SETFL(flags - OFlag::O_DIRECT))?;
                    direct = false;
                    continue;
                }
                Err(error) => return Err(error),
            };
            sum.update(piece.get(..count).unwrap_or_default());
            read += count as u64;
            progress(count as u64);
        }
        if cache == Cache::Spared && !direct {
            posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
        }
        Ok(sum.sum())
    }
}
