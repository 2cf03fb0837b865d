//! Layers that are gone on with by another process: the same tree, whatever the first one left behind.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Cursor;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coracle_core::oci::Digest;
use coracle_host::store::{LayerSpec, Retry, Store, StoreError};
use coracle_host::unpack::{
    self, Interval, Keeper, Limits, Resolver, Start, Target, UnpackError, Unpacked, Whole, Windows,
};
use coracle_test_support::archive::{Entry, archive, gzip, old_gnu_sparse, unfinished, zstd};
use coracle_test_support::scratch::TempDir;
use coracle_test_support::tree::{self, Look};

use crate::unpack::{features, spec};

/// Often enough that a small archive has many.
const OFTEN: Interval = Interval { bytes: 3000, time_min: Duration::ZERO, time: Duration::MAX, bytes_min: 0 };

/// Bytes that no compression makes smaller, so that there are many blocks.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u8::try_from(state >> 56).unwrap()
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Between any two entries comes enough for a checkpoint.
fn spread(entries: Vec<Entry>) -> Vec<Entry> {
    let filler = |n: usize| Entry::file(format!("filler/{n}"), noise(n as u64 + 1, 40_000 + n * 37));
    let spread = entries.into_iter().enumerate().flat_map(|(n, entry)| [entry, filler(n)]);
    std::iter::once(Entry::dir("filler").mtime(42)).chain(spread).collect()
}

/// Names that come twice, as something else, before their parents, through links, and go again.
fn odd() -> Vec<Entry> {
    vec![
        Entry::file("a/b/implicit", "parents come later"),
        Entry::dir("a").mode(0o700).mtime(7).attribute("user.first", "1"),
        Entry::dir("etc").mtime(8),
        Entry::file("etc/.wh.gone", ""),
        Entry::file("etc/twice", "one"),
        Entry::hard_link("etc/first", "etc/twice"),
        Entry::file("etc/twice", "two"),
        Entry::hard_link("etc/second", "etc/twice"),
        Entry::symlink("link", "etc"),
        Entry::file("link/through", "lands in etc"),
        Entry::dir("a").mode(0o755).mtime(9).attribute("user.second", "2"),
        Entry::file("etc/.wh..wh..opq", ""),
        Entry::file(".wh.remade", ""),
        Entry::dir("remade").mtime(10),
        Entry::file(".wh.unnamed", ""),
        Entry::file("unnamed/x", ""),
        Entry::symlink("etc/twice", "a link now"),
        Entry::dir("link").mtime(11),
        Entry::file("link/own", "no longer in etc"),
        Entry::dir("./").mode(0o751).mtime(12),
        Entry::file("last", "of all"),
    ]
}

/// A directory that goes with all in it: no checkpoint after that.
fn replaced() -> Vec<Entry> {
    vec![
        Entry::dir("d"),
        Entry::file("d/x", "x"),
        Entry::dir("d/sub"),
        Entry::file("d", "a file now"),
        Entry::file("e", "e"),
    ]
}

fn sparse() -> Vec<u8> {
    let (one, two) = (noise(3, 200_000), noise(4, 250_000));
    let mut tar = unfinished([Entry::file("before", noise(5, 5000))]);
    tar.extend(old_gnu_sparse("sparse", &[(4096, &one), (300_000, &two)], 700_000));
    tar.extend(archive([Entry::file("after", noise(6, 5000))]));
    tar
}

fn frames(tar: &[u8]) -> Vec<u8> {
    tar.chunks(7001).flat_map(|part| zstd(part, 17)).collect()
}

fn members(tar: &[u8]) -> Vec<u8> {
    tar.chunks(50_001).flat_map(gzip).collect()
}

fn whole(blob: &[u8], tar: &[u8]) -> Whole {
    Whole { blob: Digest::of(blob), size: blob.len() as u64, diff_id: Digest::of(tar) }
}

struct Bench<'a> {
    blob: &'a [u8],
    tar: &'a [u8],
    resolver: Resolver,
}

