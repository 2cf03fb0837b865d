//! `coraclectl`, the operator's tool: keys, signatures, deployments. It works on the operator's computer; boards see
//! nothing of it but documents.

mod args;
mod document;
mod keygen;
mod keys;
mod manual;
mod secret;
mod sign;
mod signer;
mod signing;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use coracle_host::console::exit::{Exit, Failure};
use coracle_host::console::out;

use args::{Arguments, Command};

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
    match dispatch(&arguments) {
        Ok(exit) => exit,
        Err(Failure { exit, message }) => {
            out::note(format_args!("coraclectl: {message}"));
            exit
        }
    }
}

fn dispatch(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::Keygen(args) => keygen::keygen(args),
        Command::Sign(args) => sign::sign(args),
        Command::Verify(args) => verify::verify(args),
        Command::Completions(args) => manual::completions(args.shell, Arguments::command()),
        Command::Man(args) => manual::man(args.directory.as_deref(), Arguments::command()),
    }
}
