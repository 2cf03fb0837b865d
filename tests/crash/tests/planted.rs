//! The check is checked: a recording of the store's own code recovers everywhere, and no longer when barriers are left
//! out of it.

use std::path::Path;
use std::process::Command;

use coracle_core::record::Record;
use coracle_host::files::write_durable;
use coracle_host::store::Store;
use coracle_test_crash::known::Known;
use coracle_test_crash::op::Barrier;
use coracle_test_crash::record::{CALLS, Recorder};
use coracle_test_crash::recording::{Promise, Recording, Segment};
use coracle_test_crash::replay::{Depth, replay};
use coracle_test_support::images::{Arch, Image, Layer, Packing, sample};
use coracle_test_support::process::run;
use coracle_test_support::scratch::TempDir;

const CHILD_STORE: &str = "CORACLE_TEST_CHILD_STORE";
const REFERENCE: &str = "registry.example/app:1";

fn image() -> Image {
    let layers = [sample::lower().unwrap(), sample::upper().unwrap()];
    Image::new(Arch::Amd64, layers.map(|tar| Layer::pack(&tar, Packing::Gzip).unwrap()).to_vec(), &["true"])
}

/// What the traced process does: an image comes into the store, and the journal says so before and after.
fn work(root: &Path) {
    let store = Store::open(root).unwrap();
    let journal = |epoch: u64| {
        let bytes = Record { epoch, ..Record::default() }.to_bytes().unwrap();
        write_durable(&root.join("journal"), &bytes, 0o600).unwrap();
    };
    journal(1);
    let mut known = Known::default();
    let manifest = known.learn(REFERENCE, &image()).unwrap();
    known.pull(&store, &manifest).unwrap();
    journal(2);
    // The last one is trusted in, because its writer goes on.
    store.put_blob(b"goes on").unwrap();
}

/// The process under strace is this test again, told by its environment to work.
fn recorded() -> Recording {
    let dir = TempDir::new("planted");
    let (root, trace) = (dir.join("state"), dir.join("trace"));
    let test = "barriers_that_are_left_out_show_and_none_does_where_all_are_there";
    let calls = format!("trace={CALLS}");
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-y", "-xx", "-qq", "-s", "16777216", "-e", "signal=none", "-e", &calls, "-o"])
        .arg(&trace);
    run(strace.arg(std::env::current_exe().unwrap()).args(["--exact", test]).env(CHILD_STORE, &root))
        .unwrap();
    let mut recorder = Recorder::new(root.as_os_str().as_encoded_bytes());
    recorder.read(&std::fs::read_to_string(trace).unwrap()).unwrap();
    let mut known = Known::default();
    known.learn(REFERENCE, &image()).unwrap();
    let segment = |name: &str, ops, promises| Segment { name: String::from(name), ops, promises };
    let all = recorder.ops.len();
    let manifest = *known.images.keys().next().unwrap();
    let segments = vec![
        segment("work", 0..all - 1, Vec::new()),
        segment("after it", all - 1..all, vec![Promise::Image(REFERENCE.into(), vec![manifest])]),
    ];
    Recording::new("planted", recorder.births, recorder.ops, segments, known)
}

#[test]
fn barriers_that_are_left_out_show_and_none_does_where_all_are_there() {
    if let Some(root) = std::env::var_os(CHILD_STORE) {
        return work(Path::new(&root));
    }
    let recording = recorded();
    let disks = TempDir::new("disks");
    let depth = Depth { seed: 7, seeds: 1, stride: 5, until_bad: false };
    let good = replay(&recording, &recording.ops, depth, &disks).unwrap();
    assert!(good.bad.is_empty(), "{:?}", good.bad.first());
    assert!(good.disks > 50 && good.recovered == good.disks, "{good:?}");
    for barrier in [Barrier::File, Barrier::Directory, Barrier::FileSystem] {
        let depth = Depth { until_bad: true, ..depth };
        let bad = replay(&recording, &recording.without(barrier), depth, &disks).unwrap().bad;
        assert!(!bad.is_empty(), "nobody noticed that {barrier:?} barriers are gone");
    }
}
