//! What each binary makes of processors: those it is for, an older one, and a kernel of another width.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use nix::sys::signal::Signal;

use super::{Guest, Row, kernels};

/// What has to come of `coracle platform`.
enum Expected {
    /// The platform it names first, and a word of its reasons.
    First(&'static str, &'static str),
    /// The processor refuses the program.
    Refused,
}

use Expected::{First, Refused};

/// Platform of the binary, processor, and what is expected.
const CASES: [(&str, &str, Expected); 12] = [
    ("linux/amd64", "qemu64", First("linux/amd64", "cpuid")),
    ("linux/amd64", "max", First("linux/amd64/v3", "cpuid")),
    ("linux/arm64", "cortex-a53", First("linux/arm64", "personality")),
    ("linux/arm64", "max", First("linux/arm64", "personality")),
    ("linux/arm/v7", "arm1176", Refused),
    ("linux/arm/v7", "cortex-a7", First("linux/arm/v7", "AT_PLATFORM  v7l")),
    ("linux/arm/v7", "cortex-a15", First("linux/arm/v7", "AT_PLATFORM  v7l")),
    // A processor and a kernel that disagree: a program has to tell, and this machine's kernel does not load it.
    ("linux/arm/v7", "max", First("linux/arm/v5", "the program of linux/arm/v7 was not loaded")),
    ("linux/arm/v6", "arm1176", First("linux/arm/v6", "AT_PLATFORM  v6l")),
    ("linux/arm/v6", "cortex-a7", First("linux/arm/v7", "AT_PLATFORM  v7l")),
    ("linux/arm/v6", "cortex-a15", First("linux/arm/v7", "AT_PLATFORM  v7l")),
    ("linux/riscv64", "rv64", First("linux/riscv64", "uname")),
];

/// A row for each processor, and for the 32-bit ones one on a 64-bit kernel.
pub fn rows(guest: &Guest<'_>) -> Vec<Row> {
    let ours = CASES.iter().filter(|(platform, _, _)| *platform == guest.target.platform);
    let mut rows: Vec<Row> = ours
        .map(|(_, cpu, expected)| Row::new(format!("platform -cpu {cpu}"), on(guest, cpu, expected)))
        .collect();
    if guest.target.platform.starts_with("linux/arm/") {
        rows.push(Row::new("platform and 2040, arm64 kernel", on_64_bit(guest)));
    }
    rows
}

fn on(guest: &Guest<'_>, cpu: &str, expected: &Expected) -> io::Result<String> {
    let mut command = Command::new(&guest.target.qemu_user);
    let output = command.args(["-cpu", cpu]).arg(&guest.exe).arg("platform").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let wrong =
        || io::Error::other(format!("{}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr)));
    match expected {
        Refused if output.status.signal() == Some(Signal::SIGILL as i32) => {
            Ok("refused by the processor: illegal instruction".to_owned())
        }
        First(platform, word)
            if output.status.success() && first(&text) == *platform && text.contains(word) =>
        {
            Ok((*platform).to_owned())
        }
        Refused | First(..) => Err(wrong()),
    }
}

/// `this board runs, best first: linux/arm/v7, …`
fn first(text: &str) -> &str {
    let list = text.lines().next().and_then(|line| line.split_once("best first: "));
    list.map_or("", |(_, list)| list.split(", ").next().unwrap_or_default())
}

fn on_64_bit(guest: &Guest<'_>) -> io::Result<String> {
    let text = kernels::platform_on_arm64(&guest.exe)?;
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let said = lines.iter().find(|line| line.contains("a 32-bit agent on a 64-bit kernel"));
    let said = said.filter(|_| first(&text) == "linux/arm64" && lines.contains(&"in 2040: 0"));
    // `build  arm -> a 32-bit agent …`
    let words = said.and_then(|line| line.split_once("-> ")).map(|(_, words)| words.to_owned());
    words.ok_or_else(|| io::Error::other(text.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_platform_is_read_from_the_first_line() {
        assert_eq!(first("this board runs, best first: linux/arm/v7, linux/arm/v6\n  uname"), "linux/arm/v7");
        assert_eq!(first("this board runs, best first: linux/riscv64\n"), "linux/riscv64");
        assert_eq!(first("coracle: failed"), "");
    }
}
