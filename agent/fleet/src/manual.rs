//! Completions and manual pages, made from the definition of the command line.

use std::io;
use std::path::Path;

use clap::Command;
use coracle_host::console::exit::{Exit, Failure};
use coracle_host::console::out;

/// Writes the completion script of a shell.
pub(crate) fn completions(shell: clap_complete::Shell, mut command: Command) -> Result<Exit, Failure> {
    let name = command.get_name().to_owned();
    // The generator panics where writing fails (a closed pipe), so it writes into memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    written(&script)
}

/// Writes the page of the command itself, or one for each command into `directory`.
pub(crate) fn man(directory: Option<&Path>, command: Command) -> Result<Exit, Failure> {
    let Some(directory) = directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).map_err(|error| failed(&error))?;
        return written(&page);
    };
    let unwritten = |error: io::Error| {
        Failure::usage(format!("failed to write pages into {}: {error}", directory.display()))
    };
    std::fs::create_dir_all(directory).map_err(unwritten)?;
    clap_mangen::generate_to(command, directory).map_err(unwritten)?;
    out::line(format_args!("the pages are in {}", directory.display()));
    Ok(Exit::Done)
}

fn written(text: &[u8]) -> Result<Exit, Failure> {
    io::Write::write_all(&mut io::stdout().lock(), text).map_err(|error| failed(&error))?;
    Ok(Exit::Done)
}

fn failed(error: &io::Error) -> Failure {
    Failure::unexpected(format!("failed to write to standard output: {error}"))
}
