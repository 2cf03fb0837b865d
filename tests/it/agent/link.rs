//! Pulls over links that break, by processes that are killed.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use super::bench::{Bench, PATIENCE, ask, broker, exe, idle};
use super::document::{Desired, site};
use crate::resume::noise;
use coracle_test_support::agent::{Board, Settings};
use coracle_test_support::archive::{Entry, archive};
use coracle_test_support::faults::{Fault, FaultRegistry, On, Times};
use coracle_test_support::images::{Arch, Image, Layer, Packing};
use coracle_test_support::process::eventually;

/// More than an interval between checkpoints.
const STALLED_AFTER: u64 = 11 << 20;

/// Bytes a second, so that a checkpoint is worth its while.
const SPEED: &str = "4000000";

/// A layer of 14 MiB that hardly compresses.
pub(super) fn big() -> Layer {
    let files = (0..28).map(|n| Entry::file(format!("data/{n}"), noise(n + 1, 512 << 10)));
    Layer::pack(&archive(files), Packing::Gzip).unwrap()
}

/// A registry with an image of that layer, and a board without agent or broker.
fn bench() -> (FaultRegistry, Board, u64, String) {
    let registry = FaultRegistry::start();
    let layer = big();
    let (size, digest) = (layer.bytes.len() as u64, layer.digest.clone());
    registry.put_image("big", "1", &Image::new(Arch::Amd64, vec![layer], &["none"]));
    let mut settings = Settings::new("link");
    settings.insecure = vec![registry.host()];
    let board = Board::new(exe(), &settings).unwrap();
    (registry, board, size, digest)
}

/// Waits until a board has all that a stalled registry gave of the layer, and a checkpoint in it.
#[track_caller]
fn until_stalled(ingest: &Path) {
    let stalled = |draft: &Path| {
        let received = std::fs::read(draft.join("received")).unwrap_or_default();
        received == STALLED_AFTER.to_le_bytes() && draft.join("checkpoint").exists()
    };
    eventually(PATIENCE, || {
        std::fs::read_dir(ingest).into_iter().flatten().flatten().any(|draft| stalled(&draft.path()))
    });
}

fn pulled(board: &Board, reference: &str) -> Value {
    serde_json::from_str(&ask(board, &["pull", "--json", reference])).unwrap()
}

#[test]
fn a_pull_that_was_killed_goes_on_within_the_layer_and_says_what_came_twice() {
    let (registry, board, size, layer) = bench();
    let reference = registry.reference("big:1");
    let stall = Fault::Stall { after: STALLED_AFTER };
    registry.script(On::get(&layer), Times::Next(1), stall);
    let mut pull = board.command(&["pull", "-q", "--max-bps", SPEED, &reference]);
    let mut pull = pull.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let ingest = board.state_dir().join("ingest");
    until_stalled(&ingest);
    pull.kill().unwrap();
    pull.wait().unwrap();

    let transfer = pulled(&board, &reference)["transfer"].clone();
    let resumed = transfer["resumedBytes"].as_u64().unwrap();
    assert!((8 << 20..=STALLED_AFTER).contains(&resumed), "{transfer}");
    assert_eq!(transfer["refetchedBytes"].as_u64().unwrap(), STALLED_AFTER - resumed, "{transfer}");
    assert_eq!((&transfer["layers"], &transfer["layerBytes"]), (&1.into(), &size.into()));
    assert_eq!(registry.ranges().last().unwrap(), &format!("bytes={resumed}-{}", size - 1));
    assert_eq!(std::fs::read_dir(&ingest).unwrap().count(), 0);
    // What is in the store does not come again.
    let before = registry.bytes_sent();
    assert_eq!(pulled(&board, &reference)["transfer"]["layers"], 0);
    assert!(registry.bytes_sent() - before < 10_000);
}

#[test]
fn an_agent_that_was_killed_within_a_layer_goes_on_there() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    let (layer, mut image) = (big(), idle("big"));
    let digest = layer.digest.clone();
    image.layers.push(layer);
    registry.put_image("big", "1", &image);
    registry.script(On::get(&digest), Times::Next(1), Fault::Stall { after: STALLED_AFTER });
    let mut bench = Bench::start(&broker, &registry.host(), "resumed");
    let policy = json!({"download": {"maxBps": SPEED.parse::<u64>().unwrap()}});
    Desired::new("resumed", 1, site(&registry.reference("big:1"))).policy(&policy).send(&broker);
    until_stalled(&bench.board.state_dir().join("ingest"));
    bench.board.crash().unwrap();
    bench.board.start().unwrap();
    bench.until_state(1, "SUCCEEDED");
    let asked = registry.requests();
    let ranges: Vec<_> = asked.iter().filter(|seen| seen.path.contains(&digest)).collect();
    let from = ranges.last().unwrap().header("range").trim_start_matches("bytes=").split('-').next().unwrap();
    let from: u64 = from.parse().unwrap();
    assert_eq!(ranges.len(), 2);
    assert!((8 << 20..=STALLED_AFTER).contains(&from), "went on at {from}");
}
