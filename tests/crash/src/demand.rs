//! What a board must be after a power cut: what was published is whole, what was promised is there, and it goes on.

use std::fs;
use std::path::Path;

use coracle_core::deployment::Deployment;
use coracle_core::oci::Digest;
use coracle_core::record::Record;
use coracle_host::files::{self, TEMPORARY_PREFIX};
use coracle_host::store::Store;
use coracle_test_support::tree::look;

use crate::known::Known;
use crate::recording::{JOURNAL, Promise, Version};

/// Bytes of a journal, as the agent bounds it.
const JOURNAL_BYTES_MAX: u64 = 4 << 20;

/// What may be asked of a board that was cut off at one point.
pub struct Demand<'a> {
    /// What its images are.
    pub known: &'a Known,
    /// What was promised.
    pub promises: &'a [Promise],
    /// The journals it may have.
    pub journals: &'a [Version],
    /// Whether it may have none.
    pub may_lack_journal: bool,
}

type Complaints = Vec<String>;

/// Recovers the board as a boot does, then compares, then pulls everything anew. What is wrong with it.
pub fn recover(state_dir: &Path, demand: &Demand<'_>) -> Complaints {
    let mut wrong = Complaints::new();
    let store = match Store::open(state_dir) {
        Ok(store) => store,
        Err(error) => return vec![format!("the store cannot be opened: {error}")],
    };
    if let Err(error) = store.collect_leftovers() {
        wrong.push(format!("leftovers cannot be removed: {error}"));
    }
    match store.collect_leftovers() {
        Ok(0) => {}
        other => wrong.push(format!("leftovers come again: {other:?}")),
    }
    temporaries(state_dir, &mut wrong);
    let record = journal(state_dir, demand, &mut wrong);
    published(&store, demand.known, &mut wrong);
    for promise in demand.promises {
        kept(&store, promise, demand.known, &mut wrong);
    }
    let deployments = record.iter().flat_map(|record| {
        let rollout = &record.rollout;
        [rollout.active.as_ref(), rollout.fallback.as_ref(), rollout.candidate()].into_iter().flatten()
    });
    for deployment in deployments {
        needed(&store, deployment, demand.known, &mut wrong);
    }
    for manifest in demand.known.images.keys() {
        if let Err(problem) = demand.known.pull(&store, manifest) {
            wrong.push(problem);
        }
        whole(&store, manifest, demand.known, "after a new pull", &mut wrong);
    }
    wrong
}

/// What a write left half done is nobody's, and goes.
fn temporaries(state_dir: &Path, wrong: &mut Complaints) {
    for dir in ["", "blobs", "images"] {
        for name in names(&state_dir.join(dir)) {
            if name.starts_with(TEMPORARY_PREFIX) {
                wrong.push(format!("{dir}/{name} was left for ever"));
            }
        }
    }
}

fn journal(state_dir: &Path, demand: &Demand<'_>, wrong: &mut Complaints) -> Option<Record> {
    let bytes = match files::read_bounded(&state_dir.join(JOURNAL), JOURNAL_BYTES_MAX) {
        Ok(Some(bytes)) => bytes,
        Ok(None) if demand.may_lack_journal => return None,
        Ok(None) => {
            wrong.push("the journal is gone".into());
            return None;
        }
        Err(error) => {
            wrong.push(format!("the journal cannot be read: {error}"));
            return None;
        }
    };
    if !demand.journals.iter().any(|version| version.bytes == bytes) {
        wrong.push("the journal is neither the record before nor the one after".into());
    }
    match Record::from_bytes(&bytes) {
        Ok(record) => Some(record),
        Err(error) => {
            wrong.push(format!("the journal is damaged: {error}"));
            None
        }
    }
}

/// Whatever has its final name is whole.
fn published(store: &Store, known: &Known, wrong: &mut Complaints) {
    for name in names(&store.root().join("blobs")) {
        let Some(digest) = Digest::from_hex(&name) else { continue };
        if !matches!(store.blob(&digest), Ok(Some(_))) {
            wrong.push(format!("blob {name} is not what its name says"));
        }
    }
    for name in names(&store.root().join("layers")) {
        if let Some(diff_id) = Digest::from_hex(&name) {
            layer(store, &diff_id, known, "is published", wrong);
        }
    }
    let files =
        names(&store.root().join("images")).into_iter().filter(|name| name.ends_with(".json")).count();
    let images = store.images().unwrap_or_default();
    if images.len() != files {
        wrong.push(format!("of {files} image records only {} can be read", images.len()));
    }
    for image in images {
        for digest in [image.index, image.manifest, image.config] {
            if !matches!(store.blob(&digest), Ok(Some(_))) {
                wrong.push(format!("image {} lacks blob {digest}", image.reference));
            }
        }
        for diff_id in &image.layers {
            layer(store, diff_id, known, &format!("is of image {}", image.reference), wrong);
        }
    }
}

fn layer(store: &Store, diff_id: &Digest, known: &Known, why: &str, wrong: &mut Complaints) {
    if !store.has_layer(diff_id) {
        wrong.push(format!("layer {diff_id} {why} and is not whole"));
        return;
    }
    let Some(expected) = known.layers.get(diff_id).map(|layer| &layer.looks) else {
        wrong.push(format!("layer {diff_id} {why} and nobody knows it"));
        return;
    };
    let found = look(&store.layer_dir(diff_id));
    if found != *expected {
        let paths = expected.keys().chain(found.keys());
        let first = paths.filter(|path| expected.get(*path) != found.get(*path)).min();
        wrong.push(format!("layer {diff_id} {why} and differs at {first:?}"));
    }
}

/// An image with its documents and layers, every byte of them.
fn whole(store: &Store, manifest: &Digest, known: &Known, why: &str, wrong: &mut Complaints) {
    let Some(image) = known.images.get(manifest) else {
        wrong.push(format!("image {manifest} {why} and nobody knows it"));
        return;
    };
    for document in &image.documents {
        let digest = Digest::of(document);
        if !matches!(store.blob(&digest), Ok(Some(_))) {
            wrong.push(format!("image {manifest} {why} and lacks blob {digest}"));
        }
    }
    for diff_id in &image.layers {
        layer(store, diff_id, known, why, wrong);
    }
}

fn kept(store: &Store, promise: &Promise, known: &Known, wrong: &mut Complaints) {
    match promise {
        Promise::Image(reference, manifests) => match store.image(reference) {
            Ok(Some(image)) if manifests.contains(&image.manifest) => {
                whole(store, &image.manifest, known, "was promised", wrong);
            }
            other => wrong.push(format!("image {reference} was promised: {other:?}")),
        },
        Promise::File(path) => {
            let read = fs::read(store.root().join(path)).map_err(serde_json::Error::io);
            if let Err(error) = read.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes)) {
                wrong.push(format!("{path} was promised: {error}"));
            }
        }
    }
}

fn needed(store: &Store, deployment: &Deployment, known: &Known, wrong: &mut Complaints) {
    for workload in deployment.workloads.values() {
        let why = format!("is needed by generation {}", deployment.generation.number);
        whole(store, &workload.image.manifest, known, &why, wrong);
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
