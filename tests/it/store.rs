//! The store: what is published, what is not, and what a crash leaves.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Cursor, Read, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use coracle_core::oci::{Digest, Platform};
use coracle_core::time::Timestamp;
use coracle_host::files::LockError;
use coracle_host::store::{ImageRecord, Retry, Store, StoreError};
use coracle_test_support::archive::{Entry, archive, gzip, zstd};
use coracle_test_support::scratch::TempDir;

use crate::unpack::{Mounted, TAR, ingest, spec, store};

fn layer(name: &str) -> Vec<u8> {
    archive([Entry::file(name, name.repeat(100)), Entry::dir("d"), Entry::symlink("d/l", "/")])
}

fn count(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().count()
}

/// The blob fails with this class, and nothing of it is left.
#[track_caller]
fn refused(blob: &[u8], change: impl Fn(&mut coracle_host::store::LayerSpec), retry: Retry, message: &str) {
    let (dir, store) = store();
    let tar = layer("a");
    let mut wanted = spec(&gzip(&tar), &tar);
    change(&mut wanted);
    let error = ingest(&store, &wanted, blob).unwrap_err();
    assert_eq!(error.retry(), retry, "{error}");
    assert!(error.to_string().contains(message), "{error}");
    assert!(error.to_string().contains(&wanted.descriptor.digest.to_string()), "{error}");
    assert_eq!((count(&dir.join("layers")), count(&dir.join("ingest"))), (0, 0), "{error}");
}

#[test]
fn nothing_is_published_unless_size_and_both_digests_match() {
    let tar = layer("a");
    let good = gzip(&tar);
    let same = |_: &mut coracle_host::store::LayerSpec| {};
    let other = gzip(&layer("b"));
    let padded = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes.resize(good.len(), 0);
        bytes
    };
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;

    refused(&good[..good.len() - 1], same, Retry::Again, "shorter than");
    refused(&good[..good.len() / 2], same, Retry::Again, "shorter than");
    refused(&[], same, Retry::Again, "shorter than");
    refused(&[good.clone(), b"x".to_vec()].concat(), same, Retry::Again, "longer than");
    // Damage in transit is told from a bad archive, although the decoder sees it first.
    refused(&flipped, same, Retry::Again, "has digest");
    refused(&padded(&other[..other.len().min(good.len())]), same, Retry::Again, "has digest");
    refused(&good, |spec| spec.diff_id = Digest::of(b"another"), Retry::Never, "but its image says");
    refused(&good, |spec| spec.descriptor.size += 1, Retry::Again, "shorter than");
    refused(&good, |spec| spec.descriptor.size -= 1, Retry::Again, "longer than");
    refused(&good, |spec| spec.descriptor.digest = Digest::of(b"another"), Retry::Again, "has digest");
    refused(
        &good,
        |spec| spec.descriptor.media_type = "application/json".into(),
        Retry::Never,
        "failed to take",
    );
    refused(&good, |spec| spec.descriptor.size = 1 << 60, Retry::Space, "no room");
}

#[test]
fn what_follows_the_compressed_stream_is_refused() {
    let tar = layer("a");
    for (garbage, stream) in
        [(&b"garbage"[..], gzip(&tar)), (b"garbage", zstd(&tar, 21)), (b"\0\0\0\0", gzip(&tar))]
    {
        let blob = [stream, garbage.to_vec()].concat();
        let (dir, store) = store();
        let error = ingest(&store, &spec(&blob, &tar), &blob).unwrap_err();
        assert!(matches!(error, StoreError::Unpack { .. }), "{error:?}");
        assert_eq!(error.retry(), Retry::Never);
        assert_eq!((count(&dir.join("layers")), count(&dir.join("ingest"))), (0, 0));
    }
    for stream in [gzip(&tar), zstd(&tar, 21)] {
        let blob = &stream[..stream.len() - 3];
        let (_dir, store) = store();
        let error = ingest(&store, &spec(blob, &tar), blob).unwrap_err();
        assert!(matches!(error, StoreError::Unpack { .. }), "{error:?}");
    }
}

#[test]
fn an_input_that_fails_is_the_transfers_fault() {
    struct Failing(Cursor<Vec<u8>>);
    impl Read for Failing {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            match self.0.read(out)? {
                0 => Err(io::ErrorKind::ConnectionReset.into()),
                count => Ok(count),
            }
        }
    }
    let tar = layer("a");
    let blob = gzip(&tar);
    let (_dir, store) = store();
    let error = store
        .ingest_layer(&spec(&blob, &tar), Failing(Cursor::new(blob[..40].to_vec())), |_| {})
        .unwrap_err();
    assert!(
        matches!(&error, StoreError::Input { source, .. } if source.kind() == io::ErrorKind::ConnectionReset)
    );
    assert_eq!(error.retry(), Retry::Again);
}

