//! What registries and people say of images: references, manifests, indexes, image configs.

use std::collections::BTreeSet;

use coracle_core::board::{Facts, detect};
use coracle_core::limits::{INDEX_ENTRIES_MAX, LAYERS_MAX};
use coracle_core::oci::config::{ExecConfig, ImageConfig};
use coracle_core::oci::layer::Compression;
use coracle_core::oci::manifest::{Document, MEDIA_TYPES};
use coracle_core::oci::reference::Reference;
use coracle_core::oci::select::{NoMatch, Verdict, select};
use coracle_core::oci::{Descriptor, Digest, Platform};

use serde_json::Value;

use crate::told::told;

/// Boards of the fixtures, one for each family of processors.
const BOARDS: [&str; 5] = [
    include_str!("../../data/boards/pi-zero.json"),
    include_str!("../../data/boards/32-on-64.json"),
    include_str!("../../data/boards/pi-4-64.json"),
    include_str!("../../data/boards/amd64-v3.json"),
    include_str!("../../data/boards/riscv64.json"),
];

/// A reference is the same once written and read, and safe in a URL.
pub(crate) fn reference(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let reference = match Reference::parse(text) {
        Ok(reference) => reference,
        Err(error) => return told(&error),
    };
    let written = reference.to_string();
    assert_eq!(Reference::parse(&written).as_ref(), Ok(&reference), "{written}");
    let json = serde_json::to_string(&reference).expect("a text");
    assert_eq!(serde_json::from_str::<Reference>(&json).expect("the same"), reference);
    let safe = |c: char| c.is_ascii_graphic() && !r#""\<>{}|^`?#%"#.contains(c);
    assert!(written.chars().all(safe) && reference.name().len() <= 255, "{written}");
    let steps_up = reference.repository().split('/').any(|part| matches!(part, "" | "." | ".."));
    assert!(!steps_up && reference.tag().is_none_or(|tag| !tag.contains('/')), "{written}");
    let pinned = reference.pinned(Digest::of(data));
    assert_eq!(Reference::parse(&pinned.to_string()), Ok(pinned));
}

/// A manifest or index is one thing only, within its bounds, and of an index nothing is taken that the board cannot run.
pub(crate) fn manifest(data: &[u8]) {
    let Some((board, json)) = data.split_first() else { return };
    let document = match Document::parse(json) {
        Ok(document) => document,
        Err(error) => return told(&error),
    };
    let agreeing = MEDIA_TYPES.iter().filter(|media_type| document.agrees_with(media_type).is_ok()).count();
    assert_eq!(agreeing, 2, "an index and a manifest at once");
    match document {
        Document::Manifest(manifest) => {
            assert!(manifest.layers.len() <= LAYERS_MAX);
            for layer in &manifest.layers {
                if let Err(error) = Compression::of(&layer.media_type) {
                    told(&error);
                }
            }
            manifest.layers.iter().for_each(written);
        }
        Document::Index(index) => {
            assert!(index.manifests.len() <= INDEX_ENTRIES_MAX);
            index.manifests.iter().for_each(written);
            chosen(*board, &index.manifests);
        }
    }
}

/// A descriptor is the same once written and read.
fn written(descriptor: &Descriptor) {
    let json = serde_json::to_vec(descriptor).expect("JSON");
    assert_eq!(&serde_json::from_slice::<Descriptor>(&json).expect("the same"), descriptor);
}

fn chosen(board: u8, offered: &[Descriptor]) {
    let runs = platforms(board);
    let selection = select(&runs, offered);
    assert_eq!(selection.verdicts.len(), offered.len());
    selection.verdicts.iter().for_each(told);
    let taken = |verdict: &&Verdict| matches!(verdict, Verdict::Taken { .. } | Verdict::TakenUnnamed);
    assert_eq!(selection.verdicts.iter().filter(taken).count(), usize::from(selection.chosen.is_some()));
    let Some(entry) = selection.chosen.map(|at| &offered[at]) else {
        return told(&NoMatch::new(&runs, offered));
    };
    assert!(
        !entry.annotations.contains_key("vnd.docker.reference.type")
            && !MEDIA_TYPES[..1].contains(&entry.media_type.as_str())
    );
    assert!(entry.artifact_type.as_ref().is_none_or(String::is_empty));
    let Some(platform) = entry.platform.as_ref().filter(|platform| !platform.architecture.is_empty()) else {
        return;
    };
    let platform = platform.normalized();
    let runs_it = |own: &Platform| {
        let own = own.normalized();
        let have: BTreeSet<&String> = own.os_features.iter().collect();
        (own.os, own.architecture, own.variant)
            == (platform.os.clone(), platform.architecture.clone(), platform.variant.clone())
            && platform.os_features.iter().all(|feature| have.contains(feature))
    };
    assert!(runs.iter().any(runs_it), "{platform} was taken for a board that runs {runs:?}");
}

/// What one of the boards runs.
fn platforms(board: u8) -> Vec<Platform> {
    let recorded: Value =
        serde_json::from_str(BOARDS[usize::from(board) % BOARDS.len()]).expect("a board of the fixtures");
    let facts: Facts = serde_json::from_value(recorded["facts"].clone()).expect("its facts");
    detect(&facts, &[]).platforms
}

/// An image config is read within its bounds, and what is kept of it is the same once written and read.
pub(crate) fn config(data: &[u8]) {
    let config = match ImageConfig::parse(data) {
        Ok(config) => config,
        Err(error) => return told(&error),
    };
    assert!(config.diff_ids.len() <= LAYERS_MAX);
    told(config.platform());
    let json = serde_json::to_vec(&config.exec).expect("JSON");
    assert_eq!(serde_json::from_slice::<ExecConfig>(&json).expect("the same"), config.exec);
}
