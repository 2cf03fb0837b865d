//! `repair [--flips N] [--seed S]`: bytes of a store of more than 200 MB are flipped, one at a time; each has to be
//! found, its layer alone fetched again, and every byte right after it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use coracle_test_support::agent::{Board, Settings};
use coracle_test_support::registry::Registry;
use coracle_test_support::tree::{Look, look};
use serde_json::Value;

use crate::bench::image;
use crate::{interrupt, setup, words};

/// What one round came to.
#[derive(Default)]
struct Sums {
    rounds: u64,
    good: u64,
    fetched: u64,
    layers: u64,
    seconds: f64,
}

/// Flips as often as it is told.
pub fn command(given: &[String]) -> io::Result<()> {
    words::only(given, &["--flips", "--seed"], &[])?;
    let flips = words::number(given, "--flips", 1)?;
    let seed = words::number(given, "--seed", 1)?;
    setup::for_tests()?;
    let exe = setup::agent()?;
    interrupt::watch()?;
    let registry = Registry::start()?;
    println!("repair: seed {seed}; making the image");
    let sample = image::publish(&registry.host(), image::LAYERS)?;
    let mut settings = Settings::new("repair");
    settings.insecure = vec![registry.host()];
    let board = Board::new(&exe, &settings)?;
    coracle(&board, &["pull", "-q", &registry.reference(&sample.name)])?;
    let trees = trees(&board)?;
    let before = looks(&trees);
    let files = files(&before);
    let bytes: u64 = files.iter().map(|(_, length)| length).sum();
    println!("repair: {bytes} bytes in {} files of {} layers", files.len(), trees.len());
    let (mut sums, mut chance) = (Sums::default(), Chance(seed));
    let mut bad = None;
    for _ in 0..flips {
        interrupt::check()?;
        sums.rounds += 1;
        match round(&board, &files, &before, &mut chance, &mut sums) {
            Ok(()) => sums.good += 1,
            Err(error) => bad = Some(error),
        }
    }
    let Sums { rounds, good, fetched, layers, seconds } = sums;
    let verified = if rounds == 0 { 0.0 } else { seconds / rounds as f64 };
    println!(
        "repair: {rounds} bytes flipped in a store of {bytes}, {good} found and repaired, {} not; {verified:.2} s to \
         verify, {fetched} bytes of {layers} layers fetched (a whole pull: {})",
        rounds - good,
        sample.packed
    );
    if bytes < 200_000_000 {
        return Err(io::Error::other(format!("the store has only {bytes} bytes")));
    }
    bad.map_or(Ok(()), Err)
}

/// Flips a byte and has it repaired.
fn round(
    board: &Board,
    files: &[(PathBuf, u64)],
    before: &BTreeMap<PathBuf, Look>,
    chance: &mut Chance,
    sums: &mut Sums,
) -> io::Result<()> {
    let wrong = |what: &str, told: &Value| Err(io::Error::other(format!("{what}: {told:#}")));
    let place = usize::try_from(chance.below(files.len() as u64)).unwrap_or_default();
    let (path, length) = files.get(place).ok_or_else(|| io::Error::other("the store is empty"))?;
    let at = chance.below(*length);
    flip(path, at)?;
    println!("repair: byte {at} of {}", path.display());
    let began = Instant::now();
    let (code, told) = verify(board, &[])?;
    sums.seconds += began.elapsed().as_secs_f64();
    let named = told["findings"][0]["damage"][0]["path"].as_str().unwrap_or("nothing");
    if code != Some(1) || !path.ends_with(named) {
        return wrong("it was not found", &told);
    }
    let (code, told) = verify(board, &["--repair"])?;
    sums.fetched += told["fetchedBytes"].as_u64().unwrap_or_default();
    sums.layers += told["fetchedLayers"].as_u64().unwrap_or_default();
    if code != Some(0) || told["fetchedLayers"] != 1 {
        return wrong("it was not repaired by one layer", &told);
    }
    if looks(&trees(board)?) != *before {
        return wrong("the store is not what it was", &told);
    }
    let (code, told) = verify(board, &[])?;
    if code == Some(0) { Ok(()) } else { wrong("something is left", &told) }
}

fn verify(board: &Board, words: &[&str]) -> io::Result<(Option<i32>, Value)> {
    let output = board.command(&[&["verify", "--json"], words].concat()).output()?;
    let told = serde_json::from_slice(&output.stdout).map_err(|error| {
        io::Error::other(format!("coracle verify: {error}: {}", String::from_utf8_lossy(&output.stderr)))
    })?;
    Ok((output.status.code(), told))
}

fn coracle(board: &Board, words: &[&str]) -> io::Result<()> {
    let output = board.command(words).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("coracle {words:?}: {}", String::from_utf8_lossy(&output.stderr))))
}

/// The trees of the store's layers.
fn trees(board: &Board) -> io::Result<Vec<PathBuf>> {
    let homes = fs::read_dir(board.state_dir().join("layers"))?;
    homes.map(|home| Ok(home?.path().join("tree"))).collect()
}

fn looks(trees: &[PathBuf]) -> BTreeMap<PathBuf, Look> {
    let whole = |tree: &PathBuf| {
        let tree = tree.clone();
        look(&tree).into_iter().map(move |(path, look)| (tree.join(path), look)).collect::<Vec<_>>()
    };
    trees.iter().flat_map(whole).collect()
}

/// Files with content, and how long they are.
fn files(looks: &BTreeMap<PathBuf, Look>) -> Vec<(PathBuf, u64)> {
    let length =
        |path: &Path| fs::symlink_metadata(path).ok().filter(|meta| meta.is_file()).map(|meta| meta.len());
    let files = looks.keys().filter_map(|path| Some((path.clone(), length(path)?)));
    files.filter(|(_, length)| *length > 0).collect()
}

/// Changes one bit, and leaves the file's times as they were: a disk that rots leaves no trace.
fn flip(path: &Path, at: u64) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let modified = file.metadata()?.modified()?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    file.write_all_at(&[byte[0] ^ 1], at)?;
    file.set_modified(modified)
}

/// SplitMix64: the same seed, the same bytes.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        let mut state = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.0 = state;
        state = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        state = (state ^ state >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (state ^ state >> 31) % bound.max(1)
    }
}
