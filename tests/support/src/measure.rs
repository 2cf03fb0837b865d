//! How much memory a program took at the most, by the kernel's own count of it.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Between two looks at a program that runs; its peak only grows, so only what it took in its last moment can be missed.
const LOOK: Duration = Duration::from_millis(1);

/// What a program that ran to its end came to.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
    /// The most that was resident at once, in KiB.
    pub peak_kib: u64,
}

/// Runs `command` to its end, its output in files of `dir`. One that takes longer than `patience` is killed: an error.
pub fn run(command: &mut Command, dir: &Path, patience: Duration) -> io::Result<Ran> {
    let (out, err) = (dir.join("stdout"), dir.join("stderr"));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(fs::File::create(&out)?)
        .stderr(fs::File::create(&err)?)
        .spawn()?;
    let (began, mut peak) = (Instant::now(), 0);
    let (us, exe) = (std::env::current_exe()?, format!("/proc/{}/exe", child.id()));
    let status = loop {
        // The kernel wakes whoever starts a program a moment before it gives that one its own memory: until then the
        // figure is ours. What is not there any more has ended.
        if fs::read_link(&exe).is_ok_and(|exe| exe != us) {
            peak = peak.max(peak_kib(child.id()).unwrap_or(0));
        }
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if began.elapsed() > patience {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other(format!("it had not ended after {} s", patience.as_secs())));
        }
        std::thread::sleep(LOOK);
    };
    let text = |path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(Ran { code: status.code(), out: text(&out)?, err: text(&err)?, peak_kib: peak })
}

/// The most that was resident at once since the process began, or since [`forget_peak`], in KiB.
pub fn peak_kib(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    peak.ok_or_else(|| io::Error::other("no VmHWM"))
}

/// Has the kernel count the peak from now on.
pub fn forget_peak(pid: u32) -> io::Result<()> {
    // proc(5), clear_refs: 5 resets the peak resident size.
    fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::TempDir;

    #[test]
    fn what_a_program_took_and_said_is_told() {
        let dir = TempDir::new("measure");
        let script = "x=$(head -c 20000000 /dev/zero | tr '\\0' x); echo ${#x}; echo no >&2; exit 3";
        let ran =
            run(Command::new("sh").args(["-c", script]), &dir, Duration::from_secs(60)).expect("a shell");
        assert_eq!((ran.code, ran.out.trim(), ran.err.trim()), (Some(3), "20000000", "no"));
        assert!(ran.peak_kib > 20_000, "{}", ran.peak_kib);
    }

    #[test]
    fn a_program_that_does_not_end_is_an_error() {
        let dir = TempDir::new("measure");
        let error = run(Command::new("sleep").arg("60"), &dir, Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("not ended"), "{error}");
    }
}
