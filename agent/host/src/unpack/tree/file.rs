//! Regular files: the only entries that are written in many steps, and that a checkpoint can be within.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;

use coracle_core::oci::layer::EntryPath;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid};

use super::super::archive::{Archive, Entry};
use super::super::error::{Refusal, Result, UnpackError};
use super::super::sparse::Map;
use super::{Tree, inode_of, making, own};

/// Bytes of holes so far, and how many there may be. A layer that another process goes on with counts anew.
pub(super) struct Holes {
    bytes: u64,
    bytes_max: u64,
}

impl Holes {
    pub(super) fn at_most(bytes_max: u64) -> Self {
        Self { bytes: 0, bytes_max }
    }

    fn take(&mut self, bytes: u64) -> Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.bytes_max { Err(Refusal::Holes(self.bytes_max).into()) } else { Ok(()) }
    }
}

impl Tree<'_> {
    /// A file; with `resumed`, the rest of one whose beginning is there.
    pub(in super::super) fn file<R: Read>(
        &mut self,
        path: &EntryPath,
        entry: &Entry,
        map: &Map,
        archive: &mut Archive<'_, R>,
        resumed: bool,
    ) -> Result<()> {
        let (parent, name) = path.split().ok_or(Refusal::Root)?;
        let stored = map.segments.iter().map(|(_, length)| *length).sum::<u64>();
        self.holes.take(map.length.saturating_sub(stored))?;
        let entered = self.enter(parent)?;
        let here = entered.fd();
        let fd = if resumed {
            openat(here, name, OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
                .map_err(UnpackError::write("open the file again"))?
        } else {
            let flags =
                OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let mode = Mode::S_IRUSR | Mode::S_IWUSR;
            let fd = making(here, name, &mut self.keeper, || openat(here, name, flags, mode))
                .map_err(|error| error.or_attempt("create the file"))?;
            self.keeper.named(inode_of(&entered.stat), name)?;
            fd
        };
        // The library's calls take 64-bit offsets where the C library's own are shorter.
        let file = Rc::new(File::from(fd));
        let mut skip = stored.saturating_sub(archive.left());
        for (offset, length) in &map.segments {
            let done = skip.min(*length);
            skip -= done;
            let (mut offset, end) = (offset.saturating_add(done), offset.saturating_add(*length));
            while offset < end {
                let data = archive.data()?;
                // The map's sum is the entry's size, so the data cannot end first without the archive ending.
                let room = usize::try_from(end - offset).unwrap_or(usize::MAX);
                let data = data.get(..room).unwrap_or(data);
                let written = match file.write_at(data, offset) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                    written => written.map_err(UnpackError::write("write the file"))?,
                };
                archive.consume(written);
                self.counted.content_bytes += written as u64;
                let wrote = self.behind.wrote(&file, offset, written as u64);
                wrote.map_err(UnpackError::write("write the file"))?;
                offset += written as u64;
                self.checkpoint(archive, Some(entry))?;
            }
        }
        let meta = &entry.meta;
        if resumed || map.segments.last().is_none_or(|(offset, length)| offset + length < map.length) {
            file.set_len(map.length).map_err(UnpackError::write("size the file"))?;
        }
        if !self.owned_already(meta) {
            own(file.as_fd(), Uid::from_raw(meta.uid), Gid::from_raw(meta.gid))?;
        }
        self.finish_dress(file.as_fd(), meta)
    }
}