#[test]
fn a_full_disk_is_told_by_type_and_leaves_nothing() {
    let dir = TempDir::new("full");
    let mounted = Mounted::new("tmpfs", "size=1m", dir.path());
    let store = Store::open(dir.path()).unwrap();
    let tar = archive([Entry::file("big", vec![1; 3 << 20])]);
    let blob = gzip(&tar);
    let error = ingest(&store, &spec(&blob, &tar), &blob).unwrap_err();
    let (layers, drafts) = (count(&dir.join("layers")), count(&dir.join("ingest")));
    drop(mounted);
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::Space);
    assert_eq!((layers, drafts), (0, 0));
}

#[test]
fn two_at_once_publish_one_layer() {
    let (dir, store) = store();
    let tar = archive((0..500).map(|n| Entry::file(format!("d{}/f{n}", n % 7), vec![1; 500])));
    // The second has to wait for the window of the first.
    let blob = zstd(&tar, 23);
    let spec = spec(&blob, &tar);
    thread::scope(|scope| {
        let both: Vec<_> = (0..2).map(|_| scope.spawn(|| ingest(&store, &spec, &blob).unwrap())).collect();
        for one in both {
            assert_eq!(one.join().unwrap().entries, 500);
        }
    });
    assert!(store.has_layer(&spec.diff_id));
    assert_eq!((count(&dir.join("layers")), count(&dir.join("ingest"))), (1, 0));
    let record = store.layer(&spec.diff_id).unwrap();
    assert_eq!((record.entries, record.unpacked_bytes, record.wire_bytes), (500, 250_000, blob.len() as u64));
}

#[test]
fn a_damaged_layer_counts_as_missing_and_the_next_ingest_repairs_it() {
    let (dir, store) = store();
    let tar = layer("a");
    let blob = gzip(&tar);
    let spec = spec(&blob, &tar);
    ingest(&store, &spec, &blob).unwrap();
    let record = dir.join("layers").join(spec.diff_id.hex()).join("layer.json");
    for damage in ["", "{}", "{\"version\":99}"] {
        fs::write(&record, damage).unwrap();
        assert!(!store.has_layer(&spec.diff_id), "{damage:?}");
        ingest(&store, &spec, &blob).unwrap();
        assert!(store.has_layer(&spec.diff_id), "{damage:?}");
        assert_eq!(count(&dir.join("ingest")), 0);
    }
    store.remove_layer(&spec.diff_id).unwrap();
    assert!(!store.has_layer(&spec.diff_id));
    store.remove_layer(&spec.diff_id).unwrap();
}

const CHILD_STORE: &str = "CORACLE_TEST_CHILD_STORE";

fn big() -> Vec<u8> {
    archive((0..2000).map(|n| Entry::file(format!("d{}/f{n}", n % 20), vec![1; 700])))
}

/// The process that is killed is this test again, told by its environment to ingest what comes.
#[test]
fn a_kill_in_the_middle_of_an_ingest_leaves_only_leftovers() {
    let tar = big();
    if let Some(root) = std::env::var_os(CHILD_STORE) {
        Store::open(root).unwrap().ingest_layer(&spec(&tar, &tar), io::stdin(), |_| {}).unwrap();
        panic!("nobody killed it");
    }
    let (dir, store) = store();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::a_kill_in_the_middle_of_an_ingest_leaves_only_leftovers"])
        .env(CHILD_STORE, dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&tar[..tar.len() / 2]).unwrap();
    // More than a pipe and the reader's buffers hold was taken, so it is in the middle of writing.
    assert_eq!(count(&dir.join("ingest")), 1);
    // Nobody may clean up under its hands.
    assert!(matches!(store.collect_leftovers(), Err(StoreError::Lock(LockError::Held { .. }))));
    assert!(matches!(store.exclude(), Err(StoreError::Lock(LockError::Held { .. }))));
    child.kill().unwrap();
    child.wait().unwrap();
    drop(input);

    let store = Store::open(dir.path()).unwrap();
    assert_eq!((count(&dir.join("layers")), count(&dir.join("ingest"))), (0, 1));
    assert_eq!(store.collect_leftovers().unwrap(), 1);
    assert_eq!(count(&dir.join("ingest")), 0);
    ingest(&store, &spec(&tar, &tar), &tar).unwrap();
    assert!(store.has_layer(&Digest::of(&tar)));
}

#[test]
fn blobs_come_back_as_they_were_or_not_at_all() {
    let (dir, store) = store();
    let digest = store.put_blob(b"manifest").unwrap();
    assert_eq!(store.put_blob(b"manifest").unwrap(), digest);
    assert_eq!(store.blob(&digest).unwrap().as_deref(), Some(&b"manifest"[..]));
    assert_eq!(store.blob(&Digest::of(b"absent")).unwrap(), None);
    fs::write(dir.join("blobs").join(digest.hex()), b"manifesT").unwrap();
    assert_eq!(store.blob(&digest).unwrap(), None);
    store.put_blob(b"manifest").unwrap();
    assert!(store.blob(&digest).unwrap().is_some());
}

