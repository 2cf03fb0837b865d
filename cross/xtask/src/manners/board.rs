//! The same on a board: control groups of version 2 under systemd, our units as they are shipped, and flash that writes
//! slowly. Our pull runs in the sandbox and the slice of `coracle.service`, once as it is and once giving way to nobody.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use coracle_test_support::boards::{Board, Slow};
use coracle_test_support::emulated::{HOST, libraries};
use coracle_test_support::images::Arch;
use coracle_test_support::process::run;
use coracle_test_support::registry::Registry;
use coracle_test_support::scratch::TempDir;

use super::latency::Latency;
use super::{Measured, Run};
use crate::bench::{image, podman};
use crate::build::mib;
use crate::{board, interrupt, setup};

/// What the four are called, in the order of `board.sh`.
pub const PARTS: [&str; 4] = ["alone", "coracle", "urgent", "podman"];
/// What a slow card writes.
const DISK: Slow = Slow { bytes: 8 << 20, requests: 400 };
const DISK_MIB: u64 = 1024;
/// One layer of files is enough for a disk that is so slow.
const LAYERS: std::ops::Range<u64> = 0..1;
const SCRIPT: &str = include_str!("board.sh");
const UNIT: &str = "systemd/usr/lib/systemd/system/coracle.service";
/// For each of the four of a round, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(600);
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Where the board has what is only for this.
const PLACE: &str = "opt/manners";
/// Where podman keeps on the board what is its own, on the slow disk.
const PODMAN: &str = "/var/lib/coracle/manners/podman";

/// Boots the board, and takes down what it says.
pub fn measure(rounds: u64, rate: u64, package: Option<&Path>) -> io::Result<Measured> {
    setup::for_debian(&[Arch::Amd64])?;
    let package = package.map_or_else(|| board::package(Arch::Amd64, None), |file| Ok(file.to_owned()))?;
    interrupt::watch()?;
    let (registry, dir) = (Registry::start()?, TempDir::new("manners"));
    eprintln!("making the image and the board");
    let sample = image::publish(&registry.host(), LAYERS)?;
    let host = registry.host().replace("127.0.0.1", HOST);
    let files = dir.join("files");
    provision(&files, &host, &format!("{host}/{}", sample.name), (rounds, rate))?;
    let home = dir.join("board");
    fs::create_dir_all(&home)?;
    let mut disk = Command::new("mke2fs");
    disk.args(["-q", "-F", "-t", "ext4", "-L", "state"]).arg(home.join("state.img"));
    run(disk.arg(format!("{DISK_MIB}M")))?;
    let board = Board::make(Arch::Amd64, &package, &[files], home)?.slowed(DISK);
    let mut machine = board.boot(&[])?;
    machine.until_told(interrupt::check)?;
    let mut runs = vec![Vec::new(); PARTS.len()];
    for done in 1.. {
        let began = Instant::now();
        let said = loop {
            interrupt::check()?;
            let said = machine.boot().said();
            let lines = said.lines().filter_map(|line| line.split_once("manners: run "));
            if let Some((_, line)) = lines.clone().nth(done - 1) {
                break Some(line.to_owned());
            }
            if said.contains("manners: done") {
                break None;
            }
            if began.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("the board says nothing more:\n{}", tail(&said))));
            }
            std::thread::sleep(LOOK_AGAIN);
        };
        let Some(line) = said else { break };
        let (round, part, run) = read(&line).ok_or_else(|| {
            io::Error::other(format!("{line:?} is no run:\n{}", tail(&machine.boot().said())))
        })?;
        let Latency { p50, p99, max, .. } = run.latency;
        let (name, pull_s) = (PARTS.get(part).copied().unwrap_or_default(), run.pull_s);
        eprintln!(
            "{} of {rounds}: {name}: p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms; {pull_s:.1} s",
            round + 1
        );
        runs.get_mut(part).into_iter().for_each(|runs: &mut Vec<Run>| runs.push(run));
    }
    machine.cut()?;
    Ok(Measured { parts: &PARTS, runs, unpacked: mib(sample.unpacked) })
}

