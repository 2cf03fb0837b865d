//! Images that attack whoever pulls them: `coracle pull`, a process of its own, on a board that holds a good image.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use coracle_test_support::agent::{Board, Settings};
use coracle_test_support::faults::FaultRegistry;
use coracle_test_support::images::{Arch, Image, Layer, Packing};
use coracle_test_support::measure::{self, Ran};
use coracle_test_support::process::run;
use coracle_test_support::scratch::TempDir;
use coracle_test_support::tree::{self, Look};

use nix::sched::{CloneFlags, unshare};

use super::table::{self, Family};

/// What one pull may take, at most: the slowest reads ten million headers.
const PATIENCE: Duration = Duration::from_secs(150);
/// Boards at a time.
const AT_A_TIME: usize = 3;
/// Characters of all that a refused pull says.
const SAID_CHARS_MAX: usize = 1500;

/// Where an attack is tried.
pub(super) struct Scene<'a> {
    /// What serves the image `bad/app:1`.
    pub(super) registry: &'a FaultRegistry,
    /// A folder beside the store, with a file that nobody may touch.
    pub(super) outside: &'a Path,
    /// Other servers, which nobody may ask.
    pub(super) others: &'a mut Vec<FaultRegistry>,
}

/// How an attack ends.
pub(super) enum Ends {
    /// By which part it is refused, and all that the error says; `{}` stands for the registry.
    Refused(&'static str, Vec<String>),
    /// The image is taken and does no harm: what is proven, and how, given the layer's tree.
    Harmless(&'static str, fn(&Path, &Path) -> Result<(), String>),
}

/// One attack.
pub(super) struct Attack {
    pub(super) name: &'static str,
    /// Has the registry serve it.
    pub(super) serve: Box<dyn Fn(&mut Scene<'_>) + Send + Sync>,
    pub(super) ends: Ends,
}

pub(super) fn refused(
    name: &'static str,
    serve: impl Fn(&mut Scene<'_>) + Send + Sync + 'static,
    by: &'static str,
    says: &[&str],
) -> Attack {
    let says = says.iter().map(|word| (*word).to_owned()).collect();
    Attack { name, serve: Box::new(serve), ends: Ends::Refused(by, says) }
}

pub(super) fn harmless(
    name: &'static str,
    serve: impl Fn(&mut Scene<'_>) + Send + Sync + 'static,
    proven: &'static str,
    look: fn(&Path, &Path) -> Result<(), String>,
) -> Attack {
    Attack { name, serve: Box::new(serve), ends: Ends::Harmless(proven, look) }
}

/// An image of one layer.
pub(super) fn image(layer: Layer) -> Image {
    Image::new(Arch::Amd64, vec![layer], &["/x"])
}

/// A layer of this archive, as it is.
pub(super) fn plain(archive: &[u8]) -> Layer {
    Layer::pack(archive, Packing::Plain).unwrap()
}

/// Tries them all, those last that leave a layer behind: an image of the same layer would not fetch it. Every one that does not end as it should is told, not only the first.
pub(super) fn all(family: Family, attacks: Vec<Attack>) {
    // Taken from the end.
    let mut attacks = attacks;
    attacks.sort_by_key(|attack| matches!(attack.ends, Ends::Refused(..)));
    attacks.retain(|attack| table::wanted(attack.name));
    let (attacks, failed) = (Mutex::new(attacks), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                let puller = Puller::new();
                loop {
                    let next = attacks.lock().unwrap().pop();
                    let Some(attack) = next else { break };
                    if let Err(why) = puller.attacked(family, &attack, &FaultRegistry::start()) {
                        failed.lock().unwrap().push(format!("{}: {why}", attack.name));
                    }
                }
                if let Err(why) = puller.is_well() {
                    failed.lock().unwrap().push(why);
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} did not end as they should:\n{}", failed.len(), failed.join("\n"));
}

/// Tries attacks of a registry that is not on the board itself: in a network of their own, in which this machine has
/// another address besides.
pub(super) fn from_elsewhere(family: Family, attacks: Vec<Attack>) {
    let tried = std::thread::spawn(move || {
        // Whatever this thread starts from now on is in that network, and goes with it.
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        for words in [&["link", "set", "lo", "up"][..], &["address", "add", "192.0.2.1/32", "dev", "lo"]] {
            run(Command::new("ip").args(words)).unwrap();
        }
        let puller = Puller::new();
        for attack in attacks {
            let registry = FaultRegistry::start_at([192, 0, 2, 1].into());
            puller
                .attacked(family, &attack, &registry)
                .unwrap_or_else(|why| panic!("{}: {why}", attack.name));
        }
    });
    tried.join().unwrap();
}

/// A board that holds a good image, and what must not change.
struct Puller {
    board: Board,
    scratch: TempDir,
    outside: PathBuf,
    good: FaultRegistry,
}

/// What can be seen of a store under names that count.
#[derive(PartialEq, Eq, Debug)]
struct Published {
    names: BTreeSet<String>,
    outside: BTreeMap<PathBuf, Look>,
}

impl Puller {
    fn new() -> Self {
        let (scratch, good) = (TempDir::new("attacked"), FaultRegistry::start());
        let outside = scratch.join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("canary"), "untouched").unwrap();
        let layer = Layer::of_file("good", 0o644, b"good", Packing::Gzip).unwrap();
        good.put_image("good/app", "1", &image(layer));
        let board = Board::new(table::exe(), &Settings::new("attacked")).unwrap();
        let puller = Self { board, scratch, outside, good };
        let ran = puller.pull(&puller.good, "good/app:1").unwrap();
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        puller
    }

    fn pull(&self, registry: &FaultRegistry, name: &str) -> Result<Ran, String> {
        let mut settings = Settings::new("attacked");
        settings.insecure = vec![registry.host()];
        self.board.configure(&settings).unwrap();
        let reference = registry.reference(name);
        let mut command = self.board.command(&["pull", "--quiet", &reference]);
        measure::run(&mut command, &self.scratch, PATIENCE).map_err(|error| error.to_string())
    }

    fn published(&self) -> Published {
        let mut names = BTreeSet::new();
        for folder in ["layers", "images"] {
            for entry in fs::read_dir(self.board.state_dir().join(folder)).unwrap() {
                names.insert(format!("{folder}/{}", entry.unwrap().file_name().to_string_lossy()));
            }
        }
        Published { names, outside: tree::look(&self.outside) }
    }

    fn attacked(&self, family: Family, attack: &Attack, registry: &FaultRegistry) -> Result<(), String> {
        let mut others = Vec::new();
        (attack.serve)(&mut Scene { registry, outside: &self.outside, others: &mut others });
        let before = self.published();
        let ran = self.pull(registry, "bad/app:1")?;
        let after = self.published();
        if let Some(seen) = others.iter().flat_map(FaultRegistry::requests).next() {
            return Err(format!("a stranger was asked: {seen:?}"));
        }
        let (error, peak) = (ran.err.trim().to_owned(), ran.peak_kib);
        if after.outside != before.outside {
            return Err(format!("something outside the store changed: {:?}", after.outside));
        }
        if ran.err.chars().count() > SAID_CHARS_MAX || ran.err.chars().any(|c| c.is_control() && c != '\n') {
            return Err(format!("the error is no fit line for a terminal: {error:?}"));
        }
        match &attack.ends {
            Ends::Refused(by, says) => {
                if ran.code.is_none_or(|code| code == 0) {
                    return Err(format!("ended with {:?}: {}{error}", ran.code, ran.out));
                }
                for words in says.iter().map(|words| words.replace("{}", &registry.host())) {
                    if !error.contains(&words) {
                        return Err(format!("{error:?} does not say {words:?}"));
                    }
                }
                if after != before {
                    return Err(format!(
                        "something was published: {:?}, before {:?}",
                        after.names, before.names
                    ));
                }
                table::refused(family, attack.name, by, &error, Some(peak));
            }
            Ends::Harmless(proven, look) => {
                if ran.code != Some(0) {
                    return Err(format!("ended with {:?}: {error}", ran.code));
                }
                let mut new = after.names.difference(&before.names);
                let layer = new.clone().find(|name| name.starts_with("layers/"));
                let layer = layer.or(new.next()).ok_or("nothing was published")?;
                look(&self.board.state_dir().join(layer).join("tree"), &self.outside)?;
                table::harmless(family, attack.name, proven, Some(peak));
            }
        }
        let most = table::peak_max_kib();
        if peak > most { Err(format!("took {peak} KiB of memory, more than {most}")) } else { Ok(()) }
    }

    /// After all of it the store is sound, and a good image comes as ever.
    fn is_well(&self) -> Result<(), String> {
        let layer = Layer::of_file("good", 0o644, b"another", Packing::Gzip).unwrap();
        self.good.put_image("good/app", "2", &image(layer));
        let ran = self.pull(&self.good, "good/app:2")?;
        if ran.code != Some(0) {
            return Err(format!("a good image does not come any more: {}", ran.err));
        }
        let verify = self.board.command(&["verify"]).output().unwrap();
        let said = String::from_utf8_lossy(&verify.stdout);
        if verify.status.success() { Ok(()) } else { Err(format!("the store is not sound: {said}")) }
    }
}
