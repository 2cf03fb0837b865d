//! `systemd`: a board that systemd runs. Its workloads are units of their own: what that is worth is tried out here,
//! one proof after the other.

pub mod bench;
mod proofs;
mod provisioned;
mod sandbox;

use std::io;

use crate::{interrupt, setup, words};
use bench::Bench;

/// Tries every proof, and counts those that hold.
pub fn command(given: &[String]) -> io::Result<()> {
    words::only(given, &[], &[])?;
    setup::for_systemd()?;
    interrupt::watch()?;
    let mut bench = Bench::start()?;
    let (mut good, mut bad) = (0, 0);
    // The last of them boot another board, of the same state.
    let running = proofs::FIRST.into_iter().chain(sandbox::ALL).chain(provisioned::ALL);
    for (name, proof) in running.chain(proofs::LAST).chain(provisioned::LAST) {
        interrupt::check()?;
        match proof(&mut bench) {
            Ok(figure) => {
                println!("good  {name}: {figure}");
                good += 1;
            }
            Err(error) => {
                println!("BAD   {name}: {error}\n--- journal of the board ---\n{}", bench.journal());
                bad += 1;
            }
        }
    }
    println!("systemd: {good} proofs hold, {bad} do not");
    if bad == 0 { Ok(()) } else { Err(io::Error::other(format!("{bad} of {} do not hold", good + bad))) }
}