/// `ROUND NAME STATUS FROM TO P50 P99 P999 MAX REQUESTS`, of a run that ended well.
fn read(line: &str) -> Option<(u64, usize, Run)> {
    let mut words = line.splitn(6, ' ');
    let round = words.next()?.parse().ok()?;
    let name = words.next()?;
    let part = PARTS.iter().position(|part| *part == name)?;
    words.next().filter(|status| *status == "0")?;
    let (from, to) = (words.next()?.parse::<f64>().ok()?, words.next()?.parse::<f64>().ok()?);
    let latency = Latency::read(words.next()?)?;
    Some((round, part, Run { latency, pull_s: to - from, peak_mib: 0.0 }))
}

fn tail(said: &str) -> String {
    let lines = said.lines().collect::<Vec<_>>();
    lines.get(lines.len().saturating_sub(30)..).unwrap_or_default().join("\n")
}

/// Writes what the board has beside the package into `files`, which mirrors its root.
fn provision(files: &Path, host: &str, image: &str, (rounds, rate): (u64, u64)) -> io::Result<()> {
    let (place, units) = (files.join(PLACE), files.join("etc/systemd/system"));
    fs::create_dir_all(place.join("lib"))?;
    fs::create_dir_all(units.join("multi-user.target.wants"))?;
    fs::create_dir_all(files.join("etc/coracle"))?;
    let settings =
        format!("device_id = \"manners\"\n[trust]\nunsigned = true\n[registry]\ninsecure = [{host:?}]\n");
    fs::write(files.join("etc/coracle/config.toml"), settings)?;
    run(Command::new("strip")
        .arg("--strip-debug")
        .arg(std::env::current_exe()?)
        .arg("-o")
        .arg(place.join("xtask")))?;
    for program in ["/usr/bin/podman", "/usr/bin/conmon"] {
        let program = Path::new(program);
        fs::copy(program, place.join(program.file_name().unwrap_or_default()))?;
        for library in libraries(program)? {
            fs::copy(&library, place.join("lib").join(library.file_name().unwrap_or_default()))?;
        }
    }
    podman::settings(Path::new(PODMAN), &place)?;
    // It ends with the table of the engine.
    let mut engine = fs::File::options().append(true).open(place.join("containers.conf"))?;
    writeln!(engine, "conmon_path = [\"/{PLACE}/conmon\"]")?;
    let script = place.join("measure");
    fs::write(&script, SCRIPT)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let shipped = fs::read_to_string(setup::root()?.join(UNIT))?;
    for (name, words) in [("pull", ""), ("urgent", "--full-speed ")] {
        let unit = once(&shipped, &format!("/usr/bin/coracle pull --json {words}{image}"));
        fs::write(units.join(format!("manners-{name}.service")), unit)?;
    }
    let measure = "manners.service";
    fs::write(
        units.join(measure),
        format!(
            "[Unit]\nAfter=coracle.service board-said.service\n[Service]\nType=exec\nExecStart=/{PLACE}/measure {rounds} {rate} {image}\n"
        ),
    )?;
    symlink(format!("../{measure}"), units.join("multi-user.target.wants").join(measure))
}

/// The agent's unit, for a command that is done once, with its output in a file.
fn once(shipped: &str, command: &str) -> String {
    const NOT: [&str; 7] =
        ["Type=", "ExecReload=", "ExecStartPre=", "WatchdogSec=", "Restart=", "WantedBy=", "Also="];
    let kept = shipped.lines().filter(|line| !NOT.iter().any(|word| line.starts_with(word)));
    let lines = kept.map(|line| {
        if line.starts_with("ExecStart=") {
            format!("Type=oneshot\nStandardOutput=truncate:/run/manners.pull\nExecStart={command}\n")
        } else {
            format!("{line}\n")
        }
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_read_from_what_the_board_says() {
        let run = |line| {
            read(line).map(|(round, part, run)| (round, part, run.pull_s.to_string(), run.latency.requests))
        };
        assert_eq!(run("0 podman 0 10.5 20.5 1.0 2.0 3.0 4.0 99"), Some((0, 3, "10".into(), 99)));
        assert_eq!(run("0 podman 125 10.5 20.5 1.0 2.0 3.0 4.0 99"), None);
        assert_eq!(run("0 alone 0 10.5 20.5 ready"), None);
    }

    #[test]
    fn a_pull_runs_in_the_sandbox_of_the_agent() {
        let unit =
            once("[Service]\nType=notify\nExecStart=/usr/bin/coracle agent\nProtectProc=invisible\n", "true");
        assert_eq!(
            unit,
            "[Service]\nType=oneshot\nStandardOutput=truncate:/run/manners.pull\nExecStart=true\nProtectProc=invisible\n"
        );
    }
}
