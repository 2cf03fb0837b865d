//! `coraclectl`, the operator's tool: keys, signatures, deployments. It works on the operator's computer; boards see
//! nothing of it but documents.

mod args;
mod before;
mod broker;
mod changes;
mod compose;
mod deploy;
mod document;
mod id;
mod keygen;
mod keys;
mod manual;
mod pin;
mod policy;
mod secret;
mod settings;
mod sign;
mod signer;
mod signing;
mod trust;
mod verify;
mod wait;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use coracle_host::console::ended;
use coracle_host::console::exit::{Exit, Failure};

use args::{Arguments, Command};
use settings::Fleet;

fn main() -> ExitCode {
    run().into()
}

/// Reads the command line and does what it says.
fn run() -> Exit {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    ended("coraclectl", dispatch(&arguments))
}

fn dispatch(arguments: &Arguments) -> Result<Exit, Failure> {
    let fleet = || Fleet::load(arguments.fleet.as_deref());
    match &arguments.command {
        Command::Keygen(args) => keygen::keygen(args),
        Command::Sign(args) => sign::sign(args),
        Command::Verify(args) => verify::verify(args),
        Command::Deploy(args) => deploy::deploy(args, &fleet()?),
        Command::Publish(args) => deploy::publish(args, &fleet()?),
        Command::Trust(args) => trust::trust(&args.command, &fleet()?),
        Command::Completions(args) => manual::completions(args.shell, Arguments::command()),
        Command::Man(args) => manual::man(args.directory.as_deref(), Arguments::command()),
    }
}

/// Does the part of a command that goes over the network: on this thread, and few for what blocks.
fn network<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let failed = |error: std::io::Error| Failure::unexpected(format!("failed to start: {error}"));
    // Before the first thread: where the libraries look for the system's authorities is the environment's to say.
    coracle_host::registry::prepare_environment().map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build();
    runtime.map_err(failed)?.block_on(work)
}

/// Characters of a stranger's text that are shown.
const SHOWN_CHARS_MAX: usize = 512;

/// What came over the network, fit for a terminal: bounded, on one line, and without what would steer the terminal or
/// turn the direction of reading.
fn shown(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().take(SHOWN_CHARS_MAX).map(|c| if steers(c) { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_strangers_text_cannot_steer_the_terminal() {
        for (text, expected) in [("plain é", "plain é"), ("a\u{1b}[2Jb\n", "a?[2Jb?"), ("x\u{202e}y", "x?y")]
        {
            assert_eq!(super::shown(text), expected);
        }
        assert_eq!(super::shown(&"x".repeat(9000)).len(), super::SHOWN_CHARS_MAX);
    }
}
