//! Programs of other architectures, run without telling this machine about them.
//!
//! The kernel looks up who runs a foreign program in the user namespace of whoever starts it. Handlers that are
//! registered in a namespace of its own are seen by what runs in it, and are gone with it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::images::Arch;
use crate::scratch::TempDir;

/// Says that the namespace is there, waits until it has its users, has the handler `$1` registered where there is one to
/// be, and becomes the words after it.
const ENTER: &str = r#"
echo there
read -r go
handler=$1; shift
if [ -n "$handler" ]; then
    mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
    cat "/usr/lib/binfmt.d/$handler.conf" > /proc/sys/fs/binfmt_misc/register
fi
exec "$@" >&2 < /dev/null
"#;
/// All users that a tree of Debian's has.
const USERS: &str = "0 0 65536";
/// Lines that an error has of what a program said.
const TAIL: usize = 12;

/// Runs `words` to their end, as root of a user namespace whose users are this machine's, where programs of `arch` run
/// too; that takes `qemu-user-static` and Linux 6.7. An error has the end of what was said.
pub fn run(arch: Arch, words: &[&OsStr]) -> io::Result<()> {
    let handler = match arch {
        Arch::Amd64 => "",
        Arch::Arm64 => "qemu-aarch64",
        Arch::ArmV7 => "qemu-arm",
    };
    let dir = TempDir::new("foreign");
    let log = dir.join("log");
    let mut command = Command::new("unshare");
    command.args(["--user", "--mount", "--propagation", "private", "sh", "-ec", ENTER, "sh", handler]);
    command.args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log)?);
    let mut child = command.spawn()?;
    let entered = enter(&mut child);
    let status = child.wait()?;
    if entered.is_ok() && status.success() {
        return Ok(());
    }
    let why = entered.err().map_or_else(|| status.to_string(), |error| error.to_string());
    Err(io::Error::other(format!("{words:?}: {why}: {}", tail(&log))))
}

/// Gives the namespace its users, which only somebody outside of it can, and has it go on.
fn enter(child: &mut Child) -> io::Result<()> {
    let (output, input) = (child.stdout.take(), child.stdin.take());
    let (Some(output), Some(mut input)) = (output, input) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let mut said = String::new();
    BufReader::new(output).read_line(&mut said)?;
    if said.trim() != "there" {
        return Err(io::Error::other("no user namespace"));
    }
    for map in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{}/{map}", child.id()), USERS)?;
    }
    input.write_all(b"go\n")
}

fn tail(log: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let lines = text.lines().rev().take(TAIL).collect::<Vec<_>>();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::busybox::busybox;

    /// The names of the handlers that this process sees.
    fn handlers() -> Vec<std::ffi::OsString> {
        let entries = fs::read_dir("/proc/sys/fs/binfmt_misc").into_iter().flatten();
        let mut names = entries.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        names.sort();
        names
    }

    #[test]
    fn programs_of_each_architecture_run_and_this_machine_learns_nothing_of_it() {
        let (before, dir) = (handlers(), TempDir::new("foreign-test"));
        for arch in Arch::ALL {
            let (program, file) = (busybox(arch).unwrap(), dir.join(arch.oci()));
            let words = [program.as_os_str(), "cp".as_ref(), "/etc/hostname".as_ref(), file.as_os_str()];
            run(arch, &words).unwrap();
            assert!(file.exists(), "{arch:?}");
        }
        assert_eq!(handlers(), before);
    }

    #[test]
    fn an_error_has_what_the_program_said() {
        let error = run(Arch::Amd64, &["sh".as_ref(), "-c".as_ref(), "echo no such luck; exit 3".as_ref()])
            .unwrap_err();
        assert!(error.to_string().contains("no such luck") && error.to_string().contains('3'), "{error}");
    }
}
