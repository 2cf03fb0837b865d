//! Pulls over links that break, by processes that are killed.

use std::process::Stdio;

use serde_json::Value;

use super::bench::{PATIENCE, ask, exe};
use crate::resume::noise;
use coracle_test_support::agent::{Board, Settings};
use coracle_test_support::archive::{Entry, archive};
use coracle_test_support::faults::{Fault, FaultRegistry, On, Times};
use coracle_test_support::images::{Arch, Image, Layer, Packing};
use coracle_test_support::process::eventually;

/// More than two intervals between checkpoints.
const STALLED_AFTER: u64 = 11 << 20;

/// A registry with an image of one layer of 14 MiB that hardly compresses, and a board without agent or broker.
fn bench() -> (FaultRegistry, Board, u64, String) {
    let registry = FaultRegistry::start();
    let files = (0..28).map(|n| Entry::file(format!("data/{n}"), noise(n + 1, 512 << 10)));
    let layer = Layer::pack(&archive(files), Packing::Gzip).unwrap();
    let (size, digest) = (layer.bytes.len() as u64, layer.digest.clone());
    registry.put_image("big", "1", &Image::new(Arch::Amd64, vec![layer], &["none"]));
    let mut settings = Settings::new("link");
    settings.insecure = vec![registry.host()];
    let board = Board::new(exe(), &settings).unwrap();
    (registry, board, size, digest)
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
    let mut pull = board.command(&["pull", "-q", &reference]);
    let mut pull = pull.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let ingest = board.state_dir().join("ingest");
    let received = || {
        let draft = std::fs::read_dir(&ingest).ok()?.next()?.ok()?.path();
        let bytes = std::fs::read(draft.join("received")).ok()?;
        let received = u64::from_le_bytes(bytes.try_into().ok()?);
        draft.join("checkpoint").exists().then_some(received)
    };
    eventually(PATIENCE, || received().filter(|received| *received == STALLED_AFTER).ok_or("not yet"));
    pull.kill().unwrap();
    pull.wait().unwrap();

    let transfer = pulled(&board, &reference)["transfer"].clone();
    let resumed = transfer["resumedBytes"].as_u64().unwrap();
    assert!((4 << 20..=STALLED_AFTER).contains(&resumed), "{transfer}");
    assert_eq!(transfer["refetchedBytes"].as_u64().unwrap(), STALLED_AFTER - resumed, "{transfer}");
    assert_eq!((&transfer["layers"], &transfer["layerBytes"]), (&1.into(), &size.into()));
    assert_eq!(registry.ranges().last().unwrap(), &format!("bytes={resumed}-{}", size - 1));
    // At most one interval, and what was under way while its checkpoint was made.
    assert!(STALLED_AFTER - resumed <= 5 << 20, "{transfer}");
    assert_eq!(std::fs::read_dir(&ingest).unwrap().count(), 0);
    // What is in the store does not come again.
    let before = registry.bytes_sent();
    assert_eq!(pulled(&board, &reference)["transfer"]["layers"], 0);
    assert!(registry.bytes_sent() - before < 10_000);
}
