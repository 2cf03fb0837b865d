//! `powercut --cuts N [--seed S]`: a whole board loses its power at every state that it reports, boots again, and has
//! to run a healthy deployment.

use std::io;

use crate::emulated::{self, Outcome};
use crate::{interrupt, setup, words};

/// Cuts of the short form that every check runs; they fall where the most is under way.
pub const SHORT: [&str; 4] = ["--cuts", "3", "--from", "3"];

/// Cuts as often as it is told.
pub fn command(given: &[String]) -> io::Result<()> {
    words::only(given, &["--cuts", "--seed", "--from"], &[])?;
    let count = words::number(given, "--cuts", 30)?;
    let seed = words::number(given, "--seed", 1)?;
    let from = words::number(given, "--from", 0)?;
    setup::for_boards()?;
    interrupt::watch()?;
    println!("powercut: seed {seed}; a board under qemu loses what its kernel had not written");
    let Outcome { done, bad } = emulated::cuts(count, seed, from)?;
    let lost = u64::from(bad.is_some());
    if let Some(error) = &bad {
        println!("\n{error}");
    }
    println!("powercut: {done} cuts, {} booted to a healthy deployment, {lost} did not", done - lost);
    bad.map_or(Ok(()), |_| Err(io::Error::other(format!("cut {done} of {count} ended badly"))))
}
