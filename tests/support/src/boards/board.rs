//! The board: made, switched on, watched, and cut off.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Shell, disk};
use crate::emulated::{kernel, qemu};
use crate::images::Arch;
use crate::process::Running;

/// MiB of memory.
const MEMORY_MIB: u32 = 512;
/// MiB of the disk of the agent's state.
const STATE_MIB: u64 = 256;
/// How the line begins on which the board tells how its boot went.
const SAID: &str = "board: ";
/// How long a boot may take, emulated on a busy host; half a minute to a minute is what it takes on a quiet one.
const BOOT_MAX: Duration = Duration::from_secs(600);
/// Lines of the console that an error has.
const TAIL: usize = 30;
/// How often a condition is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A port of this machine's loopback that leads to a port of the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// Here.
    pub from: u16,
    /// There.
    pub to: u16,
}

/// What stays of a board while it is off: the files in its folder.
#[derive(Debug)]
pub struct Board {
    arch: Arch,
    dir: PathBuf,
    slow: Option<Slow>,
}

/// How slowly a disk writes, as cheap flash does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slow {
    /// Bytes a second.
    pub bytes: u64,
    /// Requests a second.
    pub requests: u64,
}

impl Board {
    /// Makes a board in the folder `dir`, with the agent from `package`, and files from folders that mirror the root.
    /// Where there was one, its state is kept.
    pub fn make(arch: Arch, package: &Path, folders: &[PathBuf], dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let (board, kernel) = (Self { arch, dir, slow: None }, kernel(arch)?);
        disk::room(&board.dir, &["root.img", "state.img"], disk::ROOT_MIB + STATE_MIB)?;
        disk::ramdisk(&kernel, &board.file("ramdisk"))?;
        disk::root(&kernel, package, folders, &board.file("root.img"))?;
        let state = board.file("state.img");
        if !state.exists() {
            disk::state(&state, STATE_MIB)?;
        }
        Ok(board)
    }

    /// The board that was made in `dir`, where there is one.
    pub fn open(arch: Arch, dir: PathBuf) -> Option<Self> {
        dir.join("state.img").exists().then_some(Self { arch, dir, slow: None })
    }

    /// The same, whose disk of the agent's state writes so slowly.
    #[must_use]
    pub fn slowed(self, slow: Slow) -> Self {
        Self { slow: Some(slow), ..self }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The file with everything that was said on its serial line, over all boots.
    pub fn console(&self) -> PathBuf {
        self.file("console.log")
    }

    /// The socket of its serial line while it is on: a shell of root's.
    pub fn line(&self) -> PathBuf {
        self.file("console.sock")
    }

    /// The shell on that line, while the board is on.
    ///
    /// # Errors
    /// That of the socket.
    pub fn shell(&self) -> io::Result<Shell> {
        Shell::open(&self.line())
    }

    /// What switches it on.
    pub fn command(&self, forwards: &[Forward]) -> io::Result<Command> {
        let image = kernel(self.arch)?.image;
        let words = "quiet systemd.show_status=yes";
        let mut command = qemu(self.arch, MEMORY_MIB, &image, &self.file("ramdisk"), words);
        command.args(["-smp", "2", "-display", "none", "-monitor", "none"]);
        for (name, disk) in [("root", "root.img"), ("state", "state.img")] {
            // What the machine has written outlives its end in this machine's page cache: the host need not sync.
            let mut drive =
                format!("id={name},if=none,format=raw,cache=unsafe,file={}", self.file(disk).display());
            if let Some(Slow { bytes, requests }) = self.slow.filter(|_| name == "state") {
                drive += &format!(",throttling.bps-write={bytes},throttling.iops-write={requests}");
            }
            command.args(["-drive", &drive, "-device", &format!("virtio-blk-pci,drive={name}")]);
        }
        let port = |forward: &Forward| format!(",hostfwd=tcp:127.0.0.1:{}-:{}", forward.from, forward.to);
        let forwards = forwards.iter().map(port).collect::<String>();
        command.args(["-netdev", &format!("user,id=net{forwards}"), "-device", "virtio-net-pci,netdev=net"]);
        let (line, log) = (self.line(), self.console());
        let (line, log) = (line.display(), log.display());
        let serial = format!("socket,id=line,path={line},server=on,wait=off,logfile={log},logappend=on");
        command.args(["-chardev", &serial, "-serial", "chardev:line"]);
        Ok(command)
    }

    /// Switches it on; it loses its power with the value that is handed back.
    pub fn boot(&self, forwards: &[Forward]) -> io::Result<Machine> {
        let boot = self.about_to_boot();
        let qemu = Running::start("qemu", &mut self.command(forwards)?, &self.file("qemu.log"))?;
        Ok(Machine { qemu, boot })
    }

    /// Everything that was said on its serial line, over all boots.
    pub fn said(&self) -> String {
        said(&self.console())
    }

    /// What to look at for how a boot goes that begins now.
    pub fn about_to_boot(&self) -> Boot {
        let console = self.console();
        Boot { before: said(&console).len(), console, since: Instant::now() }
    }
}

/// Everything that was said on a serial line.
fn said(console: &Path) -> String {
    String::from_utf8_lossy(&fs::read(console).unwrap_or_default()).into_owned()
}

/// One boot, as it is seen from outside.
#[derive(Debug)]
pub struct Boot {
    console: PathBuf,
    /// Bytes that the console had before.
    before: usize,
    since: Instant,
}

impl Boot {
    /// What was said on the console since the power is on.
    pub fn said(&self) -> String {
        said(&self.console).get(self.before..).unwrap_or_default().to_owned()
    }

