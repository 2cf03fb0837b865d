//! A fresh ext4 on a loop device, whose written bytes the kernel counts.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use coracle_test_support::process::run;
use coracle_test_support::scratch::TempDir;

/// Sparse; room for the largest puller several times over.
const BYTES: u64 = 6 << 30;

/// A mounted disk; unmounted and removed on drop.
pub struct Disk {
    dir: TempDir,
    device: String,
    written: u64,
}

impl Disk {
    /// Makes and mounts one.
    pub fn new() -> io::Result<Self> {
        let dir = TempDir::new("disk");
        let file = dir.join("image");
        File::create(&file)?.set_len(BYTES)?;
        // Nothing is left to be initialized later, for that would be counted as somebody's writes.
        let now = "lazy_itable_init=0,lazy_journal_init=0";
        run(Command::new("mkfs.ext4").args(["-q", "-E", now]).arg(&file))?;
        let device = run(Command::new("losetup").args(["--find", "--show"]).arg(&file))?.trim().to_owned();
        let mut disk = Self { dir, device, written: 0 };
        fs::create_dir(disk.path())?;
        run(Command::new("mount").arg(&disk.device).arg(disk.path()))?;
        disk.sync()?;
        disk.written = disk.sectors()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.dir.join("mnt")
    }

    /// Brings everything to the disk; hands back how long that took.
    pub fn sync(&self) -> io::Result<Duration> {
        let began = Instant::now();
        run(Command::new("sync").arg("--file-system").arg(self.path()))?;
        Ok(began.elapsed())
    }

    /// Bytes written since it was made; to be asked after [`Disk::sync`].
    pub fn written(&self) -> io::Result<u64> {
        Ok((self.sectors()? - self.written) * 512)
    }

    /// Sectors of 512 bytes written: Documentation/block/stat, the seventh field.
    fn sectors(&self) -> io::Result<u64> {
        let name = Path::new(&self.device).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stat = fs::read_to_string(format!("/sys/block/{name}/stat"))?;
        let sectors = stat.split_whitespace().nth(6).and_then(|field| field.parse().ok());
        sectors.ok_or_else(|| io::Error::other("no count of sectors"))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A daemon may have left mounts of its own on it.
        let _ = run(Command::new("umount").args(["--recursive", "--lazy"]).arg(self.path()));
        let _ = run(Command::new("losetup").arg("--detach").arg(&self.device));
    }
}
