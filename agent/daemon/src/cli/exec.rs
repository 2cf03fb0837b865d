//! `coracle exec`: another command in a running workload, with this terminal.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use coracle_host::runtime::{Execution, Runtime};
use coracle_host::supervise::Phase;

use super::args::Exec;
use super::context;
use crate::config::Settings;
use crate::exit::{Exit, Failure};

/// Runs a command in a workload; its exit code is this command's.
pub(super) fn exec(settings: &Settings, args: &Exec) -> Result<Exit, Failure> {
    let supervisor = context::supervisor(settings)?;
    let status = context::workload(&supervisor, &args.name)?;
    if status.phase != Phase::Running {
        return Err(Failure::usage(format!("{} does not run", status.id)));
    }
    let wrong = |error: &dyn std::error::Error| Failure::new(Exit::Unexpected, error);
    let unit = supervisor.unit(&status.id).map_err(|error| wrong(&error))?;
    let place = supervisor.place(&status.id);
    let log = place.join(&format!("exec-{}.log", std::process::id()));
    let runtime = Runtime::new(&unit.runtime, &place.runtime_root(), &log);
    let execution = Execution { args: args.command.clone(), tty: args.tty, ..Execution::default() };
    let mut executing =
        runtime.execution(&place.name(), place.dir(), &execution).map_err(|error| wrong(&error))?;
    if !args.interactive {
        executing.command().stdin(Stdio::null());
    }
    let ended = executing.run();
    let _ = std::fs::remove_file(&log);
    let ended = ended.map_err(|error| wrong(&error))?;
    let code = ended.code().or_else(|| ended.signal().map(|signal| signal.saturating_add(128))).unwrap_or(1);
    Ok(Exit::Process(u8::try_from(code).unwrap_or(1)))
}
