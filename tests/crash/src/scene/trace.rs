//! Runs a program of a board under strace.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use coracle_test_support::agent::Board;
use coracle_test_support::process::Running;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::problem;
use crate::record::CALLS;

/// How long a program may take under strace, which slows it down.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Bytes of one write that are kept; the longest is a piece of a layer.
const WRITE_BYTES_MAX: &str = "16777216";

/// The words before a program's own.
pub(crate) fn words(output: &Path) -> Vec<String> {
    let output = output.to_string_lossy().into_owned();
    let calls = format!("trace={CALLS}");
    let words = [
        "strace",
        "-I",
        "waiting",
        "-f",
        "-y",
        "-xx",
        "-qq",
        "-s",
        WRITE_BYTES_MAX,
        "-e",
        "signal=none",
        "-e",
        &calls,
        "-o",
        &output,
    ];
    words.map(str::to_owned).to_vec()
}

/// Runs a command of the board to its end; what strace wrote of it.
pub(crate) fn command(board: &Board, words: &[&str], dir: &Path) -> io::Result<String> {
    let output = dir.join("command.trace");
    let own = board.command(words);
    let tracer = self::words(&output);
    let mut command = Command::new(&tracer[0]);
    command.args(&tracer[1..]).arg(own.get_program()).args(own.get_args());
    let running = Running::start("strace", &mut command, &dir.join("command.log"))?;
    finish(running, output, None)
}

/// Waits for the program, asked to end with `signal` if there is one, and takes strace off what it started.
pub(crate) fn finish(mut tracer: Running, output: PathBuf, signal: Option<Signal>) -> io::Result<String> {
    let began = Instant::now();
    let mut program = None;
    while tracer.wait(LOOK_AGAIN)?.is_none() {
        match program.or_else(|| child(tracer.pid())) {
            Some(pid) => {
                if program.is_none()
                    && let Some(signal) = signal
                {
                    kill(Pid::from_raw(pid), signal)?;
                }
                program = Some(pid);
                if !Path::new(&format!("/proc/{pid}")).exists() {
                    tracer.stop(PATIENCE)?;
                }
            }
            None if began.elapsed() > PATIENCE => return Err(problem("strace started nothing")),
            None => {}
        }
        if began.elapsed() > PATIENCE {
            return Err(problem(format!("a traced program does not end: {}", tracer.output())));
        }
    }
    fs::read_to_string(output)
        .map_err(|error| problem(format!("strace wrote nothing: {error}: {}", tracer.output())))
}

/// The program that strace started: before it, strace tries out in children of its own what the kernel can do.
fn child(tracer: u32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{tracer}/task/{tracer}/children")).ok()?;
    let exe = |pid: &str| fs::read_link(format!("/proc/{pid}/exe")).ok();
    let strace = exe(&tracer.to_string())?;
    let program = children.split_whitespace().find(|pid| exe(pid).is_some_and(|exe| exe != strace))?;
    program.parse().ok()
}
