//! `powercut --cuts N [--board NAME] [--seed S]`: a whole board loses its power at every state that it reports, boots
//! again, and has to run a healthy deployment. Both kinds of boards, unless one is named.

use std::io;

use crate::emulated::{self, Kind, Outcome};
use crate::{interrupt, setup, words};

/// Cuts of the short form that every check runs; they fall where the most is under way.
pub const SHORT: [&str; 4] = ["--cuts", "3", "--from", "3"];

/// Cuts as often as it is told.
pub fn command(given: &[String]) -> io::Result<()> {
    words::only(given, &["--cuts", "--board", "--seed", "--from"], &[])?;
    let count = words::number(given, "--cuts", 30)?;
    let seed = words::number(given, "--seed", 1)?;
    let from = words::number(given, "--from", 0)?;
    let kinds = match words::text(given, "--board") {
        None => Kind::ALL.to_vec(),
        Some(wanted) => Kind::ALL.into_iter().filter(|(name, _)| *name == wanted).collect(),
    };
    if kinds.is_empty() {
        let known = Kind::ALL.map(|(name, _)| name).join(", ");
        return Err(io::Error::other(format!("--board wants one of {known}")));
    }
    for (_, kind) in &kinds {
        match kind {
            Kind::Emulated(_) => setup::for_boards()?,
            Kind::Systemd => setup::for_systemd()?,
        }
    }
    interrupt::watch()?;
    let (mut all, mut lost) = (0, 0);
    for (name, kind) in kinds {
        println!("powercut: a board under {name}, seed {seed}");
        let Outcome { done, bad } = emulated::cuts(kind, count, seed, from)?;
        all += done;
        if let Some(error) = &bad {
            println!("\ncut {done} of {count} ended badly: {error}");
            lost += 1;
        }
    }
    println!("powercut: {all} cuts, {} booted to a healthy deployment, {lost} did not", all - lost);
    if lost == 0 { Ok(()) } else { Err(io::Error::other("a board did not come back")) }
}
