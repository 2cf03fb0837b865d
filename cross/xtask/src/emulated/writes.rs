//! Every write that a board's disk got while it updated, and the disk as a power cut after any of them leaves it.
//!
//! The kernel of this machine mounts each of those disks as a board does after a boot, so the file system's own recovery
//! is part of what is tried.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use coracle_test_support::disk_log::DiskLog;
use coracle_test_support::emulated::{Clock, Syncs, Writes};
use coracle_test_support::process::run;
use coracle_test_support::scratch::TempDir;
use serde_json::Value;

use super::cuts::settled;
use super::hardware::Kind;
use super::remains::Judge;
use super::scene::{Nature, Scene};
use crate::interrupt;

/// MiB of the disk that the writes are noted on; its file is only as large as what was noted.
const LOG_MIB: u64 = 2048;

/// What came of all disks.
pub struct Disks {
    /// Writes that the disk got.
    pub writes: usize,
    /// Those of them that made everything before them durable.
    pub barriers: usize,
    /// Disks that were looked at.
    pub looked_at: usize,
    /// What is wrong with each bad one.
    pub bad: Vec<String>,
}

/// Has a board pass through two good generations and a bad one, and looks at its disk as a cut leaves it after each
/// barrier and after every `step`-th write between.
pub fn writes(syncs: Syncs, step: usize) -> io::Result<Disks> {
    let mut scene = Scene::new(Kind::Emulated(syncs))?;
    let disk = scene.disk();
    let (blank, log) = (disk.with_extension("blank"), disk.with_extension("log"));
    fs::copy(&disk, &blank)?;
    File::create(&log)?.set_len(LOG_MIB << 20)?;
    scene.boot(Writes::Noted(&log), Clock::Right)?;
    for (generation, nature) in [(1, Nature::Good), (2, Nature::Good), (3, Nature::Crashing)] {
        scene.deploy(generation, nature)?;
        settled(&scene, generation, &Value::Null)?;
    }
    scene.cut()?;
    look_at_each(&DiskLog::open(&log)?, &blank, &disk, step)
}

fn look_at_each(log: &DiskLog, blank: &Path, last: &Path, step: usize) -> io::Result<Disks> {
    let dir = TempDir::new("disks");
    let (disk, copy) = (dir.join("disk"), dir.join("copy"));
    fs::copy(blank, &disk)?;
    let file = File::options().write(true).open(&disk)?;
    let mut judge = {
        let whole = Mounted::new(last, dir.join("whole"))?;
        Judge::new(&whole.0)?
    };
    let barriers = log.writes.iter().filter(|write| write.barrier).count();
    let mut outcome = Disks { writes: log.writes.len(), barriers, looked_at: 0, bad: Vec::new() };
    for (number, write) in log.writes.iter().enumerate() {
        interrupt::check()?;
        log.replay(write, &file)?;
        if !write.barrier && number % step != 0 {
            continue;
        }
        run(Command::new("cp").arg("--sparse=always").arg(&disk).arg(&copy))?;
        let mounted = Mounted::new(&copy, dir.join("mounted"))?;
        if let Err(wrong) = judge.judge(&mounted.0) {
            outcome.bad.push(format!("after write {number} of {}: {wrong}", log.writes.len()));
        }
        outcome.looked_at += 1;
    }
    if judge.layers() == 0 {
        return Err(io::Error::other("the board's disk has no layer: nothing was tried"));
    }
    Ok(outcome)
}

/// A disk image mounted as a board mounts it; unmounted with this value.
struct Mounted(PathBuf);

impl Mounted {
    fn new(disk: &Path, place: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&place)?;
        run(Command::new("mount").args(["-o", "loop"]).arg(disk).arg(&place))?;
        Ok(Self(place))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = run(Command::new("umount").arg(&self.0)) {
            eprintln!("left mounted: {error}");
        }
    }
}
