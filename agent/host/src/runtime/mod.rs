//! The OCI runtime (crun by default, runc and youki by path), driven over its command line.
//!
//! Invariant: no call runs longer than its limit or reads more than its bound from the runtime, and a failure
//! carries what the runtime wrote to its log.

mod error;
mod execution;
mod probe;
mod said;

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

pub use error::{Attempt, Cause, RuntimeError};
pub use execution::{Executing, Execution, Repeated};
pub use probe::{RuntimeVersion, Version, probe};

use crate::process;

/// What one command of the runtime may take; a start on an emulated board takes 6 s, a loaded one some more.
const COMMAND_MAX: Duration = Duration::from_secs(60);
/// Bytes taken from a runtime's standard output.
const OUTPUT_BYTES_MAX: u64 = 64 << 10;

/// A runtime, and where it keeps its own records of containers.
#[derive(Debug, Clone)]
pub struct Runtime {
    program: PathBuf,
    root: PathBuf,
    log: PathBuf,
}

/// What a container's first process reads and writes.
#[derive(Debug)]
pub struct Streams {
    /// Standard input; nothing to read where absent.
    pub stdin: Option<OwnedFd>,
    /// Standard output; discarded where absent.
    pub stdout: Option<OwnedFd>,
    /// Standard error; discarded where absent.
    pub stderr: Option<OwnedFd>,
}

/// How a container is made.
#[derive(Debug)]
pub struct Creation<'a> {
    /// Directory that holds `config.json`.
    pub bundle: &'a Path,
    /// Where the runtime writes the first process's pid.
    pub pid_file: &'a Path,
    /// Socket that takes the terminal's other end, where the bundle asks for a terminal.
    pub console_socket: Option<&'a Path>,
    /// The first process's streams; unused with a terminal.
    pub streams: Streams,
}

impl Runtime {
    /// A runtime at `program` (a path, or a name to look for) with its records in `root`; what it complains of
    /// goes to the file `log`.
    #[must_use]
    pub fn new(program: &Path, root: &Path, log: &Path) -> Self {
        Self { program: program.to_owned(), root: root.to_owned(), log: log.to_owned() }
    }

    /// Makes the container: namespaces and mounts are set up, its process waits to be started.
    ///
    /// # Errors
    /// [`RuntimeError`] with what the runtime wrote.
    pub fn create(&self, id: &str, creation: Creation<'_>) -> Result<(), RuntimeError> {
        let mut command = self.command("create");
        command.arg("--bundle").arg(creation.bundle).arg("--pid-file").arg(creation.pid_file);
        if let Some(socket) = creation.console_socket {
            command.arg("--console-socket").arg(socket);
        }
        let stdio = |fd: Option<OwnedFd>| fd.map_or_else(Stdio::null, Stdio::from);
        command.arg(id).stdin(stdio(creation.streams.stdin));
        command.stdout(stdio(creation.streams.stdout)).stderr(stdio(creation.streams.stderr));
        self.run(Attempt::Create, id, &mut command)
    }

    /// Starts the process of a created container.
    ///
    /// # Errors
    /// [`RuntimeError`] with what the runtime wrote.
    pub fn start(&self, id: &str) -> Result<(), RuntimeError> {
        self.quiet(Attempt::Start, id, &["start", id])
    }

    /// Sends `signal` (a name or number) to the container's first process.
    ///
    /// # Errors
    /// [`RuntimeError`] with what the runtime wrote.
    pub fn kill(&self, id: &str, signal: &str) -> Result<(), RuntimeError> {
        self.quiet(Attempt::Kill, id, &["kill", id, signal])
    }

    /// Removes the container with all its processes; one that is not there is not an error.
    ///
    /// # Errors
    /// [`RuntimeError`] with what the runtime wrote.
    pub fn delete(&self, id: &str) -> Result<(), RuntimeError> {
        if !self.root.join(id).exists() {
            return Ok(());
        }
        self.quiet(Attempt::Delete, id, &["delete", "--force", id])
    }

    /// The runtime's own word for the container's state (runtime-spec, "State"): `created`, `running`, `stopped`.
    ///
    /// # Errors
    /// [`RuntimeError`] with what the runtime wrote, or when its answer is not the specification's.
    pub fn state(&self, id: &str) -> Result<String, RuntimeError> {
        let fail = |cause| RuntimeError::new(Attempt::State, id, cause);
        let mut command = self.command("state");
        let _ = std::fs::remove_file(&self.log);
        command.arg(id).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let (status, output) = output(&mut command).map_err(fail)?;
        self.judge(Attempt::State, id, status)?;
        let value: serde_json::Value =
            serde_json::from_slice(&output).map_err(|error| fail(Cause::Answer(error.to_string())))?;
        let word = value.get("status").and_then(serde_json::Value::as_str);
        word.map(str::to_owned).ok_or_else(|| fail(Cause::Answer("it has no status".to_owned())))
    }

    fn command(&self, word: &str) -> Command {
        let mut command = Command::new(&self.program);
        // Runtimes pass this socket on into the container, which then speaks for our own unit.
        command.env_remove("NOTIFY_SOCKET");
        command.arg("--root").arg(&self.root);
        // Containers are placed by path; crun would otherwise ask systemd, which direct mode does without.
        // runc and youki place by path unless told otherwise.
        if self.program.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"crun")) {
            command.arg("--cgroup-manager=cgroupfs");
        }
        command.arg("--log").arg(&self.log).args(["--log-format", "json", word]);
        command
    }

    fn quiet(&self, attempt: Attempt, id: &str, words: &[&str]) -> Result<(), RuntimeError> {
        let (word, rest) = words.split_first().unwrap_or((&"", &[]));
        let mut command = self.command(word);
        command.args(rest).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.run(attempt, id, &mut command)
    }

    fn run(&self, attempt: Attempt, id: &str, command: &mut Command) -> Result<(), RuntimeError> {
        let fail = |cause| RuntimeError::new(attempt, id, cause);
        let _ = std::fs::remove_file(&self.log);
        let mut child = process::spawn(command).map_err(|error| fail(Cause::spawn(&self.program, error)))?;
        let ended = process::wait(&mut child, COMMAND_MAX).map_err(|error| fail(Cause::Wait(error)))?;
        self.judge(attempt, id, ended.ok_or_else(|| fail(Cause::TimedOut(COMMAND_MAX)))?)
    }

    fn judge(&self, attempt: Attempt, id: &str, status: ExitStatus) -> Result<(), RuntimeError> {
        if status.success() {
            return Ok(());
        }
        let said = said::read(&self.log).unwrap_or_else(|| status.to_string());
        Err(RuntimeError::new(attempt, id, Cause::Refused(said)))
    }
}

/// Runs `command` and takes its standard output, both within bounds.
fn output(command: &mut Command) -> Result<(ExitStatus, Vec<u8>), Cause> {
    let program = PathBuf::from(command.get_program());
    let mut child = process::spawn(command).map_err(|error| Cause::spawn(&program, error))?;
    let pipe = child.stdout.take();
    // The answers are smaller than a pipe holds, so the runtime ends without being read.
    let ended = process::wait(&mut child, COMMAND_MAX).map_err(Cause::Wait)?;
    let status = ended.ok_or(Cause::TimedOut(COMMAND_MAX))?;
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes).map_err(Cause::Wait)?;
    }
    Ok((status, bytes))
}

#[cfg(test)]
mod tests;
