//! `board up|down|console NAME`: one whole board under qemu to try things on: Debian with systemd of the board's own
//! architecture, and the agent from its package.
//!
//! What belongs to a board lies in `target/boards/NAME`; its root is made anew by each `up`, and its state is kept.

use std::fs;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use coracle_test_support::boards::{Board, Boot, Forward};
use coracle_test_support::images::Arch;
use coracle_test_support::process::run;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{dist, interrupt, setup, target, words};

const USAGE: &str = "board up NAME [--files DIR] [--package FILE] [--forward HERE:THERE] [--fresh], board down NAME [--cut], \
                     board console NAME [--follow]; NAME is arm, arm64 or amd64";
/// Where qemu writes its id.
const PID: &str = "qemu.pid";
/// How long a board may take to switch itself off.
const DOWN_MAX: Duration = Duration::from_secs(120);
/// After how long it is asked once more.
const ASK_AGAIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Ctrl-], which leaves the console.
const LEAVE: u8 = 0x1d;
/// Lines of what was said before that `console` shows.
const BEFORE: usize = 20;

/// Does one of the three.
pub fn command(given: &[String]) -> io::Result<()> {
    let usage = || io::Error::other(USAGE);
    let (what, rest) = given.split_first().ok_or_else(usage)?;
    let (name, rest) = rest.split_first().ok_or_else(usage)?;
    let arch = arch(name)?;
    match what.as_str() {
        "up" => up(arch, rest),
        "down" => down(arch, rest),
        "console" => console(arch, rest),
        _ => Err(usage()),
    }
}

/// The architecture that a board is called after.
pub fn arch(name: &str) -> io::Result<Arch> {
    let found = Arch::ALL.into_iter().find(|arch| arch.oci() == name);
    let known = Arch::ALL.map(Arch::oci).join(", ");
    found.ok_or_else(|| io::Error::other(format!("there is no board {name:?}; there are {known}")))
}

/// The package of the agent for boards of `arch`: that of `folder`, where one is given, else a new one.
pub fn package(arch: Arch, folder: Option<&Path>) -> io::Result<PathBuf> {
    let Some(folder) = folder else { return dist::deb(&triple(arch)?) };
    let ending = format!("_{}.deb", arch.debian());
    let mut found = setup::files(folder, &ending)?;
    found.sort();
    found.pop().ok_or_else(|| io::Error::other(format!("{} has no coracle_*{ending}", folder.display())))
}

/// The target that boards of `arch` are built for.
fn triple(arch: Arch) -> io::Result<String> {
    let found = target::all()?.into_iter().find(|target| target.debian.as_deref() == Some(arch.debian()));
    let found =
        found.ok_or_else(|| io::Error::other(format!("cross/targets.toml has no {}", arch.debian())))?;
    Ok(found.triple)
}

fn folder(arch: Arch) -> io::Result<PathBuf> {
    Ok(setup::target_dir()?.join("boards").join(arch.oci()))
}

