//! The uncompressed archive: hashed, bounded, and handed out in tar's blocks without copying file content.

use std::io::{self, Read};

use coracle_core::oci::{Digest, Hasher};

use super::Limits;
use super::error::{Refusal, Result, UnpackError};
use super::inflate::Inflate;
use super::wire::Wire;

/// tar counts in blocks of this many bytes.
pub(super) const BLOCK_BYTES: usize = 512;
/// Bytes inflated and written at once.
const BUFFER_BYTES: usize = 128 << 10;

pub(super) struct Blocks<'a, R: Read> {
    inflate: Inflate<'a, R>,
    limits: Limits,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    hasher: Hasher,
    bytes: u64,
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
        }
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

    fn held(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    fn check(&self) -> Result<()> {
        let limits = &self.limits;
        if self.bytes > limits.bytes_max {
            return Err(Refusal::Bytes(limits.bytes_max).into());
        }
        let beyond = self.bytes.saturating_sub(limits.ratio_free_bytes);
        if beyond > self.inflate.wire_bytes().saturating_mul(limits.ratio_max) {
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
