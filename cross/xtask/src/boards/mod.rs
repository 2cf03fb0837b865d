//! `boards [--only NAME,NAME] [--packages DIR] [--short]`: boards of each architecture, one broker, one registry, one index, and
//! signed documents for the group that all of them are in.
//!
//! ```text
//! generation 1 ── 2 ─┬───── 2 ─┬─── 2 ─┬──── 2 ─┬──── 2 ── 7, and the power fails on the way
//!                    └ 3 ───┘  └ 4 ──┘  └ 5 ───┘ └ 6 ───┘
//!                   crashes   unwell   leaks     forks
//! ```
//!
//! Each document is published once and retained; every board is told by the broker, and pulls, by the one index that
//! the document names, the image that it can run. What a board says, and what answers on it, is held against that.

mod greed;
mod passage;
mod row;
mod scene;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use coracle_test_support::images::Arch;

use self::passage::Passage;
use self::row::Row;
use self::scene::{Nature, Scene};
use crate::{board, interrupt, setup, words};

/// Boards, each with a status at which its power fails in the last update.
const BOARDS: [(Arch, &str); 3] =
    [(Arch::ArmV7, "DOWNLOADING"), (Arch::Arm64, "APPLYING"), (Arch::Amd64, "VERIFYING")];

/// Bad generations of the short form: one that its checks give away, and one that ends again and again.
const SHORT: [Nature; 2] = [Nature::Unwell, Nature::Leaking];
/// The generation that all go back to.
const GOOD: u64 = 2;

/// Does it with all of them, or those that are named.
pub fn command(given: &[String]) -> io::Result<()> {
    words::only(given, &["--only", "--packages"], &["--short"])?;
    let short = given.iter().any(|word| word == "--short");
    let bad = if short { SHORT.as_slice() } else { Nature::BAD.as_slice() };
    let archs = match words::text(given, "--only") {
        Some(names) => names.split(',').map(board::arch).collect::<io::Result<Vec<_>>>()?,
        None => BOARDS.map(|(arch, _)| arch).to_vec(),
    };
    let folder = words::text(given, "--packages").map(PathBuf::from);
    setup::for_debian(&archs)?;
    let package = |arch: &Arch| Ok((*arch, board::package(*arch, folder.as_deref())?));
    let packages = archs.iter().map(package).collect::<io::Result<Vec<_>>>()?;
    interrupt::watch()?;
    let began = Instant::now();
    let scene = Scene::start(&archs)?;
    let mut fleet = Vec::new();
    for (arch, package) in packages {
        let cut_at = BOARDS.iter().find(|(found, _)| *found == arch).map_or("APPLYING", |(_, status)| status);
        let row = Passage::make(&scene, arch, &package, cut_at);
        println!(
            "{:6.1} s  {}: disks made, {}",
            began.elapsed().as_secs_f32(),
            arch.oci(),
            package.display()
        );
        fleet.push(row?);
    }
    let rows = through(&scene, fleet, bad, began)?;
    for row in &rows {
        println!("{}: manifest {} of index {}", row.name, row.manifest, row.index);
        for leg in &row.legs {
            leg.why.iter().for_each(|why| println!("{}: generation {} was {why}", row.name, leg.generation));
        }
        row.notes.iter().for_each(|note| println!("{}: {note}", row.name));
    }
    for line in row::table(&rows) {
        println!("{line}");
    }
    let distinct = |column: fn(&Row) -> &str| rows.iter().map(column).collect::<BTreeSet<_>>().len();
    let (manifests, indexes) = (distinct(|row| &row.manifest), distinct(|row| &row.index));
    let good = rows.iter().filter(|row| row.trouble.is_none()).count();
    let cuts = rows.iter().filter(|row| row.cut.is_some()).count();
    let seconds = began.elapsed().as_secs();
    println!(
        "boards: {} boards, {good} good, {} documents for one group, {manifests} manifests of {indexes} index, \
         rolled back by themselves: {}; {cuts} power cuts survived, in {seconds} s",
        rows.len(),
        bad.len() + 3,
        row::backs(&rows, bad)
    );
    for row in &rows {
        if let Some(trouble) = &row.trouble {
            println!("{}: {trouble}", row.name);
        }
    }
    let one = manifests == rows.len() && indexes == 1;
    if one && good == rows.len() {
        Ok(())
    } else {
        Err(io::Error::other("a board met another end than expected"))
    }
}

/// Has all boards go through everything together; one that met a wrong end is out, the others go on.
fn through(scene: &Scene, mut fleet: Vec<Passage>, bad: &[Nature], began: Instant) -> io::Result<Vec<Row>> {
    each(&mut fleet, began, "running", Passage::switch_on);
    scene.deploy(1, Nature::Good)?;
    each(&mut fleet, began, "on generation 1", |passage| passage.follow(scene, 1));
    scene.deploy(GOOD, Nature::Good)?;
    each(&mut fleet, began, "on generation 2", |passage| passage.follow(scene, GOOD));
    let mut last = GOOD + 1;
    for nature in bad.iter().copied() {
        scene.deploy(last, nature)?;
        each(&mut fleet, began, "back on generation 2", |passage| match nature {
            Nature::Leaking | Nature::Forking => passage.outgrow(scene, last, nature, GOOD),
            Nature::Good | Nature::Crashing | Nature::Unwell => passage.go_back(scene, last, nature, GOOD),
        });
        last += 1;
    }
    scene.deploy(last, Nature::Good)?;
    let done = format!("on generation {last} after a power cut");
    each(&mut fleet, began, &done, |passage| passage.lose_power(scene, last, GOOD));
    interrupt::check()?;
    Ok(fleet.into_iter().map(Passage::end).collect())
}

/// Has each board that is still in do its `step`, all of them at once.
fn each(
    fleet: &mut [Passage],
    began: Instant,
    done: &str,
    step: impl Fn(&mut Passage) -> io::Result<()> + Sync,
) {
    std::thread::scope(|scope| {
        for passage in fleet.iter_mut().filter(|passage| passage.row.trouble.is_none()) {
            scope.spawn(|| {
                let outcome = step(passage);
                let (name, seconds) = (&passage.row.name, began.elapsed().as_secs_f32());
                match outcome {
                    Ok(()) => println!("{seconds:6.1} s  {name}: {done}"),
                    Err(error) => {
                        println!("{seconds:6.1} s  {name}: not {done}: {error}");
                        passage.row.trouble = Some(format!("not {done}: {error}"));
                    }
                }
            });
        }
    });
}
