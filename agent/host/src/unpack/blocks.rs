//! The uncompressed archive: hashed, bounded, and handed out in tar's blocks without copying file content.

use std::io::{self, Read};
use std::time::Instant;

use coracle_core::oci::{Digest, Hasher};

use super::deflate::Stop;
use super::error::{Refusal, Result, UnpackError};
use super::inflate::{Inflate, Place};
use super::wire::Wire;
use super::{Interval, Limits};

/// tar counts in blocks of this many bytes.
pub(super) const BLOCK_BYTES: usize = 512;
/// Bytes inflated and written at once.
const BUFFER_BYTES: usize = 128 << 10;

/// A place in the streams from which both can be read on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// Compressed bytes before it, and the state of their hash.
    pub(super) wire: (u64, Vec<u8>),
    /// Bytes of the archive before it, and the state of their hash.
    pub(super) archive: (u64, Vec<u8>),
    pub(super) place: Place,
}

/// When to look for the next mark.
#[derive(Debug, Clone, Copy)]
struct Due {
    interval: Interval,
    bytes: u64,
    since: Instant,
}

pub(super) struct Blocks<'a, R: Read> {
    inflate: Inflate<'a, R>,
    limits: Limits,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    hasher: Hasher,
    bytes: u64,
    due: Option<Due>,
    mark: Option<Mark>,
}

impl<'a, R: Read> Blocks<'a, R> {
    pub(super) fn new(inflate: Inflate<'a, R>, limits: Limits) -> Self {
        Self {
            inflate,
            limits,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            hasher: Hasher::new(),
            bytes: 0,
            due: None,
            mark: None,
        }
    }

    /// Goes on after `bytes` of the archive, which `hasher` has seen.
    pub(super) fn resumed(inflate: Inflate<'a, R>, limits: Limits, bytes: u64, hasher: Hasher) -> Self {
        Self { bytes, hasher, ..Self::new(inflate, limits) }
    }

    /// Marks a place once an interval from here is over.
    pub(super) fn mark_after(&mut self, interval: Interval) {
        let (bytes, _) = self.inflate.wire().taken();
        self.due = Some(Due { interval, bytes, since: Instant::now() });
    }

    /// The mark that was made, and how many bytes of the archive were taken after it.
    pub(super) fn marked(&mut self) -> Option<(Mark, u64)> {
        let mark = self.mark.take()?;
        let taken = self.bytes - self.held().len() as u64;
        self.due = None;
        Some((mark.clone(), taken - mark.archive.0))
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The wire, the diff ID and the length of what was read.
    pub(super) fn into_parts(self) -> (Wire<'a, R>, Digest, u64) {
        (self.inflate.into_wire(), self.hasher.finish(), self.bytes)
    }

    /// The next block; `None` at the end of the stream, which must come between blocks.
    pub(super) fn block(&mut self) -> Result<Option<[u8; BLOCK_BYTES]>> {
        let mut block = [0; BLOCK_BYTES];
        let mut filled = 0;
        while let Some(space) = block.get_mut(filled..).filter(|space| !space.is_empty()) {
            let held = self.fill()?;
            if held.is_empty() {
                return if filled == 0 { Ok(None) } else { Err(Refusal::Truncated.into()) };
            }
            let count = held.len().min(space.len());
            if let (Some(to), Some(from)) = (space.get_mut(..count), held.get(..count)) {
                to.copy_from_slice(from);
            }
            self.consume(count);
            filled += count;
        }
        Ok(Some(block))
    }

    /// Some of the next bytes, without taking them; empty at the end of the stream.
    pub(super) fn fill(&mut self) -> Result<&[u8]> {
        if self.start == self.end {
            self.mark();
            let read = loop {
                match self.inflate.read(&mut self.buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(unreadable(error)),
                    Ok(read) => break read,
                }
            };
            (self.start, self.end) = (0, read);
            self.hasher.update(self.buffer.get(..read).unwrap_or_default());
            self.bytes += read as u64;
            self.check()?;
        }
        Ok(self.held())
    }

    /// Takes `count` of the bytes that [`Blocks::fill`] showed.
    pub(super) fn consume(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
    }

    /// Makes a mark where one is due and can be: with nothing held, the streams stand at the same place.
    fn mark(&mut self) {
        let Some(Due { interval, bytes, since }) = self.due else { return };
        let (taken, hasher) = self.inflate.wire().taken();
        let due = self.mark.is_none() && interval.over(taken - bytes, since.elapsed());
        if due && let Some(place) = self.inflate.place() {
            let archive = (self.bytes, self.hasher.state());
            self.mark = Some(Mark { wire: (taken, hasher.state()), archive, place });
        }
        let wanted = due && self.mark.is_none();
        self.inflate.stop(if wanted { Stop::Blocks } else { Stop::Full });
    }

    fn held(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    fn check(&self) -> Result<()> {
        let limits = &self.limits;
        if self.bytes > limits.bytes_max {
            return Err(Refusal::Bytes(limits.bytes_max).into());
        }
        let beyond = self.bytes.saturating_sub(limits.ratio_free_bytes);
        if beyond > self.inflate.wire().bytes_in().saturating_mul(limits.ratio_max) {
            return Err(Refusal::Ratio(limits.ratio_max).into());
        }
        Ok(())
    }
}

/// What the decoder refused by rule comes back as that rule; all else is damage.
fn unreadable(error: io::Error) -> UnpackError {
    match error.downcast::<Refusal>() {
        Ok(refusal) => refusal.into(),
        Err(source) => UnpackError::Unreadable { entry: None, source },
    }
}
