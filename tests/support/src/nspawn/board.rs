//! The board: its files, its disk, switched on and cut off.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::boards::tree;
use crate::emulated::disk;
use crate::images::Arch;
use crate::process::{Running, run};
use crate::scratch::TempDir;

/// MiB of the state disk.
const DISK_MIB: u64 = 256;
/// How long systemd may take to come up, on a loaded machine.
const UP: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Units that an installation enables.
const ENABLED: [&str; 2] = ["coracle.service", "coracle-boot.service"];

/// Makes the root in a mount namespace of its own, which ends with the board, and becomes systemd-nspawn.
/// Its words: the board's folder, the tree, then options for systemd-nspawn.
///
/// `/run` must be in memory for systemd-nspawn; crun makes a keyring for each container; control groups are those of
/// version 2, as on boards, whatever this machine has. The board has a group of its own, so that all of it can be ended
/// at once.
const BOOT: &str = r#"
dir=$1 tree=$2 group=$3; shift 3
mkdir "$group"
echo $$ > "$group/cgroup.procs"
mount -t tmpfs tmpfs /run
mkdir /run/systemd
mount -t tmpfs tmpfs "$dir/root"
mkdir "$dir/root/upper" "$dir/root/work" "$dir/root/all"
mount -t overlay -o "lowerdir=$dir/files:$tree,upperdir=$dir/root/upper,workdir=$dir/root/work" overlay "$dir/root/all"
mount -o loop "$dir/state.img" "$dir/state"
mount --bind "$dir/state" "$dir/root/all/var/lib/coracle"
export UNIFIED_CGROUP_HIERARCHY=1
exec systemd-nspawn --quiet --register=no --keep-unit --capability=all \
    --system-call-filter='add_key keyctl request_key' --console=pipe "$@" -D "$dir/root/all" --boot
"#;

/// What a board is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Everything that this machine's loopback has.
    Loopback,
    /// Nothing.
    None,
}

/// What can be written on a board beside its state, which is a file system of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// All of it, until the power goes.
    Writable,
    /// Nothing but `/run` and `/tmp`.
    ReadOnly,
    /// The same, but for `/etc`, an overlay in memory.
    EtcOverlay,
}

/// What stays of a board while it is off.
#[derive(Debug)]
pub struct Board {
    tree: PathBuf,
    dir: TempDir,
}

impl Board {
    /// A board with the agent `exe`, the files of `system` (which mirrors the root) and a configuration.
    pub fn new(exe: &Path, system: &Path, config: &str) -> io::Result<Self> {
        let board = Self::bare(config)?;
        run(Command::new("cp").arg("-rT").arg(system).arg(board.dir.join("files")))?;
        run(Command::new("strip").arg("-o").arg(board.file("usr/bin/coracle")).arg(exe))?;
        for unit in ENABLED {
            board.enable(unit)?;
        }
        Ok(board)
    }

    /// A board with a configuration and nothing else of the agent's: it is to be installed there.
    pub fn bare(config: &str) -> io::Result<Self> {
        let board = Self { tree: tree(Arch::Amd64)?, dir: TempDir::new("nspawn") };
        for folder in ["root", "state", "files/usr/bin", "files/var/lib/coracle", "files/etc/coracle"] {
            fs::create_dir_all(board.dir.join(folder))?;
        }
        disk(board.dir.join("state.img"), DISK_MIB)?;
        board.write("etc/coracle/config.toml", config)?;
        board.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n")?;
        Ok(board)
    }

    /// Where a file of the board lies while it is off.
    pub fn file(&self, path: &str) -> PathBuf {
        self.dir.join("files").join(path)
    }

    /// Writes a file of the board; the next boot sees it.
    pub fn write(&self, path: &str, text: &str) -> io::Result<()> {
        let file = self.file(path);
        fs::create_dir_all(file.parent().unwrap_or(&file))?;
        fs::write(file, text)
    }

    /// Has a unit started at each boot.
    pub fn enable(&self, unit: &str) -> io::Result<()> {
        let wants = self.file("etc/systemd/system/multi-user.target.wants");
        fs::create_dir_all(&wants)?;
        symlink(format!("/usr/lib/systemd/system/{unit}"), wants.join(unit))
    }

    /// Has it not started any more.
    pub fn disable(&self, unit: &str) -> io::Result<()> {
        fs::remove_file(self.file("etc/systemd/system/multi-user.target.wants").join(unit))
    }

