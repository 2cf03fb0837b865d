//! The command line: each command is one function from settings and arguments to how the process ends.

mod apply;
mod args;
mod attach;
mod boot;
mod check_config;
pub(crate) mod context;
mod control;
pub(crate) mod doctor;
mod exec;
mod health;
mod history;
mod images;
mod inspect;
mod manual;
mod platform;
mod progress;
mod pull;
mod run;
mod saved_facts;
mod status;
mod trust;
mod trust_image;
mod verify;
mod why;
mod workloads;

use clap::{CommandFactory as _, Parser as _};
use coracle_host::clock;
use coracle_host::console::ended;
pub(crate) use coracle_host::console::out;
use coracle_host::process::keep_memory_private;

use self::args::{Arguments, Command};
use crate::agent;
use crate::config::Settings;
use crate::events;
use crate::exit::{Exit, Failure};

/// Reads the command line and does what it says.
pub(crate) fn main() -> Exit {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    let end = dispatch(&arguments);
    if let Err(Failure { exit, message }) = &end
        && events::ends_early(*exit, message)
    {
        return *exit;
    }
    ended("coracle", end)
}

fn dispatch(arguments: &Arguments) -> Result<Exit, Failure> {
    let config = arguments.config.as_deref();
    let inspected = || -> Result<Settings, Failure> {
        let settings = context::settings(config)?;
        prepare()?;
        Ok(settings)
    };
    let board = || {
        let settings = inspected()?;
        // Said at once: without it, some would only see nothing where there is something.
        if !nix::unistd::geteuid().is_root() {
            return Err(Failure::usage("images and workloads are root's: run this as root (sudo coracle …)"));
        }
        Ok(settings)
    };
    match &arguments.command {
        // These work on a board whose configuration does not.
        Command::CheckConfig(args) => inspect::check(config, args),
        Command::Completions(args) => inspect::completions(args.shell, Arguments::command()),
        Command::Man(args) => inspect::man(args.directory.as_deref(), Arguments::command()),
        Command::Agent => agent::agent(board()?, config),
        Command::Boot => boot::boot(&board()?),
        Command::Status(args) => status::status(&board()?, args),
        Command::Confirm(args) => control::confirm(&board()?, args),
        Command::Cancel(args) => control::cancel(&board()?, args),
        Command::Retry(args) => control::retry(&board()?, args),
        Command::Rollback(args) => control::rollback(&board()?, args),
        Command::Hold(args) => control::hold(&board()?, args),
        Command::History(args) => history::history(&board()?, args),
        Command::Health(args) => health::health(&board()?, args),
        Command::Why(args) => why::why(&board()?, args),
        Command::Refresh(args) => control::refresh(&board()?, args),
        Command::Restart(args) => control::restart(&board()?, args),
        Command::Diag(args) => control::diag(&board()?, args),
        Command::Apply(args) => apply::apply(&board()?, args),
        Command::Trust(args) => trust::trust(&board()?, &args.command),
        Command::Pull(args) => pull::pull(&board()?, args),
        Command::Run(args) => run::run(&board()?, args),
        Command::Ps(args) => workloads::ps(&board()?, args),
        Command::Logs(args) => workloads::logs(&board()?, args),
        Command::Stop(args) => workloads::stop(&board()?, args),
        Command::Rm(args) => workloads::rm(&board()?, args),
        Command::Exec(args) => exec::exec(&board()?, args),
        Command::Attach(args) => attach::attach(&board()?, args),
        Command::Images(args) => images::images(&board()?, args),
        Command::Prune(args) => images::prune(&board()?, args),
        Command::Verify(args) => verify::verify(&board()?, args),
        Command::Doctor(args) => inspect::examine(&inspected()?, args),
        Command::Platform(args) if args.save => inspect::save(&board()?),
        Command::Platform(args) if args.explain.is_none() => inspect::explain(&inspected()?, args),
        Command::Platform(args) => inspect::explain(&board()?, args),
    }
}

/// What must be done before the first thread, and before anything secret is read.
fn prepare() -> Result<(), Failure> {
    keep_memory_private();
    // Without a clock of its own, a board judges certificates by the time that this program is from.
    if let Some(built) = std::env::current_exe().ok().and_then(|exe| clock::modified(&exe)) {
        clock::at_least(built);
    }
    coracle_host::registry::prepare_environment()
        .map_err(|error| Failure::unexpected(format!("failed to prepare for TLS: {error}")))
}
