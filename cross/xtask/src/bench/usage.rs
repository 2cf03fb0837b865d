//! What a command costs: time, processor, memory.
//!
//! A command is run by a process of its own, whose only children it and its children are: the kernel's account of
//! waited-for children is then the command's account, to the last page.

use std::fs;
use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use coracle_test_support::process::run;
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};

/// The cost of a command, or of a daemon while a command was served.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// From start to return.
    pub wall: Duration,
    /// User and system.
    pub cpu: Duration,
    /// The most that was resident at once, in KiB.
    pub peak_kib: u64,
}

impl Usage {
    /// A client's cost with that of the daemon that served it.
    pub fn and(self, daemon: Self) -> Self {
        Self { wall: self.wall, cpu: self.cpu + daemon.cpu, peak_kib: self.peak_kib + daemon.peak_kib }
    }
}

/// The hidden command: runs the words and prints their cost as the last line.
pub fn measure(words: &[String]) -> io::Result<()> {
    let (program, words) = words.split_first().ok_or_else(|| io::Error::other("measure what?"))?;
    let began = Instant::now();
    let output = Command::new(program).args(words).stdin(Stdio::null()).output()?;
    let wall = began.elapsed();
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(io::Error::other(format!("{program}: {}: {}", output.status, complaint.trim())));
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    let cpu = micros(usage.user_time()) + micros(usage.system_time());
    println!("{}", json!({"wall": wall.as_micros(), "cpu": cpu, "peak": usage.max_rss()}));
    Ok(())
}

/// Runs `command` to its end and hands back what it cost.
pub fn of(command: &Command) -> io::Result<Usage> {
    let mut measured = Command::new(std::env::current_exe()?);
    measured.arg("measure").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => measured.env(name, value),
            None => measured.env_remove(name),
        };
    }
    let told = run(&mut measured)?;
    let told = serde_json::from_str::<Value>(told.trim()).map_err(io::Error::other)?;
    let number = |key: &str| told[key].as_u64().unwrap_or_default();
    let (wall, cpu) = (Duration::from_micros(number("wall")), Duration::from_micros(number("cpu")));
    Ok(Usage { wall, cpu, peak_kib: number("peak") })
}

/// A daemon's account, opened before it serves and closed after.
pub struct Account {
    pid: u32,
    ticks: u64,
}

impl Account {
    /// Opens it; the peak counts from now.
    pub fn open(pid: u32) -> io::Result<Self> {
        // 5 resets the peak resident size: proc(5), clear_refs.
        fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
        Ok(Self { pid, ticks: ticks(pid)? })
    }

    /// Processor time since then, and the peak.
    pub fn close(&self) -> io::Result<Usage> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        let peak_kib = peak.ok_or_else(|| io::Error::other("no VmHWM"))?;
        let cpu = Duration::from_millis((ticks(self.pid)? - self.ticks) * 10);
        Ok(Usage { wall: Duration::ZERO, cpu, peak_kib })
    }
}

/// Ticks of 10 ms that the process and its waited-for children have used: proc(5), stat, fields 14 to 17.
fn ticks(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    Ok(fields.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum())
}

/// Proportional resident size in KiB, from the kernel's own sum.
pub fn pss_kib(pid: u32) -> io::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let pss = pss.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    pss.ok_or_else(|| io::Error::other("no Pss"))
}
