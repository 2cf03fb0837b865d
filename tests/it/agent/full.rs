//! A disk that fills up at every phase of an update: it is reported, what runs still runs, and room is enough to go on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::bench::{Bench, PATIENCE, broker, idle, image};
use super::document::{Desired, site};
use coracle_test_support::broker::Broker;
use coracle_test_support::faults::{Fault, FaultRegistry, On, Times};
use coracle_test_support::images::{Layer, Packing};
use coracle_test_support::process::{eventually, run};
use coracle_test_support::scratch::TempDir;

/// A small ext4 that ends with the value.
struct SmallDisk {
    at: PathBuf,
    _image: TempDir,
}

impl SmallDisk {
    fn mount(at: &Path, mebibytes: u64) -> Self {
        let image = TempDir::new("ext4");
        let file = image.join("image");
        fs::File::create(&file).unwrap().set_len(mebibytes << 20).unwrap();
        // No blocks kept for root: the agent is root, and boards have none to spare.
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&file)).unwrap();
        fs::create_dir_all(at).unwrap();
        run(Command::new("mount").args(["-o", "loop"]).arg(&file).arg(at)).unwrap();
        Self { at: at.into(), _image: image }
    }

    /// Leaves `left` bytes, and whatever the agent holds in reserve.
    fn fill(&self, left: u64) -> Ballast {
        let path = self.at.join("ballast");
        let stat = nix::sys::statvfs::statvfs(&self.at).unwrap();
        let free = stat.blocks_available() * stat.fragment_size();
        let file = fs::File::create(&path).unwrap();
        let length = i64::try_from(free.saturating_sub(left)).unwrap();
        let _ = nix::fcntl::fallocate(&file, nix::fcntl::FallocateFlags::empty(), 0, length);
        if left == 0 {
            // Blocks of its own bookkeeping may be left: one after the other, to the last.
            let mut file = file;
            while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
        }
        Ballast(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The board's last processes may still hold it.
        let _ = run(Command::new("umount").arg("--lazy").arg(&self.at));
    }
}

/// What fills the disk; removed to make room.
struct Ballast(PathBuf);

impl Ballast {
    fn remove(self) {
        fs::remove_file(self.0).unwrap();
    }
}

/// A board on a disk of 32 MiB, on which generation 1 runs and the reserve is held.
fn running(device: &str) -> (Broker, FaultRegistry, Bench, SmallDisk) {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    let mut bench = Bench::new(&broker, &registry.host(), device);
    let disk = SmallDisk::mount(&bench.board.state_dir(), 32);
    bench.board.start().unwrap();
    bench.until_up();
    bench.deploy(&broker, &Desired::new(device, 1, site(&registry.reference("app:1"))));
    let reserve = bench.board.state_dir().join("reserve");
    eventually(PATIENCE, || fs::metadata(&reserve).is_ok_and(|meta| meta.len() == 4 << 20));
    (broker, registry, bench, disk)
}

/// An image like [`idle`]'s with so many MiB that do not compress.
fn large(word: &str, mebibytes: usize) -> coracle_test_support::images::Image {
    let mut image = idle(word);
    let mut state = word.bytes().fold(1_u32, |state, byte| state.wrapping_mul(31) + u32::from(byte));
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    });
    let noise = noise.take(mebibytes << 20).collect::<Vec<u8>>();
    image.layers.push(Layer::of_file("noise", 0o644, &noise, Packing::Plain).unwrap());
    image
}

/// A passage on account of the full disk was reported for this generation.
#[track_caller]
fn until_full(bench: &Bench, generation: u64) -> Value {
    bench.until_said("event", |event| {
        event["desired"]["gen"] == generation && event["error"]["code"] == "DISK_FULL"
    })
}

fn download_only() -> Value {
    json!({"mode": "download"})
}