fn up(arch: Arch, rest: &[String]) -> io::Result<()> {
    words::only(rest, &["--files", "--package", "--forward"], &["--fresh"])?;
    let (name, dir) = (arch.oci(), folder(arch)?);
    if let Some(pid) = running(&dir) {
        return Err(io::Error::other(format!(
            "{name} is on (process {pid}); cargo xtask board console {name}, or board down {name} first"
        )));
    }
    let forwards = words::text(rest, "--forward").map(forward).transpose()?;
    setup::for_debian(&[arch])?;
    interrupt::watch()?;
    let package = match words::text(rest, "--package") {
        Some(file) => given_file("--package", file)?,
        None => package(arch, None)?,
    };
    println!("{name}: the agent comes from {}", package.display());
    if rest.iter().any(|word| word == "--fresh") && dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    let files = words::text(rest, "--files").map(|path| given_file("--files", path)).transpose()?;
    fs::create_dir_all(&dir)?;
    let lock = fs::File::create(dir.join("up.lock"))?;
    lock.try_lock().map_err(|_| io::Error::other(format!("another `board up {name}` is at work")))?;
    let files = files.into_iter().collect::<Vec<_>>();
    let began = Instant::now();
    let board = Board::make(arch, &package, &files, dir.clone())?;
    println!("{name}: its disks are made, {:.1} s", began.elapsed().as_secs_f32());
    let boot = board.about_to_boot();
    let mut qemu = board.command(forwards.as_slice())?;
    run(qemu.arg("-daemonize").arg("-pidfile").arg(dir.join(PID)))?;
    println!("{name}: switched on");
    let mut shown = 0;
    let told = boot.until_told(|| {
        interrupt::check()?;
        progress(name, &boot, &mut shown);
        running(&dir).map(drop).ok_or_else(|| io::Error::other("qemu ended"))
    });
    let told = told.map_err(|error| not_up(name, &dir, &board, &error))?;
    let seconds = boot.seconds();
    println!("{name}: {} {seconds:.1} s after it was switched on, the agent is {}", told.state, told.agent);
    println!("  a shell of root's   cargo xtask board console {name}");
    println!("  what it said        {}", board.console().display());
    println!(
        "  an image to run     there: coracle run --network host -d IMAGE; or by a broker: --files DIR with etc/coracle"
    );
    println!("  its network         10.0.2.2 on the board is 127.0.0.1 here");
    if let Some(Forward { from, to }) = forwards {
        println!("                      127.0.0.1:{from} here is port {to} on the board");
    }
    println!("  to switch it off    cargo xtask board down {name}, or as a power cut: --cut");
    if told.is_running() {
        return Ok(());
    }
    Err(io::Error::other(format!("not all of {name} runs; failed: {}", told.failed)))
}

/// A path that was given, as the board is to be made of it.
fn given_file(option: &str, path: &str) -> io::Result<PathBuf> {
    fs::canonicalize(path).map_err(|error| io::Error::other(format!("{option} {path}: {error}")))
}

/// What to say of a board that does not come up: whoever interrupts wants it off again, and whoever waited in vain wants
/// to look at it.
fn not_up(name: &str, dir: &Path, board: &Board, error: &io::Error) -> io::Error {
    let Some(pid) = running(dir) else { return io::Error::other(error.to_string()) };
    if interrupt::check().is_err() {
        let off = kill(Pid::from_raw(pid), Signal::SIGKILL);
        let off = off
            .map_or_else(|error| format!("could not be switched off: {error}"), |()| "is off again".into());
        return io::Error::other(format!("interrupted; {name} {off}, and keeps its disks"));
    }
    io::Error::other(format!(
        "{error}\n{name} is left on; what it said is in {}; cargo xtask board console {name}, or board down {name} --cut",
        board.console().display()
    ))
}

/// `HERE:THERE`, two ports.
fn forward(text: &str) -> io::Result<Forward> {
    let ports = text.split_once(':').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    let (from, to) =
        ports.ok_or_else(|| io::Error::other(format!("--forward wants HERE:THERE, not {text:?}")))?;
    Ok(Forward { from, to })
}

/// Tells each milestone of a boot once.
fn progress(name: &str, boot: &Boot, shown: &mut usize) {
    let said = boot.said();
    let reached = said.lines().filter_map(|line| line.split_once("systemd[1]: Reached target "));
    for (_, target) in reached.clone().skip(*shown) {
        println!("{name}: {:5.1} s  {}", boot.seconds(), target.trim());
    }
    *shown = reached.count();
}

/// The process of the board in `dir`, when it is on.
fn running(dir: &Path) -> Option<i32> {
    let pid = fs::read_to_string(dir.join(PID)).ok()?.trim().parse::<i32>().ok()?;
    // Another program may have the number by now.
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let ours = String::from_utf8_lossy(&line).contains(&*dir.join("console.sock").to_string_lossy());
    ours.then_some(pid)
}

