//! `units`: what systemd itself thinks of the files for it: whether units are right, how exposed they are, and what
//! becomes of all files on a board.

use std::io;
use std::path::Path;
use std::process::Command;

use crate::{installed, setup, words};

/// Each unit with its exposure in tenths, from 0 (shut) to 100 (open), as Debian 12's systemd 252 counts. It may only go
/// down: a unit that does better is told to write the new figure here. The workloads' own units are open because what
/// they say is inherited by containers; each container has its own profile instead.
const EXPOSURES: [(&str, u32); 5] = [
    ("coracle.service", 30),
    ("coracle-boot.service", 9),
    ("coracle-workload@.service", 96),
    ("coracle-clear@.service", 96),
    ("coracle-doctor.service", 96),
];

/// Verifies all units, and holds each against its figure.
pub fn command(given: &[String]) -> io::Result<()> {
    words::only(given, &[], &[])?;
    setup::for_units()?;
    let systemd = setup::root()?.join("systemd");
    let services = setup::files(&systemd, ".service")?;
    let slices = setup::files(&systemd, ".slice")?;
    let units = [services.as_slice(), slices.as_slice()].concat();
    let mut bad = verify(&units)?;
    for unit in &services {
        let name = unit.file_name().unwrap_or_default().to_string_lossy();
        let exposure = exposure(unit)?;
        let known = EXPOSURES.iter().find(|(known, _)| *known == name).map(|(_, known)| *known);
        let (whole, tenth) = (exposure / 10, exposure % 10);
        println!("{name:<28} {whole}.{tenth}");
        match known {
            Some(known) if known == exposure => {}
            Some(known) if exposure < known => {
                bad.push(format!("{name} is less exposed than before: write {exposure} into {}", file!()));
            }
            Some(known) => bad.push(format!("{name} is more exposed than before, which was {known} tenths")),
            None => bad.push(format!("{name} has no figure in {}", file!())),
        }
    }
    let installed = installed::try_out(&systemd, &mut bad)?;
    println!(
        "units: {} services and {} slices, {} held against their figures; {} folders made, {} units enabled, {} messages in \
         the catalog; {} complaints",
        services.len(),
        slices.len(),
        EXPOSURES.len(),
        installed.folders,
        installed.enabled,
        installed.messages,
        bad.len()
    );
    if bad.is_empty() { Ok(()) } else { Err(io::Error::other(bad.join("; "))) }
}

/// What systemd complains about.
pub fn verify(units: &[std::path::PathBuf]) -> io::Result<Vec<String>> {
    let shown = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(units).output()?;
    let complaints = String::from_utf8_lossy(&shown.stderr).into_owned();
    // The binary is installed on a board, not here.
    let real = complaints.lines().filter(|line| !line.contains("is not executable"));
    Ok(real.map(str::to_owned).collect())
}

/// The overall exposure of a unit, in tenths.
fn exposure(unit: &Path) -> io::Result<u32> {
    let shown = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(unit)
        .env("LC_ALL", "C.UTF-8")
        .output()?;
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    let line = text.lines().rev().find_map(|line| line.split_once("Overall exposure level for "));
    let figure = line.and_then(|(_, rest)| rest.split(": ").nth(1)?.split(' ').next()?.split_once('.'));
    let tenths = figure.and_then(|(whole, tenth)| {
        whole.parse::<u32>().ok()?.checked_mul(10)?.checked_add(tenth.parse().ok()?)
    });
    let said = || String::from_utf8_lossy(&shown.stderr).trim().to_owned();
    tenths.ok_or_else(|| {
        io::Error::other(format!("{}: no exposure in what systemd-analyze says: {}", unit.display(), said()))
    })
}