#[test]
fn before_the_download_it_is_refused_with_the_figures_and_nothing_is_fetched() {
    let (broker, registry, bench, disk) = running("full-before");
    let process = bench.process("site.web");
    registry.put_image("next", "2", &large("two", 8));
    let ballast = disk.fill(6 << 20);
    Desired::new("full-before", 2, site(&registry.reference("next:2"))).send(&broker);
    let event = until_full(&bench, 2);
    let message = event["error"]["message"].as_str().unwrap();
    assert!(message.contains("to fetch for 2 layers") && message.contains("the disk needs"), "{message}");
    let layers = registry.requests().iter().filter(|seen| seen.path.starts_with("/v2/next/blobs/")).count();
    assert!(layers <= 1, "more than the image config was fetched");
    assert_eq!(bench.process("site.web"), process);
    // A person sees the same, without any of it being fetched.
    let shown = bench
        .board
        .command(&["pull", "--dry-run", "--json", &registry.reference("next:2")])
        .output()
        .unwrap();
    assert_eq!(shown.status.code(), Some(75), "{shown:?}");
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["fits"], &shown["preflight"]["layers"]), (&json!(false), &json!(2)), "{shown:#}");
    ballast.remove();
    bench.until_state(2, "SUCCEEDED");
    bench.until_log("web", "two");
}

#[test]
fn in_the_middle_of_a_layer_it_is_reported_and_the_rest_comes_once_there_is_room() {
    let (broker, registry, bench, disk) = running("full-middle");
    let process = bench.process("site.web");
    let next = large("two", 8);
    let noise = next.layers.last().unwrap().digest.clone();
    registry.put_image("next", "2", &next);
    // It was let in, and somebody else takes the room while it comes.
    let blob = format!("/v2/next/blobs/{noise}");
    registry.script(On::get(&blob), Times::Next(1), Fault::Stall { after: 1 << 20 });
    Desired::new("full-middle", 2, site(&registry.reference("next:2"))).send(&broker);
    eventually(PATIENCE, || registry.requests().iter().any(|seen| seen.path == blob));
    let ballast = disk.fill(0);
    until_full(&bench, 2);
    assert_eq!(bench.process("site.web"), process);
    ballast.remove();
    bench.until_state(2, "SUCCEEDED");
    bench.until_log("web", "two");
}

#[test]
fn staged_it_waits_and_is_applied_once_there_is_room() {
    let (broker, registry, mut bench, disk) = running("full-staged");
    let process = bench.process("site.web");
    registry.put_image("next", "2", &idle("two"));
    let staged = Desired::new("full-staged", 2, site(&registry.reference("next:2"))).policy(&download_only());
    staged.send(&broker);
    bench.until_state(2, "WAITING");
    let ballast = disk.fill(0);
    // The journal still takes the start that it counts: the reserve is for that.
    bench.board.stop().unwrap();
    bench.board.start().unwrap();
    eventually(PATIENCE, || bench.said("up").iter().filter(|up| up["up"] == true).count() > 1);
    bench.until_state(2, "WAITING");
    assert_eq!(bench.process("site.web"), process);
    assert!(!bench.board.state_dir().join("reserve").exists(), "the reserve was not given up");
    ballast.remove();
    Desired { rev: 1, ..staged }.policy(&json!({"mode": "soft"})).send(&broker);
    bench.until_state(2, "SUCCEEDED");
    bench.until_log("web", "two");
    // And it is held again.
    eventually(PATIENCE, || bench.board.state_dir().join("reserve").exists());
}

/// The disk is full when the candidate is applied: it runs, or the old one does; whatever it is, is said.
#[test]
fn applying_ends_with_a_good_deployment_however_full_the_disk_is() {
    let (broker, registry, bench, disk) = running("full-apply");
    registry.put_image("next", "2", &idle("two"));
    let staged = Desired::new("full-apply", 2, site(&registry.reference("next:2"))).policy(&download_only());
    staged.send(&broker);
    bench.until_state(2, "WAITING");
    let ballast = disk.fill(0);
    Desired { rev: 1, ..staged }.policy(&json!({"mode": "soft"})).send(&broker);
    let ended = |state: &Value| {
        let status = state["deployment"]["status"].as_str().unwrap_or_default().to_owned();
        state["desired"]["rev"] == 1 && ["SUCCEEDED", "ROLLED_BACK", "FAILED"].contains(&status.as_str())
    };
    let state = bench.until_said("state", ended);
    let word = if state["deployment"]["status"] == "SUCCEEDED" { "two" } else { "one" };
    bench.until_log("web", word);
    bench.process("site.web");
    ballast.remove();
    registry.put_image("third", "3", &idle("three"));
    bench.deploy(&broker, &Desired::new("full-apply", 3, site(&registry.reference("third:3"))));
    bench.until_log("web", "three");
}

