//! The commands that look and change nothing: `check-config`, `doctor`, `platform`, `completions` and `man`.

use std::io;
use std::path::Path;

use clap::Command;
use coracle_core::oci::reference::Reference;
use coracle_host::clock;

use super::args::{Doctor, Json, Platform};
use super::doctor::{self, Facts, Handed};
use super::{check_config, context, manual, out, platform, pull, saved_facts};
use crate::config::{self, Settings};
use crate::exit::{Exit, Failure};

/// Checks the configuration and shows where each setting comes from.
pub(super) fn check(config: Option<&Path>, args: &Json) -> Result<Exit, Failure> {
    match config::load(config) {
        Ok(settings) if args.json => out::json(&check_config::json(&settings)),
        Ok(settings) => out::line(check_config::text(&settings)),
        Err(error) if args.json => {
            out::json(&check_config::error_json(&error));
            return Ok(Exit::Configuration);
        }
        Err(error) => return Err(Failure::new(Exit::Configuration, &error)),
    }
    Ok(Exit::Done)
}

/// Examines the board.
pub(super) fn examine(settings: &Settings, args: &Doctor) -> Result<Exit, Failure> {
    let handed = Handed { now: clock::wall(), clock_synced: clock::synced() };
    let findings = doctor::examine(&Facts::gather(settings, &args.registry, handed));
    if args.json {
        out::json(&doctor::json(&findings));
    } else {
        out::line(doctor::text(&findings));
    }
    Ok(if doctor::passed(&findings) { Exit::Done } else { Exit::Unexpected })
}

/// Keeps what the system says of itself for the agent in its sandbox.
pub(super) fn save(settings: &Settings) -> Result<Exit, Failure> {
    saved_facts::write(&settings.run_dir, coracle_host::board::gather()).map_err(|error| {
        Failure::unexpected(format!("failed to write board.json in {}: {error}", settings.run_dir.display()))
    })?;
    Ok(Exit::Done)
}

/// Shows what this board can execute, or why an image fits or does not.
pub(super) fn explain(settings: &Settings, args: &Platform) -> Result<Exit, Failure> {
    let board = context::board(settings, None)?;
    let Some(text) = &args.explain else {
        if args.json {
            out::json(&platform::board_json(&board));
        } else {
            out::line(platform::board_text(&board));
        }
        return Ok(Exit::Done);
    };
    let reference = Reference::parse(text).map_err(|error| Failure::new(Exit::Usage, &error))?;
    let store = context::store(settings)?;
    let images = context::images(settings, &store, None)?;
    let offers =
        context::run(async { images.offers(&reference).await.map_err(|error| pull::failure(&error)) })?;
    if args.json {
        out::json(&platform::explain_json(&board, &offers.entries, &offers.selection));
    } else {
        out::line(platform::explain_text(&board, &offers.entries, &offers.selection));
    }
    Ok(if offers.selection.chosen.is_some() { Exit::Done } else { Exit::Unexpected })
}

/// Writes a completion script.
pub(super) fn completions(shell: clap_complete::Shell, command: Command) -> Result<Exit, Failure> {
    written(manual::completions(shell, command, &mut io::stdout().lock()))
}

/// Writes the manual pages.
pub(super) fn man(directory: Option<&Path>, command: Command) -> Result<Exit, Failure> {
    match directory {
        Some(directory) => match manual::pages(command, directory) {
            Ok(_) => Ok(Exit::Done),
            Err(error) => {
                Err(Failure::usage(format!("failed to write pages into {}: {error}", directory.display())))
            }
        },
        None => written(manual::page(command, &mut io::stdout().lock())),
    }
}

fn written(result: io::Result<()>) -> Result<Exit, Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::unexpected(format!("failed to write to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(Exit::Done),
    }
}
