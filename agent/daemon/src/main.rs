//! `coracle`, the update agent of a board: reads arguments and settings, and joins what decides with what acts.

mod agent;
mod cli;
mod config;
mod engine;
mod events;
mod exit;
mod faults;
mod health;
mod images;
mod local;
mod retain;
mod shim;
mod units;

use std::process::ExitCode;

fn main() -> ExitCode {
    // A shim is made before anything else exists: no thread, no async runtime, no configuration.
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == coracle_host::supervise::SHIM_COMMAND) {
        std::process::exit(shim::main(words));
    }
    cli::main().into()
}