/// The candidate passes its start and fails its trial on a full disk; the good one comes back on it.
#[test]
fn verifying_and_rolling_back_need_no_more_room_than_the_reserve() {
    let (broker, registry, bench, disk) = running("full-back");
    registry.put_image(
        "next",
        "2",
        &image(&["sh", "-c", "while [ ! -e /data/die ]; do sleep 1; done; exit 1"], "two"),
    );
    let web = json!({"image": registry.reference("next:2"), "volumes": ["data:/data"]});
    let project = json!({"site": {"services": {"web": web}, "volumes": {"data": {}}}});
    let bad = Desired::new("full-back", 2, project).policy(&json!({"soak": 600}));
    bad.send(&broker);
    bench.until_state(2, "VERIFYING");
    bench.process("site.web");
    // The file is made before the disk is full, and seen only when it has its name.
    let volume = find(&bench.board.state_dir().join("volumes"), "data").unwrap();
    fs::write(volume.join("later"), "").unwrap();
    let ballast = disk.fill(0);
    fs::rename(volume.join("later"), volume.join("die")).unwrap();
    let state = bench.until_state(2, "ROLLED_BACK");
    assert_eq!(state["lastGood"]["gen"], 1, "{state:#}");
    bench.until_log("web", "one");
    bench.process("site.web");
    ballast.remove();
    registry.put_image("third", "3", &idle("three"));
    bench.deploy(&broker, &Desired::new("full-back", 3, site(&registry.reference("third:3"))));
}

/// The folder of that ending anywhere below.
fn find(dir: &Path, ending: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    let entries = entries.collect::<Vec<_>>();
    let here = entries.iter().find(|path| path.to_string_lossy().ends_with(ending)).cloned();
    here.or_else(|| entries.iter().find_map(|path| find(path, ending)))
}

#[test]
fn images_that_nothing_needs_make_way_and_those_that_people_pinned_do_not() {
    let (broker, registry, bench, disk) = running("full-way");
    for (name, word) in [("old", "old"), ("dear", "dear")] {
        registry.put_image(name, "1", &large(word, 4));
        bench.ask(&["pull", "--quiet", &registry.reference(&format!("{name}:1"))]);
    }
    let dear = registry.reference("dear:1");
    bench.ask(&["images", "pin", &dear]);
    registry.put_image("next", "2", &large("two", 3));
    // Less than the new one takes, more with the old one gone.
    let ballast = disk.fill(2 << 20);
    bench.deploy(&broker, &Desired::new("full-way", 2, site(&registry.reference("next:2"))));
    let images: Vec<Value> = serde_json::from_str(&bench.ask(&["images", "--json"])).unwrap();
    let held = |name: &str| {
        let named = |image: &&Value| image["image"]["reference"].as_str().unwrap().contains(name);
        images.iter().find(named).map(|image| image["pinned"] == true)
    };
    assert_eq!(
        (held("/old:"), held("/dear:"), held("/app:")),
        (None, Some(true), Some(false)),
        "{images:#?}"
    );

    bench.ask(&["prune"]);
    assert!(bench.ask(&["images"]).contains("/dear:1"), "prune removed what was pinned");
    bench.ask(&["images", "unpin", &dear]);
    bench.ask(&["prune"]);
    assert!(!bench.ask(&["images"]).contains("/dear:1"));
    ballast.remove();
}

#[test]
fn above_the_high_mark_images_that_nothing_needs_go_by_themselves() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    registry.put_image("old", "1", &large("old", 6));
    let mut bench = Bench::new(&broker, &registry.host(), "marks");
    let disk = SmallDisk::mount(&bench.board.state_dir(), 32);
    bench.board.start().unwrap();
    bench.until_up();
    bench.deploy(&broker, &Desired::new("marks", 1, site(&registry.reference("app:1"))));
    bench.ask(&["pull", "--quiet", &registry.reference("old:1")]);
    let _ballast = disk.fill(1 << 20);
    eventually(PATIENCE, || {
        let images = bench.ask(&["images"]);
        if images.contains("/old:1") { Err(images) } else { Ok(()) }
    });
    assert!(bench.ask(&["images"]).contains("/app:1"));
    bench.process("site.web");
}
