//! The machine: booted, watched, and cut off.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::kernel::Kernel;
use super::qemu::qemu;
use crate::images::Arch;
use crate::process::{Running, run};

/// The address at which the machine reaches this machine's loopback.
pub const HOST: &str = "10.0.2.2";
/// MiB of memory: the root is in it.
const MEMORY_MIB: u32 = 512;

/// What the board says once its kernel has handed over and its disk is there.
const UP: &str = "board: up";
/// How long that may take; it takes three seconds on a quiet host.
const UP_MAX: Duration = Duration::from_secs(45);
/// How often a machine is started until it has to come up by itself.
const STARTS_MAX: u32 = 3;
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What the machine's clock says when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The time.
    Right,
    /// That of a board without a battery.
    Of1970,
}

/// What a machine has little of; all that there is, where it is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scarce {
    /// Bytes of memory for the agent and what it starts for itself, files on their way to the disk included. The console
    /// then tells each second what the agent's control group says of it.
    pub memory: Option<u64>,
    /// Bytes that the state disk writes in a second.
    pub writes: Option<u64>,
}

/// Whether every write to the state disk is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes<'a> {
    /// They are not.
    Unnoted,
    /// On this disk, as the device mapper's target `log-writes` does.
    Noted(&'a Path),
}

/// How a machine starts.
#[derive(Debug, Clone, Copy)]
pub struct Boot<'a> {
    /// Its kernel.
    pub kernel: &'a Kernel,
    /// Its root, made by [`super::pack`].
    pub ramdisk: &'a Path,
    /// The disk of the agent's state, made by [`disk`].
    pub state: &'a Path,
    /// What is noted of it.
    pub writes: Writes<'a>,
    /// Its clock.
    pub clock: Clock,
    /// What it has little of.
    pub scarce: Scarce,
    /// A port of this machine's loopback that leads to the same port of the board.
    pub port: Option<u16>,
    /// Where its console goes.
    pub console: &'a Path,
}

/// A running machine, which loses its power with this value.
#[derive(Debug)]
pub struct Machine(Running);

impl Machine {
    /// Starts it and waits until its kernel has handed over. On a busy host the emulation stalls at times before that,
    /// when nothing of the board has run yet: it is switched off and on again then.
    pub fn boot(boot: &Boot<'_>) -> io::Result<Self> {
        for _ in 1..STARTS_MAX {
            let mut machine = Self::start(boot)?;
            if machine.is_up(UP_MAX) {
                return Ok(machine);
            }
            machine.cut()?;
            std::fs::remove_file(boot.console)?;
        }
        Self::start(boot)
    }

    fn is_up(&mut self, deadline: Duration) -> bool {
        let began = Instant::now();
        while began.elapsed() < deadline && self.is_on() {
            if self.console().contains(UP) {
                return true;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        false
    }

    fn start(boot: &Boot<'_>) -> io::Result<Self> {
        // Words that the kernel does not know are the environment of the first process.
        let words = format!("quiet{}", memory(boot.scarce));
        let mut command = qemu(Arch::Amd64, MEMORY_MIB, &boot.kernel.image, boot.ramdisk, &words);
        let state = format!("{}{}", drive(boot.state), speed(boot.scarce));
        command.args(["-smp", "1", "-nographic", "-drive", &state]);
        if let Writes::Noted(log) = boot.writes {
            command.args(["-drive", &drive(log)]);
        }
        if boot.clock == Clock::Of1970 {
            command.args(["-rtc", "base=1970-01-01T00:00:00"]);
        }
        let forward = boot.port.map(|port| format!(",hostfwd=tcp:127.0.0.1:{port}-:{port}"));
        command.args(["-nic", &format!("user,model=virtio-net-pci{}", forward.unwrap_or_default())]);
        Running::start("qemu", &mut command, boot.console).map(Self)
    }

    /// Cuts its power: what its kernel had not written yet is lost.
    pub fn cut(&mut self) -> io::Result<()> {
        self.0.kill().map(drop)
    }

    /// Everything its console showed so far.
    pub fn console(&self) -> String {
        self.0.output()
    }

    /// Whether it is on.
    pub fn is_on(&mut self) -> bool {
        self.0.is_running()
    }
}

fn memory(scarce: Scarce) -> String {
    scarce.memory.map(|bytes| format!(" MEMORY_MAX={bytes}")).unwrap_or_default()
}

fn speed(scarce: Scarce) -> String {
    scarce.writes.map(|bytes| format!(",throttling.bps-write={bytes}")).unwrap_or_default()
}

/// What the machine has written is in this machine's page cache when it is killed, and none of it is lost here: that
/// the host need not sync makes it fast.
fn drive(image: &Path) -> String {
    format!("file={},format=raw,if=virtio,cache=unsafe", image.display())
}

/// Makes an empty disk of `mib`, with an ext4 on it.
pub fn disk(path: PathBuf, mib: u64) -> io::Result<PathBuf> {
    File::create(&path)?.set_len(mib << 20)?;
    run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&path))?;
    Ok(path)
}
