//! Runs schedules: `coracle-sim [--schedules N] [--seed S]`; with `--drawing` it shows the page on the machine.

use std::process::ExitCode;
use std::time::Instant;

use coracle_sim::plant::Plant;
use coracle_sim::schedules::{self, many, one};

/// Schedules of a run that says nothing else.
const SCHEDULES: u64 = 100_000;
/// Schedules within which a planted fault must be caught.
const CAUGHT_WITHIN: u64 = 20_000;
/// Lines of a log that are shown of a bad schedule.
const TAIL: usize = 60;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--drawing") {
        print!("{}", coracle_sim::drawing::page());
        return ExitCode::SUCCESS;
    }
    let number = |flag: &str| -> Result<Option<u64>, String> {
        let Some(at) = words.iter().position(|word| word == flag) else { return Ok(None) };
        let value = words.get(at + 1).and_then(|word| word.parse().ok());
        value.map(Some).ok_or_else(|| format!("{flag} wants a number"))
    };
    match (number("--schedules"), number("--seed")) {
        (Ok(None), Ok(Some(seed))) => replay(seed),
        (Ok(schedules), Ok(seed)) => run(seed.unwrap_or(1), schedules.unwrap_or(SCHEDULES)),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("sim: {error}");
            ExitCode::from(64)
        }
    }
}

/// One schedule with its whole log.
fn replay(seed: u64) -> ExitCode {
    let ended = one(seed, None, true);
    for line in &ended.log {
        println!("{line}");
    }
    match ended.bad {
        None => {
            println!("sim: seed {seed} ends well: {}", ended.stands);
            ExitCode::SUCCESS
        }
        Some(bad) => {
            println!("sim: seed {seed} ends badly: {bad}");
            ExitCode::FAILURE
        }
    }
}

fn run(first: u64, count: u64) -> ExitCode {
    let began = Instant::now();
    println!("sim: {count} schedules from seed {first} on");
    let total = many(first, count, None, 3);
    for (seed, bad) in &total.bad {
        let log = one(*seed, None, true).log;
        for line in log.iter().skip(log.len().saturating_sub(TAIL)) {
            println!("{line}");
        }
        println!("sim: seed {seed} ends badly: {bad}; `cargo xtask sim --seed {seed}` shows all of it");
    }
    let ends: Vec<String> = total.ends.iter().map(|(end, count)| format!("{end} {count}")).collect();
    println!("sim: at rest in {}", ends.join(", "));
    let missed = Plant::ALL.iter().filter(|plant| !caught(first, **plant)).count();
    let schedules::Total { schedules, events, cuts, bad, .. } = &total;
    println!(
        "sim: {schedules} schedules, {events} events, {cuts} cuts, {} bad ends; {} of {} planted faults caught; {:.1} s",
        bad.len(),
        Plant::ALL.len() - missed,
        Plant::ALL.len(),
        began.elapsed().as_secs_f32()
    );
    if bad.is_empty() && missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether the simulation finds a planted fault.
fn caught(first: u64, plant: Plant) -> bool {
    let total = many(first, CAUGHT_WITHIN, Some(plant), 1);
    match total.bad.first() {
        Some((seed, bad)) => {
            println!("sim: planted: {plant}: caught by schedule {} (seed {seed}): {bad}", seed - first + 1);
            true
        }
        None => {
            println!("sim: planted: {plant}: NOT caught in {CAUGHT_WITHIN} schedules");
            false
        }
    }
}
