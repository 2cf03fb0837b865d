//! Sparse files in the old GNU form: a map in the header and in blocks after it (GNU tar manual, "Storing Sparse Files").

use std::io::Read;

use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use super::blocks::Blocks;
use super::error::{Refusal, Result};

/// Parts of one sparse file; 64 KiB of map.
pub(super) const SEGMENTS_MAX: usize = 4096;

/// Where a file's stored bytes belong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Map {
    /// Offset and length, ascending.
    pub(super) segments: Vec<(u64, u64)>,
    /// The file's length, holes included.
    pub(super) length: u64,
}

impl Map {
    /// A file that is stored whole.
    pub(super) fn whole(length: u64) -> Self {
        Self { segments: vec![(0, length)], length }
    }

    /// Reads the map that starts in `header`; `stored` is how many bytes of data follow.
    pub(super) fn read<R: Read>(header: &Header, stored: u64, blocks: &mut Blocks<'_, R>) -> Result<Self> {
        let gnu = header.as_gnu().ok_or(Refusal::SparseMap)?;
        let length = gnu.real_size().map_err(|_| Refusal::SparseMap)?;
        let mut map = Self { segments: Vec::new(), length };
        for part in &gnu.sparse {
            map.push(part)?;
        }
        let mut more = gnu.is_extended();
        while more {
            let block = blocks.block()?.ok_or(Refusal::Truncated)?;
            let mut extension = GnuExtSparseHeader::new();
            extension.as_mut_bytes().copy_from_slice(&block);
            for part in extension.sparse() {
                map.push(part)?;
            }
            more = extension.is_extended();
        }
        let sum = map.segments.iter().try_fold(0_u64, |sum, (_, length)| sum.checked_add(*length));
        if sum != Some(stored) || map.length > blocks.limits().bytes_max {
            return Err(Refusal::SparseMap.into());
        }
        Ok(map)
    }

    fn push(&mut self, part: &GnuSparseHeader) -> Result<()> {
        if part.is_empty() {
            return Ok(());
        }
        let offset = part.offset().map_err(|_| Refusal::SparseMap)?;
        let length = part.length().map_err(|_| Refusal::SparseMap)?;
        let previous_end = self.segments.last().map_or(0, |(offset, length)| offset + length);
        let end = offset.checked_add(length).ok_or(Refusal::SparseMap)?;
        if offset < previous_end || end > self.length || self.segments.len() == SEGMENTS_MAX {
            return Err(Refusal::SparseMap.into());
        }
        self.segments.push((offset, length));
        Ok(())
    }
}