    /// Switches the board on, and waits until its systemd is at work.
    pub fn boot(&self, network: Network, console: &Path) -> io::Result<Machine> {
        self.boot_as(network, Root::Writable, console)
    }

    /// The same with a root of another kind.
    pub fn boot_as(&self, network: Network, root: Root, console: &Path) -> io::Result<Machine> {
        let since = Instant::now();
        let mut command = Command::new("unshare");
        command.args(["-m", "--propagation", "private", "sh", "-ec", BOOT, "sh"]);
        let group = hierarchy()?.join(format!("coracle-board-{}", unique()));
        command.arg(self.dir.path()).arg(&self.tree).arg(&group);
        if network == Network::None {
            command.arg("--private-network");
        }
        if root != Root::Writable {
            // Its own mount, which does not become read-only with those of the root.
            let state = self.dir.join("state");
            command.arg("--read-only").arg(format!("--bind={}:/var/lib/coracle", state.display()));
        }
        if root == Root::EtcOverlay {
            command.arg("--overlay=+/etc::/etc");
        }
        let nspawn = Running::start("systemd-nspawn", &mut command, console)?;
        let mut machine = Machine { nspawn, group, init: None, since };
        machine.until_up()?;
        Ok(machine)
    }
}

/// A running board, which loses its power with this value.
#[derive(Debug)]
pub struct Machine {
    nspawn: Running,
    group: PathBuf,
    init: Option<i32>,
    since: Instant,
}

impl Machine {
    fn until_up(&mut self) -> io::Result<()> {
        while self.since.elapsed() < UP && self.nspawn.is_running() {
            self.init = children(self.nspawn.pid()).into_iter().find(|pid| is_systemd(*pid));
            if self.init.is_some() && self.path("/run/systemd/private").exists() {
                return Ok(());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        let said = self.nspawn.output();
        Err(io::Error::other(format!("the board does not come up: {}", said.trim())))
    }

    /// Since when the power is on.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Where a file of the running board can be reached from outside.
    pub fn path(&self, path: &str) -> PathBuf {
        let root = format!("/proc/{}/root", self.init.unwrap_or_default());
        Path::new(&root).join(path.trim_start_matches('/'))
    }

    /// A command to be run on the board.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.init.unwrap_or_default().to_string(), "-a", "--"]).args(words);
        command
    }

    /// What a command on the board prints; it must succeed.
    pub fn run(&self, words: &[&str]) -> io::Result<String> {
        run(&mut self.command(words))
    }

    /// The last lines of the board's journal.
    pub fn journal(&self, lines: u32) -> String {
        let lines = lines.to_string();
        let read = self.run(&["journalctl", "--no-pager", "--quiet", "-o", "short-monotonic", "-n", &lines]);
        read.unwrap_or_else(|error| format!("{error}; console: {}", self.nspawn.output()))
    }

    /// Cuts the power: the kernel ends every process of the board at once. One after the other would let those that are
    /// left see the others go, and write that down.
    pub fn cut(&mut self) -> io::Result<()> {
        self.init = None;
        if self.group.exists() {
            fs::write(self.group.join("cgroup.kill"), "1")?;
        }
        self.nspawn.kill()?;
        let began = Instant::now();
        while let Err(error) = remove_group(&self.group) {
            if began.elapsed() > UP {
                return Err(error);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Err(error) = self.cut() {
            eprintln!("a board is left behind in {}: {error}", self.group.display());
        }
    }
}

/// Where this machine has version 2 of the control groups.
fn hierarchy() -> io::Result<PathBuf> {
    let places = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(PathBuf::from);
    let found = places.into_iter().find(|place| place.join("cgroup.subtree_control").exists());
    found.ok_or_else(|| io::Error::other("this machine has no control groups of version 2"))
}

/// Counts the boards of this process.
fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Removes a control group and those in it, which is refused while a process of them is left.
fn remove_group(group: &Path) -> io::Result<()> {
    if !group.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(group)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_group(&path)?;
        }
    }
    fs::remove_dir(group)
}

fn children(parent: u32) -> Vec<i32> {
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let of_parent = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let field = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        field.and_then(|field| field.parse().ok()) == Some(parent)
    };
    pids.filter(of_parent).collect()
}

fn is_systemd(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "systemd")
}
