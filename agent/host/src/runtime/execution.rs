//! Another program in a running container.
//!
//! The runtimes do not agree on what their options add to or replace (crun's `--env` drops the container's own
//! environment), so the whole process is handed to them (runtime-spec, "process"), made from the bundle's.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::error::{Attempt, Cause, RuntimeError};
use super::{Runtime, said};
use crate::process;

/// Bytes of a bundle's `config.json`; ours are some 100 KiB, most of it the system call filter.
const CONFIG_BYTES_MAX: u64 = 8 << 20;

/// What to run, and how it differs from the container's first process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Execution {
    /// Program and arguments.
    pub args: Vec<String>,
    /// Give it a terminal; the caller's standard input must be one.
    pub tty: bool,
    /// `NAME=value`, over the container's.
    pub env: Vec<String>,
    /// Absolute; the container's own where absent.
    pub working_dir: Option<String>,
    /// Numbers of user and group; the container's own where absent.
    pub user: Option<(u32, u32)>,
}

impl Runtime {
    /// A command that runs `execution` in the container with the caller's own streams; its exit code is the
    /// program's. The container's bundle says what the program runs as.
    ///
    /// # Errors
    /// [`RuntimeError`] when the bundle cannot be read.
    pub fn execution(
        &self,
        id: &str,
        bundle: &Path,
        execution: &Execution,
    ) -> Result<Executing, RuntimeError> {
        let fail = |cause| RuntimeError::new(Attempt::Execute, id, cause);
        let file = execution.write_process(bundle).map_err(fail)?;
        let mut command = self.command("exec");
        command.arg("--process").arg(file.path()).arg(id);
        Ok(Executing::new(command, file))
    }

    /// `execution` in the container, to be run again and again.
    ///
    /// # Errors
    /// [`RuntimeError`] when the bundle cannot be read.
    pub fn repeated(&self, id: &str, bundle: &Path, execution: &Execution) -> Result<Repeated, RuntimeError> {
        let fail = |cause| RuntimeError::new(Attempt::Execute, id, cause);
        let file = execution.write_process(bundle).map_err(fail)?;
        Ok(Repeated::new(self.clone(), id, file))
    }
}

/// An execution that is ready to start.
#[derive(Debug)]
pub struct Executing {
    command: Command,
    _process: ProcessFile,
}

impl Executing {
    pub(super) fn new(command: Command, process: ProcessFile) -> Self {
        Self { command, _process: process }
    }

    /// The command, to set its streams; they are the caller's own where nothing is set.
    pub fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Starts it and waits for its end, however long that takes.
    ///
    /// # Errors
    /// That of the system.
    pub fn run(mut self) -> io::Result<ExitStatus> {
        process::spawn(&mut self.command)?.wait()
    }
}

/// An execution that is run again and again, with one description for all of them.
#[derive(Debug)]
pub struct Repeated {
    runtime: Runtime,
    id: String,
    process: ProcessFile,
}

impl Repeated {
    pub(super) fn new(runtime: Runtime, id: &str, process: ProcessFile) -> Self {
        Self { runtime, id: id.to_owned(), process }
    }

    /// A command that runs it once; the program's pid, in the caller's numbers, is written to `pid_file`.
    #[must_use]
    pub fn command(&self, pid_file: &Path) -> Command {
        let _ = fs::remove_file(&self.runtime.log);
        let mut command = self.runtime.command("exec");
        command.arg("--pid-file").arg(pid_file).arg("--process").arg(self.process.path()).arg(&self.id);
        command
    }

    /// What the runtime itself complained of in the last run.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        said::read(&self.runtime.log)
    }
}

/// The file that hands the process over; removed when the execution is over.
#[derive(Debug)]
pub(super) struct ProcessFile(PathBuf);

impl ProcessFile {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ProcessFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Execution {
    pub(super) fn write_process(&self, bundle: &Path) -> Result<ProcessFile, Cause> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let config = bundle.join("config.json");
        let process = read(&config).map_err(|error| Cause::Bundle { file: config, error })?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let file = ProcessFile(bundle.join(format!("exec-{}-{count}.json", std::process::id())));
        fs::write(file.path(), self.process(process).to_string())
            .map_err(|error| Cause::Bundle { file: file.path().to_owned(), error })?;
        Ok(file)
    }

    /// The process of this execution, made from the container's own.
    pub(super) fn process(&self, own: Value) -> Value {
        let mut process = own;
        let Some(fields) = process.as_object_mut() else { return process };
        fields.insert("args".to_owned(), json!(self.args));
        fields.insert("terminal".to_owned(), json!(self.tty));
        fields.remove("consoleSize");
        if let Some(directory) = &self.working_dir {
            fields.insert("cwd".to_owned(), json!(directory));
        }
        let name = |variable: &str| variable.split('=').next().map(str::to_owned);
        let over: Vec<_> = self.env.iter().map(|variable| name(variable)).collect();
        if let Some(env) = fields.entry("env").or_insert_with(|| json!([])).as_array_mut() {
            env.retain(|variable| !variable.as_str().is_some_and(|variable| over.contains(&name(variable))));
            env.extend(self.env.iter().map(|variable| json!(variable)));
        }
        if let Some((uid, gid)) = self.user {
            fields.insert("user".to_owned(), json!({"uid": uid, "gid": gid}));
            // Only root holds capabilities by being there; another user gets none from the first process.
            if uid != 0
                && let Some(sets) = fields.get_mut("capabilities").and_then(Value::as_object_mut)
            {
                sets.retain(|set, _| set == "bounding");
            }
        }
        process
    }
}

fn read(config: &Path) -> io::Result<Value> {
    let mut bytes = Vec::new();
    File::open(config)?.take(CONFIG_BYTES_MAX).read_to_end(&mut bytes)?;
    let mut config: Value = serde_json::from_slice(&bytes)?;
    let process = config.get_mut("process").map(Value::take);
    process.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it has no process"))
}
