//! daemon
#[allow(dead_code, unused_imports, reason = "the commands that read it land next")]
mod cli;
#[allow(dead_code, unused_imports, reason = "the commands that read it land next")]
mod config;
mod shim;

fn main() {
    // A shim is made before anything else exists: no thread, no async runtime, no configuration.
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == coracle_host::supervise::SHIM_COMMAND) {
        std::process::exit(shim::main(words));
    }
}
