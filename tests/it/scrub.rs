//! What a look at the store finds, and what a fresh copy of a layer leaves to those who run on the old one.

use std::fs::{self, File, Permissions};
use std::io::{Cursor, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;

use coracle_core::oci::Digest;
use coracle_host::store::{Condition, Depth, LayerSpec, Looked, Store};
use coracle_test_support::archive::{Entry, archive, gzip};
use coracle_test_support::scratch::TempDir;

use crate::unpack::{ingest, spec, store};

/// A layer with something of every kind.
fn kinds() -> Vec<u8> {
    archive([
        Entry::dir("./").mode(0o755).mtime(900_000_000),
        Entry::dir("bin"),
        Entry::file("bin/sh", vec![7; 300_000]).mode(0o4755),
        Entry::hard_link("bin/bash", "bin/sh"),
        Entry::hard_link("bin/dash", "bin/sh"),
        Entry::symlink("bin/ash", "sh").owner(7, 7),
        Entry::file("bin/ping", "p").attribute("user.note", "n"),
        Entry::device(b'3', "bin/null", 1, 3),
        Entry::of(b'6', "bin/fifo"),
        Entry::file("bin/.wh.gone", ""),
        Entry::dir("var"),
        Entry::file("var/.wh..wh..opq", ""),
        Entry::dir("var/deep"),
        Entry::file("var/deep/file", "x").owner(70_000, 5).pax("mtime", "1350244992.023960108"),
        Entry::file("var/empty", ""),
        // The last one wins.
        Entry::file("var/twice", "once"),
        Entry::file("var/twice", "and again"),
    ])
}

struct Bench {
    dir: TempDir,
    store: Store,
    blob: Vec<u8>,
    spec: LayerSpec,
}

impl Bench {
    fn new(tar: &[u8]) -> Self {
        let (dir, store) = store();
        let blob = gzip(tar);
        let spec = spec(&blob, tar);
        ingest(&store, &spec, &blob).unwrap();
        Self { dir, store, blob, spec }
    }

    fn home(&self) -> std::path::PathBuf {
        self.dir.join("layers").join(self.spec.diff_id.hex())
    }

    fn tree(&self) -> std::path::PathBuf {
        self.home().join("tree")
    }

    #[track_caller]
    fn look(&self) -> Looked {
        match self.store.verify_layer(&self.spec.diff_id, Depth::Content, &mut |_| {}).unwrap() {
            Condition::Looked(looked) => looked,
            other @ (Condition::Missing | Condition::Unlisted) => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn told(&self) -> Vec<String> {
        let looked = self.look();
        assert_eq!(looked.damaged, looked.damage.len() as u64);
        let line = |damage: &coracle_host::store::Damage| {
            format!("{} {}", damage.path.as_deref().unwrap_or("-"), damage.problem)
        };
        looked.damage.iter().map(line).collect()
    }
}

#[test]
fn a_layer_that_nobody_touched_is_sound() {
    let bench = Bench::new(&kinds());
    let looked = bench.look();
    assert_eq!((looked.damaged, looked.entries), (0, 15), "{looked:?}");
    // A file of three names is read once.
    assert_eq!(looked.bytes, 300_000 + 1 + 1 + 9);
    assert_eq!(bench.told(), [""; 0]);
    let none = Bench::new(&archive([]));
    assert_eq!((none.look().damaged, none.look().entries), (0, 1));
}

/// One harm done to a sound layer, and what is told of it.
#[track_caller]
fn harmed(harm: impl Fn(&Path), told: &[&str]) {
    let bench = Bench::new(&kinds());
    harm(&bench.tree());
    assert_eq!(bench.told(), told);
    // What was found is mended by a fresh copy.
    bench.store.replace_layer(&bench.spec, Cursor::new(&bench.blob), |_| {}).unwrap();
    assert_eq!(bench.told(), [""; 0]);
}

/// Changes the file in its place and gives it back its times, as a disk that rots does.
pub(crate) fn flip(path: &Path, at: u64) {
    let times = fs::metadata(path).unwrap();
    let mut file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
    file.set_modified(times.modified().unwrap()).unwrap();
}

fn keeping_times(dir: &Path, change: impl Fn()) {
    let before = fs::metadata(dir).unwrap().modified().unwrap();
    change();
    File::open(dir).unwrap().set_modified(before).unwrap();
}

#[test]
fn every_harm_is_found_named_and_mended() {
    harmed(|tree| flip(&tree.join("bin/sh"), 299_999), &["bin/bash has other content"]);
    harmed(|tree| flip(&tree.join("var/deep/file"), 0), &["var/deep/file has other content"]);
    harmed(
        |tree| {
            let file = File::options().write(true).open(tree.join("bin/ping")).unwrap();
            let before = file.metadata().unwrap().modified().unwrap();
            file.set_len(0).unwrap();
            file.set_modified(before).unwrap();
        },
        &["bin/ping had 1 bytes and has 0"],
    );
    harmed(
        |tree| keeping_times(&tree.join("var"), || fs::remove_file(tree.join("var/empty")).unwrap()),
        &["var/empty is missing"],
    );
    harmed(
        |tree| keeping_times(&tree.join("var"), || fs::remove_dir_all(tree.join("var/deep")).unwrap()),
        &["var/deep is missing"],
    );
    harmed(
        |tree| {
            keeping_times(&tree.join("var"), || {
                fs::create_dir(tree.join("var/new")).unwrap();
                fs::write(tree.join("var/new/file"), "").unwrap();
            });
        },
        &["var/new was not there when the layer was unpacked"],
    );
    harmed(
        |tree| fs::set_permissions(tree.join("bin/sh"), Permissions::from_mode(0o755)).unwrap(),
        &[
            "bin/bash had mode 4755 and has 0755",
            "bin/dash had mode 4755 and has 0755",
            "bin/sh had mode 4755 and has 0755",
        ],
    );
    harmed(
        |tree| chown(tree.join("var"), Some(1), None).unwrap(),
        &["var belonged to 0:0 and belongs to 1:0"],
    );
    harmed(
        |tree| {
            File::open(tree.join("var/empty"))
                .unwrap()
                .set_modified(std::time::SystemTime::UNIX_EPOCH)
                .unwrap();
        },
        &["var/empty has another time of change"],
    );
    harmed(
        |tree| {
            keeping_times(&tree.join("bin"), || {
                fs::remove_file(tree.join("bin/dash")).unwrap();
                fs::copy(tree.join("bin/sh"), tree.join("bin/dash")).unwrap();
                let time = fs::metadata(tree.join("bin/sh")).unwrap().modified().unwrap();
                File::open(tree.join("bin/dash")).unwrap().set_modified(time).unwrap();
            });
        },
        &[
            "bin/bash has other names",
            "bin/dash has other names",
            "bin/dash has other names",
            "bin/sh has other names",
        ],
    );
    harmed(
        |tree| {
            keeping_times(&tree.join("bin"), || {
                fs::remove_file(tree.join("bin/ping")).unwrap();
                symlink("/bin/sh", tree.join("bin/ping")).unwrap();
            });
        },
        &["bin/ping was a file and is a symbolic link"],
    );
}

#[test]
fn damage_without_end_is_counted_and_not_told_without_end() {
    let tar = archive((0..2000).map(|n| Entry::file(format!("f{n:05}"), "x")));
    let bench = Bench::new(&tar);
    for n in 0..1000 {
        fs::set_permissions(bench.tree().join(format!("f{n:05}")), Permissions::from_mode(0o000)).unwrap();
    }
    let looked = bench.look();
    assert_eq!((looked.damaged, looked.damage.len()), (1000, 256));
}

#[test]
fn a_directory_of_many_names_is_looked_at_in_pieces() {
    // Deep enough that each piece holds some hundred names only.
    let deep = "d/".repeat(8);
    let name = |n: u32| Digest::of(&n.to_be_bytes()).hex();
    let tar = archive((0..3000).map(|n| Entry::file(format!("{deep}{}", name(n)), "x")));
    let bench = Bench::new(&tar);
    assert_eq!((bench.look().entries, bench.look().damaged), (3009, 0));
    let lost = name(263);
    let dir = bench.tree().join(&deep);
    keeping_times(&dir, || fs::remove_file(dir.join(&lost)).unwrap());
    assert_eq!(bench.told(), [format!("{deep}{lost} is missing")]);
}

#[test]
fn a_list_that_is_not_whole_is_not_believed() {
    for (harm, told) in [
        (None, "list is missing"),
        (Some(0), "list is not what was written"),
        (Some(30), "list is not what was written"),
        (Some(u64::MAX), "list is not what was written"),
    ] {
        let bench = Bench::new(&kinds());
        let list = bench.home().join("list");
        match harm {
            None => fs::remove_file(&list).unwrap(),
            Some(u64::MAX) => fs::write(&list, &fs::read(&list).unwrap()[..40]).unwrap(),
            Some(at) => flip(&list, at),
        }
        assert_eq!(bench.told(), [told]);
    }
    let bench = Bench::new(&kinds());
    fs::write(bench.home().join("layer.json"), "{").unwrap();
    assert_eq!(bench.told(), ["layer.json is not what was written"]);
    fs::remove_dir_all(bench.tree()).unwrap();
    ingest(&bench.store, &bench.spec, &bench.blob).unwrap();
    assert_eq!(bench.told(), [""; 0]);
}

#[test]
fn a_layer_of_an_agent_that_made_no_list_is_told_apart() {
    let (dir, store) = store();
    let id = Digest::from_hex(&"ab".repeat(32)).unwrap();
    let look = |depth| store.verify_layer(&id, depth, &mut |_| {}).unwrap();
    assert_eq!(look(Depth::Content), Condition::Missing);
    let home = dir.join("layers").join(id.hex());
    fs::create_dir_all(home.join("tree")).unwrap();
    fs::write(home.join("layer.json"), include_str!("../data/saved/layer-1.json")).unwrap();
    assert_eq!(look(Depth::Content), Condition::Unlisted);
    assert_eq!(look(Depth::Records), Condition::Unlisted);
}

#[test]
fn a_list_of_version_1_is_still_read() {
    let bench = Bench::new(&kinds());
    let saved: &[u8] = include_bytes!("../data/saved/list-1.bin");
    fs::write(bench.home().join("list"), saved).unwrap();
    let sum = u32::from_le_bytes(saved[saved.len() - 4..].try_into().unwrap());
    let record = bench.home().join("layer.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    json["list"] = sum.into();
    fs::write(&record, json.to_string()).unwrap();
    assert_eq!(bench.told(), [""; 0]);
}

#[test]
fn a_fresh_copy_leaves_the_old_one_to_those_who_use_it() {
    let bench = Bench::new(&kinds());
    flip(&bench.tree().join("bin/sh"), 5);
    // A directory that is open stands for an overlay: both hold the directory and not its name.
    let old = File::open(bench.tree()).unwrap();
    let through = |name: &str| {
        use std::os::fd::AsRawFd as _;
        fs::read(format!("/proc/self/fd/{}/{name}", old.as_raw_fd()))
    };
    bench.store.replace_layer(&bench.spec, Cursor::new(&bench.blob), |_| {}).unwrap();
    assert_eq!(bench.told(), [""; 0]);
    assert_eq!(through("bin/sh").unwrap()[5], 6, "the old copy changed under its user");
    assert_eq!(fs::read_dir(bench.dir.join("ingest")).unwrap().count(), 0);
    // A start of the agent leaves it too.
    Store::open(bench.dir.path()).unwrap().collect_leftovers().unwrap();
    let mut asked = Vec::new();
    let left = bench.store.sweep_retired(&|retired| retired.layer == bench.spec.diff_id && retired.at > 0);
    assert_eq!(left.unwrap(), 1);
    assert!(through("bin/sh").is_ok());
    let swept = std::cell::RefCell::new(&mut asked);
    let left = bench.store.sweep_retired(&|retired| {
        swept.borrow_mut().push(*retired);
        false
    });
    assert_eq!((left.unwrap(), asked.len()), (0, 1));
    assert!(through("bin/sh").is_err());
    // What is of another boot goes without a question.
    let other = bench.dir.join("retired").join(format!("{}.0-0.5.1-1", bench.spec.diff_id.hex()));
    fs::create_dir(&other).unwrap();
    assert_eq!(bench.store.sweep_retired(&|_| true).unwrap(), 0);
    assert!(!other.exists());
}

#[test]
fn a_fetch_that_fails_leaves_the_damaged_layer_as_it_is() {
    let bench = Bench::new(&kinds());
    flip(&bench.tree().join("bin/sh"), 5);
    let half = &bench.blob[..bench.blob.len() / 2];
    bench.store.replace_layer(&bench.spec, Cursor::new(half), |_| {}).unwrap_err();
    assert_eq!(bench.told(), ["bin/bash has other content"]);
    assert!(bench.store.has_layer(&bench.spec.diff_id));
    assert!(!bench.dir.join("retired").exists());
}

#[test]
fn damaged_blobs_and_records_are_told_apart_from_missing_ones() {
    let (dir, store) = store();
    let digest = store.put_blob(b"manifest").unwrap();
    assert_eq!(store.verify_blob(&digest), None);
    fs::write(dir.join("blobs").join(digest.hex()), b"manifesT").unwrap();
    assert_eq!(store.verify_blob(&digest).unwrap().to_string(), "has other content");
    assert_eq!(store.verify_blob(&Digest::of(b"none")).unwrap().to_string(), "is missing");
    let name = Digest::of(b"registry.example/app:1");
    fs::write(dir.join("images").join(format!("{}.json", name.hex())), "{}").unwrap();
    let damaged = store.damaged_images().unwrap();
    assert_eq!(damaged.iter().map(|(_, name)| *name).collect::<Vec<_>>(), [Some(name)]);
}
