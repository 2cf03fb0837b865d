//! Files and passphrases that nobody else may see.
//!
//! Invariant: a secret never stands on the command line, where every user of the machine could read it, and a file that
//! others can read is refused with the command that mends it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use coracle_host::console::exit::{Exit, Failure};
use nix::sys::termios::{self, LocalFlags, SetArg};

/// Bytes of a passphrase; nobody types more.
const PASSPHRASE_BYTES_MAX: usize = 1024;
/// The environment's own way to hand one over.
const VARIABLE: &str = "CORACLECTL_PASSPHRASE";

/// The bytes of a file that nobody but its owner can reach.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| Failure::usage(format!("failed to read {}: {error}", path.display()));
    let file = File::open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    // A pipe of the shell's own making (`<(…)`) is nobody else's.
    if found.is_file() && found.mode() & 0o077 != 0 {
        let (path, mode) = (path.display(), found.mode() & 0o777);
        let message = format!("{path} can be reached by others (mode {mode:03o}); run: chmod 600 {path}");
        return Err(Failure { exit: Exit::Configuration, message });
    }
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > bytes_max {
        return Err(Failure::usage(format!("{} is longer than {bytes_max} bytes", path.display())));
    }
    Ok(bytes)
}

/// The first line of a file.
fn first_line(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = read(path, u64::try_from(PASSPHRASE_BYTES_MAX).unwrap_or(u64::MAX))?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

/// The passphrase of the key at `path`, which is number `nth` of those that sign: from `files`, the environment, or the
/// terminal.
pub(crate) fn passphrase(files: &[PathBuf], nth: usize, path: &Path) -> Result<Vec<u8>, Failure> {
    let file = if files.len() == 1 { files.first() } else { files.get(nth) };
    if let Some(file) = file {
        return first_line(file);
    }
    if let Some(given) = from_environment() {
        return Ok(given);
    }
    ask(&format!("passphrase of {}: ", path.display()))
}

/// A new passphrase: from `file`, the environment, or the terminal, where it is asked for twice.
pub(crate) fn new_passphrase(file: Option<&Path>, path: &Path) -> Result<Vec<u8>, Failure> {
    let given = match file {
        Some(file) => first_line(file)?,
        None => match from_environment() {
            Some(given) => given,
            None => {
                let first = ask(&format!("new passphrase of {}: ", path.display()))?;
                if ask("the same again: ")? != first {
                    return Err(Failure::usage("the two passphrases differ; nothing was written"));
                }
                first
            }
        },
    };
    if given.is_empty() {
        return Err(Failure::usage("the passphrase is empty; --no-passphrase leaves a key without one"));
    }
    Ok(given)
}

fn from_environment() -> Option<Vec<u8>> {
    std::env::var_os(VARIABLE).map(OsStringExt::into_vec)
}

/// Asks at the terminal, whatever standard input is, and shows nothing of the answer.
fn ask(prompt: &str) -> Result<Vec<u8>, Failure> {
    let nobody = |error: io::Error| {
        Failure::usage(format!(
            "a passphrase is needed and there is no terminal to ask at ({error}): use --passphrase-file or {VARIABLE}"
        ))
    };
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(nobody)?;
    let silent = Silent::new(&terminal).map_err(nobody)?;
    (&terminal).write_all(prompt.as_bytes()).map_err(nobody)?;
    let mut line = Vec::new();
    let most = u64::try_from(PASSPHRASE_BYTES_MAX + 2).unwrap_or(u64::MAX);
    BufReader::new(&terminal).take(most).read_until(b'\n', &mut line).map_err(nobody)?;
    drop(silent);
    // The line's own end was not shown either.
    let _ = writeln!(&terminal);
    while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        line.pop();
    }
    if line.len() > PASSPHRASE_BYTES_MAX {
        return Err(Failure::usage(format!("the passphrase is longer than {PASSPHRASE_BYTES_MAX} bytes")));
    }
    Ok(line)
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Silent<'a> {
    terminal: &'a File,
    before: termios::Termios,
}

impl<'a> Silent<'a> {
    fn new(terminal: &'a File) -> io::Result<Self> {
        let before = termios::tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        termios::tcsetattr(terminal, SetArg::TCSAFLUSH, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        // Nothing more can be done for a terminal that went away.
        let _ = termios::tcsetattr(self.terminal, SetArg::TCSAFLUSH, &self.before);
    }
}