#[test]
fn one_agent_holds_a_store_and_the_second_is_told_which() {
    let (_dir, store) = store();
    let held = store.agent_lock().unwrap();
    match store.agent_lock() {
        Err(StoreError::Lock(LockError::Held { pid, .. })) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    drop(held);
    store.agent_lock().unwrap();
}

/// An image of one layer, as a pull leaves it.
fn pulled(store: &Store, name: &str) -> ImageRecord {
    let tar = layer(name);
    let mut wanted = spec(&tar, &tar);
    wanted.descriptor.media_type = TAR.to_owned();
    ingest(store, &wanted, &tar).unwrap();
    let config = serde_json::json!({
        "architecture": "arm64", "os": "linux", "config": { "Labels": { "name": name } },
        "rootfs": { "type": "layers", "diff_ids": [wanted.diff_id] },
    });
    let config = store.put_blob(config.to_string().as_bytes()).unwrap();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 1 },
        "layers": [wanted.descriptor],
    });
    let manifest = store.put_blob(manifest.to_string().as_bytes()).unwrap();
    let platform = Platform {
        os: "linux".into(),
        architecture: "arm64".into(),
        variant: None,
        os_version: None,
        os_features: Vec::new(),
    };
    ImageRecord {
        version: ImageRecord::VERSION,
        reference: format!("registry.example/{name}:latest"),
        index: manifest,
        manifest,
        config,
        platform,
        layers: vec![wanted.diff_id],
        pulled_at: Timestamp(7),
    }
}

#[test]
fn a_collection_keeps_what_is_needed_and_removes_the_rest() {
    let (dir, store) = store();
    let (kept, gone, unrecorded) =
        (pulled(&store, "kept"), pulled(&store, "gone"), pulled(&store, "unrecorded"));
    store.put_image(&kept).unwrap();
    store.put_image(&gone).unwrap();
    assert_eq!(store.images().unwrap(), [gone.clone(), kept.clone()]);
    assert_eq!(store.image(&kept.reference).unwrap(), Some(kept.clone()));
    assert_eq!(store.image("registry.example/absent:latest").unwrap(), None);

    let pulling = store.share().unwrap();
    assert!(matches!(store.exclude(), Err(StoreError::Lock(_))));
    drop(pulling);

    // A manifest to be kept that was never fetched needs nothing.
    let keep = BTreeSet::from([kept.manifest, unrecorded.manifest, Digest::of(b"not here yet")]);
    let collected = store.exclude().unwrap().collect(&keep).unwrap();
    assert_eq!((collected.images, collected.blobs, collected.layers), (1, 2, 1));
    assert!(collected.bytes > 400);
    assert_eq!(store.images().unwrap(), std::slice::from_ref(&kept));
    assert!(store.has_layer(&kept.layers[0]) && store.has_layer(&unrecorded.layers[0]));
    assert!(!store.has_layer(&gone.layers[0]));
    assert!(store.blob(&unrecorded.config).unwrap().is_some());
    assert_eq!(store.exclude().unwrap().collect(&keep).unwrap(), Default::default());

    // What cannot be read is no reason to remove.
    fs::write(dir.join("blobs").join(unrecorded.manifest.hex()), "damaged").unwrap();
    assert!(matches!(store.exclude().unwrap().collect(&keep), Err(StoreError::Unknown { .. })));
    assert!(store.has_layer(&unrecorded.layers[0]));

    store.remove_image(&kept.reference).unwrap();
    assert_eq!(store.exclude().unwrap().collect(&BTreeSet::new()).unwrap().layers, 2);
    for empty in ["blobs", "layers", "images", "ingest"] {
        assert_eq!(count(&dir.join(empty)), 0, "{empty}");
    }
}

#[test]
fn the_saved_forms_are_read_as_version_1_wrote_them() {
    let (dir, store) = store();
    let image = include_str!("../data/saved/image-1.json");
    let parsed: ImageRecord = serde_json::from_str(image).unwrap();
    let name = Digest::of(parsed.reference.as_bytes()).hex();
    fs::write(dir.join("images").join(format!("{name}.json")), image).unwrap();
    assert_eq!(store.image(&parsed.reference).unwrap(), Some(parsed));

    let record = include_str!("../data/saved/layer-1.json");
    let diff_id = Digest::from_hex(&"ab".repeat(32)).unwrap();
    let home = dir.join("layers").join(diff_id.hex());
    fs::create_dir_all(home.join("tree")).unwrap();
    fs::write(home.join("layer.json"), record).unwrap();
    assert!(store.has_layer(&diff_id));
    assert_eq!(store.layer(&diff_id).unwrap().entries, 812);
}