impl Bench<'_> {
    fn run(&self, dir: &Path, input: &[u8], start: Start) -> Result<Unpacked, UnpackError> {
        let (windows, limits) = (Windows::default(), Limits::default());
        let root = File::open(dir.join("tree")).unwrap();
        let target =
            Target { root: root.as_fd(), limits: &limits, windows: &windows, resolver: self.resolver };
        unpack::unpack(Cursor::new(input), self.blob.len() as u64, &target, start, &mut |_| {}).1
    }

    /// Begins, and is ended after `until` bytes.
    fn cut(&self, until: usize) -> TempDir {
        let dir = TempDir::new("resume");
        fs::create_dir(dir.join("tree")).unwrap();
        let keeper = Keeper::new(&dir, whole(self.blob, self.tar), OFTEN).unwrap();
        // A cut within the zeros at an archive's end goes without an error here; the size tells the store.
        let _ = self.run(&dir, &self.blob[..until], Start::New(keeper));
        dir
    }

    /// Goes on in `dir` up to byte `until`; where it went on.
    fn go_on(&self, dir: &Path, until: usize) -> Option<(usize, Result<Unpacked, UnpackError>)> {
        let resumed = unpack::resume(dir, whole(self.blob, self.tar), OFTEN)?;
        let at = usize::try_from(resumed.wire_bytes()).unwrap();
        Some((at, self.run(dir, &self.blob[at..until], Start::Resumed(Box::new(resumed)))))
    }
}

/// The tree of an archive that nothing interrupted.
fn plain(tar: &[u8]) -> (TempDir, BTreeMap<PathBuf, Look>) {
    let dir = TempDir::new("resume");
    fs::create_dir(dir.join("tree")).unwrap();
    let bench = Bench { blob: tar, tar, resolver: Resolver::Kernel };
    bench.run(&dir, tar, Start::New(Keeper::none())).unwrap();
    let looks = tree::look(&dir.join("tree"));
    (dir, looks)
}

/// Cut at many places, and gone on with: the same tree each time, from at least `share` of a hundred of the cuts.
#[track_caller]
fn check(name: &str, tar: &[u8], blob: &[u8], share: usize) {
    let (_dir, expected) = plain(tar);
    for resolver in [Resolver::Kernel, Resolver::Walk] {
        let bench = Bench { blob, tar, resolver };
        let (mut cuts, mut resumed) = (0, 0);
        for until in (blob.len() / 20..blob.len()).step_by(blob.len() / 17) {
            let dir = bench.cut(until);
            cuts += 1;
            let Some((at, unpacked)) = bench.go_on(&dir, blob.len()) else { continue };
            resumed += 1;
            assert!(at <= until, "{name}: went on at {at}, cut at {until}");
            assert_eq!(unpacked.unwrap().diff_id, Digest::of(tar), "{name}: cut at {until}");
            assert_eq!(tree::look(&dir.join("tree")), expected, "{name}: cut at {until}");
        }
        assert!(resumed * 100 >= cuts * share, "{name}: {resumed} of {cuts} went on");

        // Cut again and again: each process goes a little further.
        let dir = bench.cut(blob.len() / 10);
        for until in (blob.len() / 10..=blob.len()).step_by(blob.len() / 10) {
            let _ = bench.go_on(&dir, until);
        }
        if let Some((_, unpacked)) = bench.go_on(&dir, blob.len()) {
            assert_eq!(unpacked.unwrap().diff_id, Digest::of(tar), "{name}: cut again and again");
            assert_eq!(tree::look(&dir.join("tree")), expected, "{name}: cut again and again");
        }
    }
}

#[test]
fn an_uncompressed_layer_goes_on_at_every_cut_as_if_never_interrupted() {
    let tar = archive(spread(features()));
    check("features", &tar, &tar, 90);
    let tar = archive(spread(odd()));
    check("odd", &tar, &tar, 50);
    let tar = archive(spread(replaced()));
    check("replaced", &tar, &tar, 20);
    let tar = sparse();
    check("sparse", &tar, &tar, 80);
}

