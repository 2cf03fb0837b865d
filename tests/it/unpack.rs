//! Layers of every form, unpacked as root into a store of the test's own, and compared with what umoci makes of the same.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Cursor;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use coracle_core::oci::layer::Compression;
use coracle_core::oci::{Descriptor, Digest};

use coracle_host::store::{Ingested, LayerSpec, Store, StoreError};
use coracle_host::unpack::{
    self, Devices, Keeper, Limits, Refusal, Resolver, Start, Target, UnpackError, Windows,
};
use coracle_test_support::archive::{Entry, archive, gzip, old_gnu_sparse, unfinished, zstd};
use coracle_test_support::scratch::TempDir;
use coracle_test_support::tree::{self, Look};

use crate::attacks::{Hostile, archives_refused};

pub(crate) const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

pub(crate) fn spec(blob: &[u8], diff: &[u8]) -> LayerSpec {
    LayerSpec {
        descriptor: Descriptor {
            media_type: GZIP.to_owned(),
            digest: Digest::of(blob),
            size: blob.len() as u64,
            platform: None,
            artifact_type: None,
            annotations: BTreeMap::new(),
            urls: Vec::new(),
        },
        diff_id: Digest::of(diff),
        limits: Limits::default(),
    }
}

pub(crate) fn ingest(store: &Store, spec: &LayerSpec, blob: &[u8]) -> Result<Ingested, StoreError> {
    store.ingest_layer(spec, Cursor::new(blob), |_| {})
}

/// Unpacks a bare archive both ways of finding parents, and checks that they agree.
pub(crate) fn unpacked(tar: &[u8]) -> (TempDir, BTreeMap<PathBuf, Look>) {
    let (by_kernel, by_walk) = (TempDir::new("unpack"), TempDir::new("unpack"));
    into(&by_kernel, tar, Resolver::Kernel).unwrap();
    into(&by_walk, tar, Resolver::Walk).unwrap();
    let looks = tree::look(&by_kernel);
    assert_eq!(looks, tree::look(&by_walk));
    (by_kernel, looks)
}

fn into(dir: &Path, tar: &[u8], resolver: Resolver) -> Result<unpack::Unpacked, UnpackError> {
    let (root, windows, limits) = (File::open(dir).unwrap(), Windows::default(), Limits::default());
    let target = Target { root: root.as_fd(), limits: &limits, windows: &windows, resolver };
    let start = Start::New(Keeper::none());
    unpack::unpack(Cursor::new(tar), tar.len() as u64, &target, start, &mut |_| {}).1
}

fn at<'a>(looks: &'a BTreeMap<PathBuf, Look>, path: &str) -> &'a Look {
    looks.get(Path::new(path)).unwrap_or_else(|| panic!("{path} is missing from {:?}", looks.keys()))
}

const OPAQUE: &str = "trusted.overlay.opaque";

/// What the spec's features look like in one layer, without those that tools disagree about.
pub(crate) fn features() -> Vec<Entry> {
    let long = format!("deep/{}/{}", "d".repeat(120), "f".repeat(200));
    let pax_long = format!("deep/{}", "p".repeat(150));
    vec![
        Entry::dir("./").mode(0o755).mtime(900_000_000),
        Entry::dir("bin").mtime(1_111_111_111),
        Entry::file("bin/sh", "#!").mode(0o4755).owner(0, 50),
        Entry::file("bin/wall", "w").mode(0o2755).owner(3, 5).mtime(1_234_567_890),
        Entry::hard_link("bin/bash", "bin/sh"),
        Entry::hard_link("/bin/dash", "./bin/sh"),
        Entry::symlink("sbin", "bin"),
        Entry::symlink("bin/loop", "/../../bin/loop").owner(7, 7),
        Entry::hard_link("bin/loop2", "bin/loop"),
        Entry::dir("tmp").mode(0o1777).mtime(5),
        Entry::file("tmp/big", vec![7; 300_000]).owner(70_000, 4_000_000_000),
        Entry::file("tmp/empty", ""),
        Entry::dir("var/").owner(9, 9).mode(0o2750).mtime(1_222_222_222),
        Entry::of(b'6', "var/fifo").mode(0o620).owner(1, 2),
        Entry::file("var/ping", "p").mode(0o755).attribute("user.note", "a\nb\0c").attribute(
            "security.capability",
            b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        ),
        Entry::file("var/when", "t").pax("mtime", "1350244992.023960108"),
        Entry::dir("deep").mtime(1_300_000_000),
        Entry::dir(format!("deep/{}", "d".repeat(120))),
        Entry::file(long, "long"),
        Entry::file("placeholder", "pax").pax("path", pax_long),
        Entry::file("d\u{e4}t\u{fc}m", "utf-8").mtime(1_000),
        Entry::file("bin/late", "after others: the time of bin stays"),
    ]
}