fn down(arch: Arch, rest: &[String]) -> io::Result<()> {
    words::only(rest, &[], &["--cut"])?;
    let (name, dir) = (arch.oci(), folder(arch)?);
    let Some(pid) = running(&dir) else {
        println!("{name} is off already");
        return Ok(());
    };
    let began = Instant::now();
    if rest.is_empty() {
        let mut line = UnixStream::connect(dir.join("console.sock"))?;
        // What it says has to be heard: it stands still where nobody takes its words.
        line.set_read_timeout(Some(LOOK_AGAIN))?;
        let (mut asked, mut heard) = (None, [0; 4096]);
        while running(&dir).is_some() && began.elapsed() < DOWN_MAX {
            // A shell that is only starting throws away what it was told before its prompt.
            if asked.is_none_or(|asked: Instant| asked.elapsed() > ASK_AGAIN) {
                asked = Some(Instant::now());
                // It may have switched itself off since it was looked at. Whatever was typed there is given up first.
                line.write_all(b"\x03\nsystemctl --no-block start poweroff.target\n").ok();
            }
            if matches!(line.read(&mut heard), Ok(0)) {
                std::thread::sleep(LOOK_AGAIN);
            }
        }
    }
    let cut = running(&dir).is_some();
    if cut {
        kill(Pid::from_raw(pid), Signal::SIGKILL)?;
    }
    let how = if cut { "its power is cut" } else { "it has switched itself off" };
    println!("{name}: {how}, {:.1} s", began.elapsed().as_secs_f32());
    Ok(())
}

fn console(arch: Arch, rest: &[String]) -> io::Result<()> {
    words::only(rest, &[], &["--follow"])?;
    let (name, dir) = (arch.oci(), folder(arch)?);
    let board = Board::open(arch, dir.clone());
    let board =
        board.ok_or_else(|| io::Error::other(format!("there is no {name}; cargo xtask board up {name}")))?;
    let said = board.said();
    let before = said.lines().rev().take(BEFORE).collect::<Vec<_>>();
    before.iter().rev().for_each(|line| println!("{line}"));
    if running(&dir).is_none() {
        println!("{name} is off; all that it said is in {}", board.console().display());
        return Ok(());
    }
    if !rest.is_empty() {
        return follow(&board, said.len(), || running(&dir).is_some());
    }
    println!("--- Ctrl-] leaves the console ---");
    let line = UnixStream::connect(board.line())?;
    let terminal = io::stdin().is_terminal();
    if terminal {
        stty(&["raw", "-echo"])?;
    }
    let outcome = relay(line);
    if terminal {
        stty(&["sane"])?;
        println!();
    }
    outcome
}

fn stty(words: &[&str]) -> io::Result<()> {
    let status = Command::new("stty").args(words).stdin(Stdio::inherit()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("stty refused the terminal")) }
}

/// Carries what is typed to the board, and what it says back, until it is off or the console is left.
fn relay(mut line: UnixStream) -> io::Result<()> {
    let mut heard = line.try_clone()?;
    let listener = std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = heard.read(&mut bytes) {
            let mut out = io::stdout().lock();
            if out.write_all(bytes.get(..count).unwrap_or_default()).and_then(|()| out.flush()).is_err() {
                return;
            }
        }
    });
    let mut typed = [0; 256];
    loop {
        let count = io::stdin().read(&mut typed)?;
        let typed = typed.get(..count).unwrap_or_default();
        if typed.contains(&LEAVE) || listener.is_finished() {
            return Ok(());
        }
        // Typed by a program, which may want to hear the answer.
        if typed.is_empty() {
            return listener.join().map_err(|_| io::Error::other("the console broke"));
        }
        line.write_all(typed)?;
    }
}

/// Shows what is said from now on, until the board is off or we are interrupted.
fn follow(board: &Board, mut from: usize, is_on: impl Fn() -> bool) -> io::Result<()> {
    interrupt::watch()?;
    while interrupt::check().is_ok() && is_on() {
        let said = board.said();
        print!("{}", said.get(from..).unwrap_or_default());
        io::stdout().flush()?;
        from = said.len();
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_board_has_a_target() {
        for arch in Arch::ALL {
            let triple = triple(arch).unwrap();
            assert_eq!(target::of(&triple).unwrap().platform, arch.platform(), "{triple}");
        }
    }

    #[test]
    fn boards_are_called_by_their_architecture_and_ports_by_pairs() {
        assert_eq!(arch("arm").unwrap(), Arch::ArmV7);
        assert!(arch("riscv64").unwrap_err().to_string().contains("arm64"));
        assert_eq!(forward("8080:80").unwrap(), Forward { from: 8080, to: 80 });
        assert!(forward("8080").is_err() && forward("a:80").is_err());
    }

    #[test]
    fn a_process_that_is_not_the_boards_does_not_count_as_it() {
        let dir = coracle_test_support::scratch::TempDir::new("board-off");
        fs::write(dir.join(PID), std::process::id().to_string()).unwrap();
        assert_eq!(running(&dir), None);
    }
}
