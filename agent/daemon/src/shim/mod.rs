//! The shim: one small process over one workload. It joins bundle, mounts, runtime and the workload's place, and
//! outlives the agent.
//!
//! Invariant: it has one thread and no async runtime; it is started before either exists.
//!
//! ```text
//! coracle agent ── coracle shim DIR ──▷ (daemonized) ── lock ── namespace, overlay ── crun create, start
//!  or systemd ── the same, in the unit's own process          │
//!                         ◁── "ok" or why not ──┘            │
//!                                                            ├── health checks, one at a time
//!                                                            ├── init ends ── delete ── policy ── start again
//!                                                            └── SIGTERM ── stop signal ── grace ── SIGKILL
//! ```

mod bundle;
mod checks;
mod container;
mod error;
mod files;
mod probe;
mod relay;
mod root;
mod sources;
mod unit;
mod watch;

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use coracle_host::cgroup;
use coracle_host::mounts;
use coracle_host::process;
use coracle_host::runtime::Runtime;
use coracle_host::supervise::{
    BOARD_ANSWER, Client, Life, Phase, Place, SHIM_ATTACHED, SHIM_CLEAR, SHIM_UNIT, Status, Unit,
};
use nix::sys::prctl;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, chdir, daemon, dup2_stdout};

use container::Frame;
use error::{ShimError, chain, system};
pub(crate) use probe::{PROBE_COMMAND, main as probe};
use watch::Watch;

/// Exit code for a command line that makes no sense.
const USAGE: i32 = 64;

/// The control group of all shims, so that an end of the agent's own group is not theirs.
const SHIMS_GROUP: &str = "coracle/shims";

/// What a shim is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errand {
    /// To run the workload.
    Run,
    /// To run it for a client that listens from the start.
    RunAttached,
    /// To run it once, as the main process of a unit.
    Unit,
    /// To clear away what a killed shim has left.
    Clear,
    /// The same, as the main process of a unit.
    ClearUnit,
}

impl Errand {
    /// Whether the service manager stands over this process.
    fn of_unit(self) -> bool {
        match self {
            Self::Unit | Self::ClearUnit => true,
            Self::Run | Self::RunAttached | Self::Clear => false,
        }
    }
}

/// The hidden command `coracle shim DIR [--clear [--unit] | --attached | --unit]`; the answer is the process's exit code.
pub(crate) fn main(mut words: impl Iterator<Item = OsString>) -> i32 {
    let Some(dir) = words.next() else { return USAGE };
    let errand = match words.next() {
        None => Errand::Run,
        Some(word) if word == SHIM_CLEAR => match words.next() {
            None => Errand::Clear,
            Some(word) if word == SHIM_UNIT => Errand::ClearUnit,
            Some(_) => return USAGE,
        },
        Some(word) if word == SHIM_ATTACHED => Errand::RunAttached,
        Some(word) if word == SHIM_UNIT => Errand::Unit,
        Some(_) => return USAGE,
    };
    run(Path::new(&dir), errand)
}

/// Stands over the workload in `dir` until it is over; the exit code is the process's.
pub(crate) fn run(dir: &Path, errand: Errand) -> i32 {
    match stand(dir, errand) {
        Ok(code) => code,
        Err(error) if errand.of_unit() => unit::give_up(&error),
        Err(error) => {
            let about = if error.is_of_board() { BOARD_ANSWER } else { "" };
            answer(&format!("{about}{}", chain(&error)));
            1
        }
    }
}

/// The runtime as the unit has it, with its records where all shims and the agent look.
pub(crate) fn runtime_of(unit: &Unit, place: &Place) -> Runtime {
    Runtime::new(&unit.runtime, &place.runtime_root(), &place.join("runtime.log"))
}

fn stand(dir: &Path, errand: Errand) -> Result<i32, ShimError> {
    if !errand.of_unit() {
        daemon(true, true).map_err(system("daemon"))?;
    }
    let client = match errand {
        Errand::RunAttached => Some(Client::inherited().map_err(system("client"))?),
        Errand::Run | Errand::Unit | Errand::Clear | Errand::ClearUnit => None,
    };
    // Whatever the agent's own is: containers read the files made here as other users.
    umask(Mode::from_bits_truncate(0o022));
    let group = match errand {
        Errand::Unit => Some(unit::group()?),
        Errand::Run | Errand::RunAttached | Errand::Clear => {
            cgroup::leave_for(SHIMS_GROUP);
            None
        }
        Errand::ClearUnit => None,
    };
    let place = Place::at(dir);
    chdir(place.dir()).map_err(system(place.dir().display()))?;
    let Some(_life) = Life::take(&place).map_err(system("lock"))? else {
        return Err(ShimError::Taken);
    };
    let unit = Unit::read(&place).map_err(system("unit.json"))?.ok_or(ShimError::NoUnit)?;
    let runtime = runtime_of(&unit, &place);
    // A killed shim's container may still run, and would hold the overlay's directories.
    runtime.delete(&place.name())?;
    let mut status = match errand {
        Errand::Run | Errand::RunAttached => Status::starting(&unit.id),
        Errand::Unit => unit::resumed(Status::read(&place).ok().flatten(), &unit.id),
        Errand::Clear | Errand::ClearUnit => {
            let mut status =
                Status::read(&place).ok().flatten().unwrap_or_else(|| Status::starting(&unit.id));
            (status.phase, status.pid, status.pid_ticks) = (Phase::Stopped, None, None);
            status.write(&place).map_err(system("status.json"))?;
            answer("ok");
            return Ok(0);
        }
    };
    status.shim_ticks = process::start_ticks(Pid::this().as_raw());
    live(Job { unit, group, errand, client }, &place, runtime, &mut status).inspect_err(|error| {
        status.phase = Phase::Failed;
        (status.error, status.of_board) = (Some(chain(error)), error.is_of_board());
        let _ = status.write(&place);
    })
}

/// What a shim has to do.
struct Job {
    unit: Unit,
    /// The service manager's control group for it, where it has one.
    group: Option<String>,
    errand: Errand,
    client: Option<Client>,
}

fn live(job: Job, place: &Place, runtime: Runtime, status: &mut Status) -> Result<i32, ShimError> {
    status.write(place).map_err(system("status.json"))?;
    prctl::set_child_subreaper(true).map_err(system("subreaper"))?;
    mounts::private_namespace()?;
    let Job { unit, group, errand, client } = job;
    let frame = Frame::build(unit, place, runtime, group.as_deref())?;
    if errand == Errand::Unit {
        return unit::run(&frame, status);
    }
    let mut watch = Watch::begin(&frame, client, None, status)?;
    watch.run(|| answer("ok"))?;
    Ok(0)
}

/// Tells the starter, once, and lets go of it: it waits for the end of this pipe.
fn answer(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.replace('\n', " "));
    let _ = std::io::stdout().flush();
    if let Ok(null) = OpenOptions::new().write(true).open("/dev/null") {
        let _ = dup2_stdout(null);
    }
}