#[test]
fn modes_owners_times_links_and_attributes_are_those_of_the_archive() {
    let (_dir, looks) = unpacked(&archive(features()));
    assert_eq!(at(&looks, "").mtime.0, 900_000_000);
    assert_eq!(at(&looks, "bin").mtime, (1_111_111_111, 0));
    assert_eq!((at(&looks, "bin/sh").mode & 0o7777, at(&looks, "bin/sh").owner), (0o4755, (0, 50)));
    assert_eq!((at(&looks, "bin/wall").mode & 0o7777, at(&looks, "bin/wall").owner), (0o2755, (3, 5)));
    for name in ["bin/bash", "bin/dash", "bin/sh"] {
        assert_eq!(at(&looks, name).linked.as_deref(), Some(Path::new("bin/bash")), "{name}");
    }
    assert_eq!(at(&looks, "sbin").content, b"bin");
    assert_eq!(at(&looks, "bin/loop").owner, (7, 7));
    assert_eq!(at(&looks, "bin/loop2").content, b"/../../bin/loop");
    assert_eq!(at(&looks, "tmp").mode & 0o7777, 0o1777);
    assert_eq!(at(&looks, "tmp").mtime.0, 5);
    assert_eq!(at(&looks, "tmp/big").owner, (70_000, 4_000_000_000));
    assert_eq!((at(&looks, "var").mode & 0o7777, at(&looks, "var").owner), (0o2750, (9, 9)));
    assert_eq!(at(&looks, "var/ping").owner, (0, 0));
    assert_eq!(at(&looks, "var/ping").attributes["user.note"], b"a\nb\0c");
    assert_eq!(at(&looks, "var/ping").attributes["security.capability"].len(), 20);
    assert_eq!(at(&looks, "var/when").mtime, (1_350_244_992, 23_960_108));
    assert_eq!(at(&looks, "var/fifo").mode & 0o7777, 0o620);
    assert!(looks.contains_key(&Path::new("deep").join("p".repeat(150))));
    assert!(looks.contains_key(&Path::new("deep").join("d".repeat(120)).join("f".repeat(200))));
}

