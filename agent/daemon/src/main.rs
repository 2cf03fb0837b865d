//! `coracle`, the update agent of a board: reads arguments and settings, and joins what decides with what acts.

mod agent;
mod cli;
mod config;
mod endings;
mod engine;
mod events;
mod faults;
mod image_policy;
mod images;
mod local;
mod pace;
mod pins;
mod provisioning;
mod restarts;
mod retain;
mod room;
mod saved;
mod scrub;
mod shim;
mod trust;
mod units;

use std::process::ExitCode;

pub(crate) use coracle_host::console::exit;

fn main() -> ExitCode {
    // Where it cannot be done there is no /proc either, and without that no container starts.
    let _ = coracle_host::process::keep_descriptors_back();
    // A shim is made before anything else exists: no thread, no async runtime, no configuration.
    let mut words = std::env::args_os().skip(1);
    match words.next() {
        Some(word) if word == coracle_host::supervise::SHIM_COMMAND => std::process::exit(shim::main(words)),
        Some(word) if word == shim::PROBE_COMMAND => std::process::exit(shim::probe(words)),
        Some(_) | None => {}
    }
    cli::main().into()
}
