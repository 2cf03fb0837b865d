//! The bytes as they come in: hashed, counted, and held to the size that the manifest claims.

use std::io::{self, BufRead, Read};

use coracle_core::oci::{Digest, Hasher};

/// Bytes read at once; more does not make the hash or the decoder faster.
const BUFFER_BYTES: usize = 64 << 10;

/// What came in.
#[derive(Debug)]
pub struct Transfer {
    /// The digest of the bytes that came in.
    pub digest: Digest,
    /// How many they were.
    pub bytes: u64,
    /// Why not all of them came, or too many.
    pub fault: Option<TransferFault>,
}

/// Why the input is not what was claimed, whatever is in it.
#[derive(Debug)]
pub enum TransferFault {
    /// It ended before the claimed size.
    Short,
    /// It went on after the claimed size.
    Long,
    /// It could not be read.
    Input(io::Error),
}

pub(super) struct Wire<'a, R> {
    input: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    hasher: Hasher,
    bytes: u64,
    size: u64,
    fault: Option<TransferFault>,
    ended: bool,
    progress: &'a mut dyn FnMut(u64),
}

impl<'a, R: Read> Wire<'a, R> {
    pub(super) fn new(input: R, size: u64, progress: &'a mut dyn FnMut(u64)) -> Self {
        Self {
            input,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            hasher: Hasher::new(),
            bytes: 0,
            size,
            fault: None,
            ended: false,
            progress,
        }
    }

    /// Goes on after `taken` bytes, which `hasher` has seen.
    pub(super) fn resumed(
        input: R,
        size: u64,
        taken: u64,
        hasher: Hasher,
        progress: &'a mut dyn FnMut(u64),
    ) -> Self {
        Self { bytes: taken, hasher, ..Self::new(input, size, progress) }
    }

    /// How many bytes came in so far, those included that came before it was resumed.
    pub(super) fn bytes_in(&self) -> u64 {
        self.bytes
    }

    /// How many bytes were taken, and the hash over them.
    pub(super) fn taken(&self) -> (u64, &Hasher) {
        (self.bytes - self.held().len() as u64, &self.hasher)
    }

    /// The next bytes without taking them: `count` of them, fewer only at the end. `count` is far below the buffer.
    pub(super) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.end - self.start < count && !self.ended {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            self.read_more()?;
        }
        let held = self.held();
        Ok(held.get(..count).unwrap_or(held))
    }

    /// Reads the rest, for its digest only.
    pub(super) fn drain(&mut self) {
        while self.fault.is_none() && !self.ended {
            self.consume(self.end - self.start);
            // A failure is kept as the transfer's fault.
            let _ = self.fill_buf();
        }
        self.consume(self.end - self.start);
    }

    pub(super) fn finish(self) -> Transfer {
        Transfer { digest: self.hasher.finish(), bytes: self.bytes, fault: self.fault }
    }

    fn held(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    fn read_more(&mut self) -> io::Result<()> {
        if self.fault.is_some() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let space = self.buffer.get_mut(self.end..).unwrap_or_default();
        let read = loop {
            match self.input.read(space) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let kind = error.kind();
                    self.fault = Some(TransferFault::Input(error));
                    return Err(kind.into());
                }
                Ok(read) => break read,
            }
        };
        if read == 0 {
            self.ended = true;
            if self.bytes < self.size {
                self.fault = Some(TransferFault::Short);
            }
            return Ok(());
        }
        self.end += read;
        self.bytes += read as u64;
        if self.bytes > self.size {
            self.fault = Some(TransferFault::Long);
            return Err(io::ErrorKind::InvalidData.into());
        }
        (self.progress)(self.bytes);
        Ok(())
    }
}

impl<R: Read> Read for Wire<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let held = self.fill_buf()?;
        let count = held.len().min(out.len());
        for (to, from) in out.iter_mut().zip(held) {
            *to = *from;
        }
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Wire<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end && !self.ended {
            (self.start, self.end) = (0, 0);
            self.read_more()?;
        }
        Ok(self.held())
    }

    /// Hashes what is taken, and not what was only read ahead: so the hash always belongs to a place in the stream.
    fn consume(&mut self, count: usize) {
        let until = self.end.min(self.start + count);
        self.hasher.update(self.buffer.get(self.start..until).unwrap_or_default());
        self.start = until;
    }
}