#[test]
fn a_gzip_layer_goes_on_within_its_stream() {
    let tar = archive(spread(features()));
    check("features", &tar, &gzip(&tar), 60);
    check("members", &tar, &members(&tar), 60);
    let tar = archive(spread(odd()));
    check("odd", &tar, &gzip(&tar), 40);
    // What compresses well refers back over the cut.
    let text = |n: u64| {
        noise(n + 1, 50_000)
            .into_iter()
            .map(|byte| format!("{:04} ", u32::from(byte) * 7))
            .collect::<String>()
    };
    let tar = archive((0..8).map(|n| Entry::file(format!("text/{n}"), text(n))));
    check("text", &tar, &gzip(&tar), 60);
}

#[test]
fn a_zstd_layer_goes_on_between_frames() {
    let tar = archive(spread(features()));
    check("frames", &tar, &frames(&tar), 60);
    check("one frame", &tar, &zstd(&tar, 17), 0);
}

#[test]
fn a_checkpoint_that_is_damaged_or_of_another_tree_is_not_gone_on_with() {
    let tar = archive(spread(features()));
    let blob = gzip(&tar);
    let bench = Bench { blob: &blob, tar: &tar, resolver: Resolver::Kernel };
    type Change<'a> = (&'a str, &'a dyn Fn(&Path));
    let changes: [Change<'_>; 9] = [
        ("no checkpoint", &|dir| fs::remove_file(dir.join("checkpoint")).unwrap()),
        ("no ledger", &|dir| fs::remove_file(dir.join("ledger")).unwrap()),
        ("a flipped bit", &|dir| flip(&dir.join("checkpoint"))),
        ("a flipped bit of the ledger", &|dir| flip(&dir.join("ledger"))),
        ("cut short", &|dir| {
            let path = dir.join("checkpoint");
            fs::write(&path, &fs::read(&path).unwrap()[..200]).unwrap();
        }),
        ("empty", &|dir| fs::write(dir.join("checkpoint"), "").unwrap()),
        ("endless", &|dir| File::create(dir.join("checkpoint")).unwrap().set_len(1 << 40).unwrap()),
        ("a missing file", &|dir| fs::remove_file(dir.join("tree/bin/sh")).unwrap()),
        ("a copied directory", &|dir| {
            fs::rename(dir.join("tree/filler"), dir.join("tree/other")).unwrap();
            fs::create_dir(dir.join("tree/filler")).unwrap();
        }),
    ];
    for (name, change) in changes {
        let dir = bench.cut(blob.len() * 3 / 4);
        change(&dir);
        assert!(unpack::resume(&dir, whole(&blob, &tar), OFTEN).is_none(), "{name}");
    }
    let dir = bench.cut(blob.len() * 3 / 4);
    for other in [
        Whole { blob: Digest::of(b"other"), ..whole(&blob, &tar) },
        Whole { diff_id: Digest::of(b"other"), ..whole(&blob, &tar) },
        Whole { size: 17, ..whole(&blob, &tar) },
    ] {
        assert!(unpack::resume(&dir, other, OFTEN).is_none(), "{other:?}");
    }
    assert!(unpack::resume(&dir, whole(&blob, &tar), OFTEN).is_some());
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Receives `blob` up to `until`, as a process does that is then ended; where it went on, and what came of it.
fn receive(
    store: &Store,
    wanted: &LayerSpec,
    blob: &[u8],
    until: usize,
) -> (usize, u64, Result<(), StoreError>) {
    let begun = store.begin_layer_with(wanted.clone(), OFTEN).unwrap();
    let (at, tally) = (usize::try_from(begun.at()).unwrap(), begun.tally());
    tally.received((until - at) as u64);
    let before = tally.before();
    (at, before, store.finish_layer(begun, Cursor::new(&blob[at..until]), |_| {}).map(drop))
}

fn store() -> (TempDir, Store) {
    let dir = TempDir::new("resume-store");
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

#[test]
fn the_store_goes_on_with_a_layer_and_counts_what_came_in_every_attempt() {
    let tar = archive(spread(features()));
    let blob = gzip(&tar);
    let wanted = spec(&blob, &tar);
    let (dir, store) = store();
    let (half, most) = (blob.len() / 2, blob.len() * 3 / 4);
    assert_eq!(receive(&store, &wanted, &blob, half).0, 0);
    let (second, before, outcome) = receive(&store, &wanted, &blob, most);
    assert!(second > half / 2 && second <= half && before == half as u64, "{second} {before}");
    assert_eq!(outcome.unwrap_err().retry(), Retry::Again);
    // A start of the agent keeps it.
    assert_eq!(store.collect_leftovers().unwrap(), 0);
    let (third, before, outcome) = receive(&store, &wanted, &blob, blob.len());
    outcome.unwrap();
    assert!(third > half && third <= most, "{third}");
    assert_eq!(before, (half + most - second) as u64);
    assert!(store.has_layer(&wanted.diff_id));
    let home = dir.join("layers").join(wanted.diff_id.hex());
    let mut names = fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    names.sort();
    assert_eq!(names, ["layer.json", "list", "tree"]);
    assert_eq!(fs::read_dir(dir.join("ingest")).unwrap().count(), 0);
    assert_eq!(tree::look(&home.join("tree")), plain(&tar).1);
}

#[test]
fn what_cannot_be_gone_on_with_is_begun_anew_and_its_bytes_stay_counted() {
    let tar = archive(spread(features()));
    let blob = gzip(&tar);
    let wanted = spec(&blob, &tar);
    let (dir, store) = store();
    let half = blob.len() / 2;
    receive(&store, &wanted, &blob, half).2.unwrap_err();
    // The rest is of something else.
    let begun = store.begin_layer_with(wanted.clone(), OFTEN).unwrap();
    let at = usize::try_from(begun.at()).unwrap();
    assert!(at > 0);
    begun.tally().received((blob.len() - at) as u64);
    let other = vec![7; blob.len() - at];
    let error = store.finish_layer(begun, Cursor::new(other), |_| {}).unwrap_err();
    assert!(matches!(error, StoreError::Resumed { .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::Again);
    let (at_last, before, outcome) = receive(&store, &wanted, &blob, blob.len());
    outcome.unwrap();
    assert_eq!((at_last, before), (0, (half + blob.len() - at) as u64));
    assert_eq!(fs::read_dir(dir.join("ingest")).unwrap().count(), 0);
}

#[test]
fn half_fetched_layers_are_few_and_go_with_a_prune() {
    let (dir, store) = store();
    let blobs = (0..7).map(|n| archive([Entry::file(format!("{n}"), noise(n + 1, 60_000))]));
    for blob in blobs {
        receive(&store, &spec(&blob, &blob), &blob, 50_000).2.unwrap_err();
    }
    let begun = || fs::read_dir(dir.join("ingest")).unwrap().count();
    assert_eq!(begun(), 7);
    assert_eq!(store.collect_leftovers().unwrap(), 3);
    assert_eq!(begun(), 4);
    assert_eq!(store.exclude().unwrap().collect_begun().unwrap(), 4);
    assert_eq!(begun(), 0);
}

#[test]
fn a_layer_that_is_begun_twice_at_once_is_published_once() {
    let tar = archive(spread(features()));
    let wanted = spec(&tar, &tar);
    let (dir, store) = store();
    let first = store.begin_layer_with(wanted.clone(), OFTEN).unwrap();
    let second = store.begin_layer_with(wanted.clone(), OFTEN).unwrap();
    assert_eq!((first.at(), second.at()), (0, 0));
    store.finish_layer(second, Cursor::new(&tar), |_| {}).unwrap();
    store.finish_layer(first, Cursor::new(&tar), |_| {}).unwrap();
    assert!(store.has_layer(&wanted.diff_id));
    assert_eq!(fs::read_dir(dir.join("ingest")).unwrap().count(), 0);
}
