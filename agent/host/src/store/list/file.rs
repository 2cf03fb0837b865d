//! A list on disk: the records of `core::scrub` one after the other, closed by a sum over all of it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use coracle_core::scrub::{Decoder, Encoder, Entry, HEADER, RECORD_BYTES_MAX};
use flate2::Crc;

/// Bytes of the closing sum.
const SUM_BYTES: u64 = 4;

/// A list being written.
pub(super) struct ListFile {
    file: BufWriter<File>,
    sum: Crc,
    encoder: Encoder,
    record: Vec<u8>,
}

impl ListFile {
    /// A new list; what is at `path` is replaced.
    pub(super) fn create(path: &Path, mode: u32) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
        let (sum, encoder, record) = (Crc::new(), Encoder::default(), Vec::new());
        let mut list = Self { file: BufWriter::new(file), sum, encoder, record };
        list.write(HEADER)?;
        Ok(list)
    }

    /// Adds an entry.
    pub(super) fn put(&mut self, entry: &Entry) -> io::Result<()> {
        let mut record = std::mem::take(&mut self.record);
        self.encoder.encode(entry, &mut record);
        let length = u16::try_from(record.len()).map_err(io::Error::other)?;
        self.write(&length.to_le_bytes())?;
        self.write(&record)?;
        self.record = record;
        Ok(())
    }

    /// Ends the list; its sum.
    pub(super) fn finish(mut self) -> io::Result<u32> {
        self.write(&[0; 2])?;
        let sum = self.sum.sum();
        self.file.write_all(&sum.to_le_bytes())?;
        self.file.flush()?;
        Ok(sum)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.file.write_all(bytes)
    }
}

/// A list being read.
pub(super) struct Reading {
    file: BufReader<File>,
    decoder: Decoder,
}

impl Reading {
    /// Opens the list, having read it once: what is in it is what was written.
    ///
    /// # Errors
    /// `InvalidData` where it is not, and whatever the system says.
    pub(super) fn open(path: &Path, sum: u32) -> io::Result<Self> {
        let file = File::open(path)?;
        let summed = file.metadata()?.len().saturating_sub(SUM_BYTES);
        let (mut taken, mut crc) = (file.take(summed), Crc::new());
        let mut buffer = [0; 8192];
        loop {
            let read = taken.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            crc.update(buffer.get(..read).unwrap_or_default());
        }
        let mut closing = [0; 4];
        taken.into_inner().read_exact(&mut closing).map_err(|_| invalid())?;
        if crc.sum() != sum || closing != sum.to_le_bytes() {
            return Err(invalid());
        }
        let mut file = BufReader::new(File::open(path)?);
        let mut header = [0; HEADER.len()];
        file.read_exact(&mut header)?;
        if header != HEADER {
            return Err(invalid());
        }
        Ok(Self { file, decoder: Decoder::default() })
    }

    /// The next entry; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut length = [0; 2];
        self.file.read_exact(&mut length)?;
        let length = usize::from(u16::from_le_bytes(length));
        if length == 0 {
            return Ok(None);
        }
        let mut record = [0; RECORD_BYTES_MAX];
        let record = record.get_mut(..length).ok_or_else(invalid)?;
        self.file.read_exact(record)?;
        self.decoder.decode(record).map(Some).map_err(|_| invalid())
    }
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the list is not what was written")
}