#[test]
fn whiteouts_take_overlayfs_form_and_hide_only_what_is_below() {
    let (dir, looks) = unpacked(&archive([
        Entry::dir("etc"),
        Entry::file("etc/.wh.gone", ""),
        Entry::file("etc/kept", "new"),
        Entry::file("etc/.wh.kept", ""),
        Entry::file("etc/.wh.replaced", ""),
        Entry::file("etc/replaced", "new"),
        // Opaque before and after content.
        Entry::dir("before"),
        Entry::file("before/.wh..wh..opq", ""),
        Entry::file("before/x", ""),
        Entry::dir("after").mtime(77),
        Entry::file("after/x", ""),
        Entry::file("after/.wh..wh..opq", ""),
        // A directory that replaces one below.
        Entry::file(".wh.remade", ""),
        Entry::dir("remade").mtime(78),
        Entry::dir("first"),
        Entry::file(".wh.first", ""),
        // The same without an entry of its own.
        Entry::file(".wh.unnamed", ""),
        Entry::file("unnamed/x", ""),
        Entry::file(".wh..wh.plnk/1.2", "aufs"),
        Entry::file(".wh..wh.aufs", "aufs"),
    ]));
    let gone = fs::symlink_metadata(dir.join("etc/gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    assert_eq!(fs::read(dir.join("etc/kept")).unwrap(), b"new");
    assert_eq!(fs::read(dir.join("etc/replaced")).unwrap(), b"new");
    for opaque in ["before", "after", "remade", "first", "unnamed"] {
        assert_eq!(at(&looks, opaque).attributes[OPAQUE], b"y", "{opaque}");
    }
    assert_eq!((at(&looks, "after").mtime.0, at(&looks, "remade").mtime.0), (77, 78));
    assert!(at(&looks, "etc").attributes.is_empty());
    assert!(looks.keys().all(|path| !path.as_os_str().as_bytes().windows(4).any(|part| part == b".wh.")));
}

#[test]
fn the_last_of_several_entries_with_one_path_wins() {
    let (dir, looks) = unpacked(&archive([
        Entry::file("a", "old").mode(0o4755),
        Entry::file("./a", "new").mode(0o600),
        Entry::file("b", "file"),
        Entry::dir("b"),
        Entry::dir("c"),
        Entry::file("c/deep", "x"),
        Entry::symlink("c", "a"),
        Entry::symlink("d", "/etc/passwd"),
        Entry::file("d", "not through the link"),
        Entry::dir("e").mode(0o700).attribute("user.old", "1"),
        Entry::file("e/kept", ""),
        Entry::dir("e").mode(0o755).mtime(3),
        Entry::symlink("f", "e"),
        Entry::dir("f"),
        Entry::hard_link("a", "a"),
        Entry::hard_link("b2", "e/kept"),
        Entry::hard_link("b2", "a"),
    ]));
    assert_eq!(fs::read(dir.join("a")).unwrap(), b"new");
    assert_eq!(at(&looks, "a").mode & 0o7777, 0o600);
    assert!(dir.join("b").is_dir() && dir.join("f").symlink_metadata().unwrap().is_dir());
    assert_eq!(at(&looks, "c").content, b"a");
    assert_eq!(fs::read(dir.join("d")).unwrap(), b"not through the link");
    assert!(dir.join("e/kept").exists());
    assert_eq!((at(&looks, "e").mode & 0o777, at(&looks, "e").mtime.0), (0o755, 3));
    assert!(at(&looks, "e").attributes.is_empty());
    assert_eq!(fs::read(dir.join("b2")).unwrap(), b"new");
}

#[test]
fn links_on_the_way_lead_into_the_layer_wherever_they_point() {
    let outside = TempDir::new("outside");
    fs::write(outside.join("canary"), "untouched").unwrap();
    let before = tree::look(&outside);
    let to = outside.to_str().unwrap();
    let up = format!("{}{to}", "../".repeat(30));
    let (dir, _) = unpacked(&archive([
        Entry::symlink("absolute", to),
        Entry::file("absolute/canary", "inside"),
        Entry::symlink("relative", &up),
        Entry::file("relative/second", "inside"),
        Entry::symlink("lib", "usr/lib"),
        Entry::file("lib/x", "usrmerge"),
        Entry::dir("usr/share"),
        Entry::symlink("share", "/usr/share"),
        Entry::file("share/y", "absolute"),
        Entry::hard_link("z", "lib/x"),
    ]));
    assert_eq!(tree::look(&outside), before);
    assert_eq!(fs::read(dir.join(to.trim_start_matches('/')).join("canary")).unwrap(), b"inside");
    assert_eq!(fs::read(dir.join(to.trim_start_matches('/')).join("second")).unwrap(), b"inside");
    assert_eq!(fs::read(dir.join("usr/lib/x")).unwrap(), b"usrmerge");
    assert_eq!(fs::read(dir.join("usr/share/y")).unwrap(), b"absolute");
    assert_eq!(
        fs::metadata(dir.join("z")).unwrap().ino(),
        fs::metadata(dir.join("usr/lib/x")).unwrap().ino()
    );
}

#[test]
fn parents_that_the_archive_leaves_out_are_plain_directories() {
    let (_dir, looks) = unpacked(&archive([Entry::file("a/b/c", "x").owner(5, 5).mode(0o600)]));
    for path in ["", "a", "a/b"] {
        let look = at(&looks, path);
        assert_eq!((look.mode & 0o7777, look.owner, look.mtime), (0o755, (0, 0), (0, 0)), "{path:?}");
    }
}

#[test]
fn old_sparse_files_keep_their_holes() {
    let many: Vec<(u64, &[u8])> = (0..60).map(|part| (part * 1_000_000, &b"part"[..])).collect();
    let mut tar = old_gnu_sparse("few", &[(0, b"head"), (1 << 20, b"tail")], 2 << 20);
    tar.extend(old_gnu_sparse("many", &many, 100_000_000));
    tar.extend(old_gnu_sparse("hole", &[], 1 << 20));
    tar.extend(archive([Entry::file("next", "still in step")]));
    let (dir, _) = unpacked(&tar);
    let few = fs::read(dir.join("few")).unwrap();
    assert_eq!((few.len(), &few[..4], &few[1 << 20..(1 << 20) + 4]), (2 << 20, &b"head"[..], &b"tail"[..]));
    let many = fs::metadata(dir.join("many")).unwrap();
    assert_eq!(many.len(), 100_000_000);
    assert!(many.blocks() * 512 < 2_000_000, "{} blocks", many.blocks());
    assert_eq!(fs::metadata(dir.join("hole")).unwrap().len(), 1 << 20);
    assert_eq!(fs::read(dir.join("next")).unwrap(), b"still in step");
}

#[test]
fn every_compression_gives_the_same_layer_whatever_the_type_says() {
    let tar = archive(features());
    let (head, tail) = tar.split_at(tar.len() / 3);
    let skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc";
    let small_then_large = [zstd(head, 12), skippable.to_vec(), zstd(tail, 23)].concat();
    for (how, blob) in [
        ("plain", tar.clone()),
        ("gzip", gzip(&tar)),
        ("gzip members", [gzip(head), gzip(b""), gzip(tail)].concat()),
        ("zstd", zstd(&tar, 21)),
        ("zstd frames", small_then_large),
        ("zstd after a skippable frame", [skippable.to_vec(), zstd(&tar, 23)].concat()),
    ] {
        let (dir, store) = store();
        let mut progress = 0;
        let ingested =
            store.ingest_layer(&spec(&blob, &tar), Cursor::new(&blob), |bytes| progress = bytes).unwrap();
        assert_eq!((ingested.wire_bytes, progress), (blob.len() as u64, blob.len() as u64), "{how}");
        assert_eq!(ingested.entries, features().len() as u64, "{how}");
        assert!(store.has_layer(&Digest::of(&tar)), "{how}");
        assert_eq!(tree::look(&store.layer_dir(&Digest::of(&tar))), unpacked(&tar).1, "{how}");
        drop(dir);
    }
}

#[test]
fn an_archive_without_its_closing_blocks_is_whole_when_its_digest_is() {
    let (dir, _) = unpacked(&unfinished([Entry::of(b'7', "a")]));
    assert!(dir.join("a").exists());
    let (_dir, looks) = unpacked(&[]);
    assert_eq!(looks.len(), 1);
}

/// Regression: umoci's `insert` writes such layers, and Go's reader takes them; only the bench's own archives, which
/// are padded, had been tried.
#[test]
fn an_archive_that_ends_with_the_last_byte_of_its_last_file_is_whole() {
    let mut tar = unfinished([Entry::file("first", "1"), Entry::file("last", "six by")]);
    tar.truncate(tar.len() - 506);
    let (dir, _) = unpacked(&tar);
    assert_eq!(fs::read_to_string(dir.join("last")).unwrap(), "six by");
    // Some of the padding, but not all of it, is damage.
    tar.extend([0; 100]);
    refused("padding", &tar, None, &Refusal::Truncated);
}

pub(crate) fn store() -> (TempDir, Store) {
    let dir = TempDir::new("store");
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

/// The archive is refused by the rule, with the entry named; nothing is published, left, or touched outside.
#[track_caller]
fn refused(name: &str, tar: &[u8], entry: Option<&str>, why: &Refusal) {
    let (dir, store) = store();
    let canary = dir.join("canary");
    fs::write(&canary, "untouched").unwrap();
    // What begins as a compressed stream is one.
    let twice = Compression::sniff(tar) == Compression::None;
    for blob in [twice.then(|| tar.to_vec()), Some(gzip(tar))].into_iter().flatten() {
        let spec = spec(&blob, tar);
        match ingest(&store, &spec, &blob) {
            Err(StoreError::Unpack { source: UnpackError::Refused { entry: named, why: rule }, .. }) => {
                assert_eq!((named.as_deref(), &rule), (entry, why), "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
        assert!(!store.has_layer(&spec.diff_id), "{name}");
    }
    for empty in ["layers", "ingest"] {
        assert_eq!(fs::read_dir(dir.join(empty)).unwrap().count(), 0, "{name}: {empty}");
    }
    assert_eq!(fs::read(&canary).unwrap(), b"untouched", "{name}");
    // The walk refuses the same.
    let walked = TempDir::new("walked");
    assert!(
        matches!(into(&walked, &gzip(tar), Resolver::Walk), Err(UnpackError::Refused { why: rule, .. }) if rule == *why)
    );
}

#[test]
fn hostile_archives_are_refused_with_the_entry_named() {
    for Hostile { name, tar, entry, why } in archives_refused() {
        refused(name, &tar, entry, &why);
    }
}

#[test]
fn devices_are_made_where_policy_says_so() {
    let (dir, store) = store();
    let tar = archive([Entry::device(b'3', "null", 1, 3).mode(0o666), Entry::device(b'4', "disk", 8, 1)]);
    let mut spec = spec(&tar, &tar);
    spec.limits.devices = Devices::All;
    ingest(&store, &spec, &tar).unwrap();
    let tree = store.layer_dir(&spec.diff_id);
    let (null, disk) = (fs::metadata(tree.join("null")).unwrap(), fs::metadata(tree.join("disk")).unwrap());
    assert!(null.file_type().is_char_device() && null.rdev() == (1 << 8 | 3) && null.mode() & 0o777 == 0o666);
    assert!(disk.file_type().is_block_device() && disk.rdev() == (8 << 8 | 1));
    let (_dir, looks) = unpacked(&archive([Entry::device(b'3', "dev/null", 1, 3)]));
    assert_eq!(at(&looks, "dev/null").device, 1 << 8 | 3);
    drop(dir);
}

#[test]
fn bombs_are_refused_before_they_fill_the_board() {
    let (_dir, store) = store();
    let zeros = archive([Entry::file("zeros", vec![0; 100 << 20])]);
    let blob = gzip(&zeros);
    let mut tight = spec(&blob, &zeros);
    (tight.limits.ratio_max, tight.limits.ratio_free_bytes) = (50, 1 << 20);
    let ratio = ingest(&store, &tight, &blob);
    let Err(StoreError::Unpack { source: UnpackError::Refused { entry, why }, .. }) = ratio else {
        panic!("{ratio:?}")
    };
    assert_eq!((entry.as_deref(), why), (Some("zeros"), Refusal::Ratio(50)));

    let tar = archive((0..20).map(|count| Entry::file(format!("{count}"), "")));
    let mut few = spec(&tar, &tar);
    few.limits.entries_max = 10;
    let entries = ingest(&store, &few, &tar);
    assert!(matches!(
        entries,
        Err(StoreError::Unpack { source: UnpackError::Refused { why: Refusal::Entries(10), .. }, .. })
    ));

    let mut small = spec(&tar, &tar);
    small.limits.bytes_max = 1000;
    let bytes = ingest(&store, &small, &tar);
    assert!(matches!(
        bytes,
        Err(StoreError::Unpack { source: UnpackError::Refused { why: Refusal::Bytes(1000), .. }, .. })
    ));

    let wide = zstd(&tar, 27);
    let window = ingest(&store, &spec(&wide, &tar), &wide);
    assert!(
        matches!(
            &window,
            Err(StoreError::Unpack { source: UnpackError::Refused { why: Refusal::Window(_), .. }, .. })
        ),
        "{window:?}"
    );
}

/// The same two-layer image by umoci and by us under overlayfs, entry by entry.
#[test]
fn umoci_makes_the_same_tree_of_the_same_image() {
    let lower = archive(features().into_iter().chain([
        Entry::dir("gone"),
        Entry::file("gone/x", "x"),
        Entry::dir("opaque").mtime(33),
        Entry::file("opaque/old", "x"),
        Entry::file("changes", "file"),
        Entry::dir("becomes").mtime(32),
        Entry::file("becomes/x", ""),
        Entry::file("removed", ""),
    ]));
    let upper = archive([
        Entry::dir("./").mtime(900_000_001),
        Entry::file(".wh.gone", ""),
        Entry::file(".wh.removed", ""),
        Entry::dir("opaque").mtime(44),
        Entry::file("opaque/new", "n").mtime(45),
        Entry::file("opaque/.wh..wh..opq", ""),
        Entry::dir("changes").mtime(46),
        Entry::file("changes/inside", ""),
        Entry::file(".wh.becomes", ""),
        Entry::file("becomes", "a file"),
        Entry::dir("bin").mtime(1_111_111_112),
        Entry::file("bin/sh", "#!2").mode(0o755),
        Entry::file("bin/.wh.wall", ""),
    ]);
    let (dir, store) = store();
    let mut lowers = Vec::new();
    for tar in [&upper, &lower] {
        let blob = gzip(tar);
        ingest(&store, &spec(&blob, tar), &blob).unwrap();
        lowers.push(store.layer_dir(&Digest::of(tar)).to_str().unwrap().to_owned());
    }
    let layout = umoci_layout(&dir.join("oci"), &[&lower, &upper]);
    let bundle = dir.join("bundle");
    // umoci sets times without caring for what it does later in a directory; only ours are held to the archive.
    run(Command::new("umoci").arg("unpack").arg("--image").arg(format!("{layout}:t")).arg(&bundle));
    let merged = dir.join("merged");
    fs::create_dir(&merged).unwrap();
    let ours = Mounted::new("overlay", &format!("ro,lowerdir={}", lowers.join(":")), &merged);
    let (ours_looks, theirs) = (tree::look(&merged), tree::look(&bundle.join("rootfs")));
    drop(ours);
    assert_eq!(ours_looks.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (path, look) in &ours_looks {
        let mut look = look.clone();
        look.attributes.retain(|name, _| name != OPAQUE);
        assert_eq!(look, theirs[path], "{}", path.display());
    }
}

/// An OCI layout with one image of these layers, written by hand so that the layers stay as they are.
fn umoci_layout(dir: &Path, layers: &[&[u8]]) -> String {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        fs::write(blobs.join(Digest::of(bytes).hex()), bytes).unwrap();
        serde_json::json!({ "digest": Digest::of(bytes), "size": bytes.len() })
    };
    let described = |bytes: &[u8], media_type: &str| {
        let mut descriptor = put(bytes);
        descriptor["mediaType"] = media_type.into();
        descriptor
    };
    let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json"),
        "layers": layers.iter().map(|layer| described(&gzip(layer), GZIP)).collect::<Vec<_>>(),
    });
    let mut entry = described(manifest.to_string().as_bytes(), "application/vnd.oci.image.manifest.v1+json");
    entry["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": "t" });
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [entry] });
    fs::write(dir.join("index.json"), index.to_string()).unwrap();
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    dir.to_str().unwrap().to_owned()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A mount, gone on drop.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    pub(crate) fn new(kind: &str, options: &str, at: &Path) -> Self {
        run(Command::new("mount").args(["-t", kind, "coracle-test", "-o", options]).arg(at));
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run(Command::new("umount").arg(&self.0));
    }
}