    /// The board's own word on how its boot went, once it has come.
    pub fn told(&self) -> Option<Told> {
        self.said().lines().find_map(Told::read)
    }

    /// Waits for that word; `look` is asked in between, and its error ends the waiting.
    pub fn until_told(&self, mut look: impl FnMut() -> io::Result<()>) -> io::Result<Told> {
        loop {
            let looked = look();
            if let Some(told) = self.told() {
                return Ok(told);
            }
            if looked.is_ok() && self.since.elapsed() < BOOT_MAX {
                std::thread::sleep(LOOK_AGAIN);
                continue;
            }
            let why = looked.err().unwrap_or_else(|| io::ErrorKind::TimedOut.into());
            let said = self.said();
            let tail = said.lines().rev().take(TAIL).collect::<Vec<_>>();
            let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
            return Err(io::Error::other(format!(
                "the board does not come up: {why}; its last words:\n{tail}"
            )));
        }
    }

    /// Seconds since the power is on.
    pub fn seconds(&self) -> f32 {
        self.since.elapsed().as_secs_f32()
    }
}

/// A board's own word on how its boot went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What systemd says of the whole: `running`, `degraded`.
    pub state: String,
    /// What it says of the agent's unit: `active`.
    pub agent: String,
    /// Units that failed, or `none`.
    pub failed: String,
}

impl Told {
    /// Reads a line of the console: `board: running after 31.07 s, agent active, failed: none`.
    fn read(line: &str) -> Option<Self> {
        let (state, rest) = line.split_once(SAID)?.1.split_once(" after ")?;
        let (agent, failed) = rest.split_once(" s, agent ")?.1.split_once(", failed: ")?;
        Some(Self { state: state.into(), agent: agent.into(), failed: failed.trim().into() })
    }

    /// Whether everything on it runs, the agent too.
    pub fn is_running(&self) -> bool {
        self.state == "running" && self.agent == "active"
    }
}

/// A running board, which loses its power with this value.
#[derive(Debug)]
pub struct Machine {
    qemu: Running,
    boot: Boot,
}

impl Machine {
    /// Its boot.
    pub fn boot(&self) -> &Boot {
        &self.boot
    }

    /// Waits for its word on how its boot went; `look` is asked in between, and its error ends the waiting.
    pub fn until_told(&mut self, look: impl Fn() -> io::Result<()>) -> io::Result<Told> {
        let qemu = &mut self.qemu;
        self.boot.until_told(|| {
            look()?;
            if qemu.is_running() {
                Ok(())
            } else {
                Err(io::Error::other(format!("qemu ended: {}", qemu.output())))
            }
        })
    }

    /// Cuts its power: what its kernel had not written yet is lost.
    pub fn cut(&mut self) -> io::Result<()> {
        self.qemu.kill().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boards_word_is_found_on_its_console() {
        let told = |line: &str| Told::read(line).map(|told| (told.is_running(), told.failed));
        assert_eq!(
            told("[   31.2] board: running after 31.07 s, agent active, failed: none\r"),
            Some((true, "none".into()))
        );
        assert_eq!(
            told("board: degraded after 9.1 s, agent active, failed: a.service b.service "),
            Some((false, "a.service b.service".into()))
        );
        assert_eq!(
            told("board: running after 9.1 s, agent failed, failed: none"),
            Some((false, "none".into()))
        );
        assert_eq!(told("board: no root"), None);
    }
}
