//! The two kinds of boards whose power can be cut: one that is a machine of its own, and one that systemd runs.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use coracle_test_support::emulated::{
    self, Boot, Clock, HOST, Kernel, Scarce, Syncs, Writes, disk, kernel, pack,
};
use coracle_test_support::images::Arch;
use coracle_test_support::nspawn::{self, Network};

use crate::setup;

/// MiB of an emulated board's state disk.
const DISK_MIB: u64 = 96;
/// The file of that disk.
pub const STATE_DISK: &str = "state.img";
/// Lines of a journal that tell what went wrong.
const JOURNAL_LINES: u32 = 40;

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Under qemu: what the kernel had not written is lost, and the clock may start in 1970. It has no systemd.
    Emulated(Syncs),
    /// Under systemd-nspawn: the real units, and this machine's kernel, which loses nothing.
    Systemd,
}

impl Kind {
    /// All of them, by the names that the command line has for them.
    pub const ALL: [(&str, Self); 2] = [("systemd", Self::Systemd), ("qemu", Self::Emulated(Syncs::Kept))];

    /// An address of this machine's loopback as the board has it.
    pub fn reaches(self, address: &str) -> String {
        match self {
            Self::Emulated(_) => address.replace("127.0.0.1", HOST),
            Self::Systemd => address.to_owned(),
        }
    }

    /// The clock of a boot: every other one wakes up without the time, where that can be.
    pub fn clock(self, number: u64) -> Clock {
        match self {
            Self::Emulated(_) if number.is_multiple_of(2) => Clock::Of1970,
            Self::Emulated(_) | Self::Systemd => Clock::Right,
        }
    }
}

/// One board.
pub enum Hardware {
    /// See [`Kind::Emulated`].
    Emulated { kernel: Kernel, ramdisk: PathBuf, disk: PathBuf, machine: Option<emulated::Machine> },
    /// See [`Kind::Systemd`].
    Systemd { board: nspawn::Board, machine: Option<nspawn::Machine> },
}

impl Hardware {
    /// A board that is off, with its files in `dir`.
    pub fn make(kind: Kind, config: &str, dir: &Path) -> io::Result<Self> {
        let agent = setup::agent()?;
        match kind {
            Kind::Emulated(syncs) => {
                let (kernel, ramdisk) = (kernel(Arch::Amd64)?, dir.join("ramdisk"));
                pack(&kernel, &agent, config, syncs, &ramdisk)?;
                let disk = disk(dir.join(STATE_DISK), DISK_MIB)?;
                Ok(Self::Emulated { kernel, ramdisk, disk, machine: None })
            }
            Kind::Systemd => {
                let board = nspawn::Board::new(&agent, &setup::root()?.join("systemd"), config)?;
                Ok(Self::Systemd { board, machine: None })
            }
        }
    }

    /// Switches it on; hands back when. `port` leads to the same port of the board.
    pub fn boot(
        &mut self,
        writes: Writes<'_>,
        clock: Clock,
        port: u16,
        console: &Path,
    ) -> io::Result<Instant> {
        let began = Instant::now();
        match self {
            Self::Emulated { kernel, ramdisk, disk, machine } => {
                let port = Some(port);
                let scarce = Scarce::default();
                let boot = Boot { kernel, ramdisk, state: disk, writes, clock, scarce, port, console };
                *machine = Some(emulated::Machine::boot(&boot)?);
            }
            // Its writes are this machine's: nobody notes them.
            Self::Systemd { board, machine } => *machine = Some(board.boot(Network::Loopback, console)?),
        }
        Ok(began)
    }

    /// Cuts its power.
    pub fn cut(&mut self) -> io::Result<()> {
        match self {
            Self::Emulated { machine, .. } => machine.take().map_or(Ok(()), |mut machine| machine.cut()),
            Self::Systemd { machine, .. } => machine.take().map_or(Ok(()), |mut machine| machine.cut()),
        }
    }

    /// What it has to say for itself.
    pub fn console(&self) -> String {
        match self {
            Self::Emulated { machine, .. } => machine.as_ref().map(emulated::Machine::console),
            Self::Systemd { machine, .. } => machine.as_ref().map(|machine| machine.journal(JOURNAL_LINES)),
        }
        .unwrap_or_default()
    }
}
