//! Images by hand: pulled, pulled again sharing layers, replaced under the same tag, and collected.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use coracle_core::oci::Digest;
use coracle_test_support::agent::{Board, Settings};
use coracle_test_support::images::{Arch, Form, Image, Layer, Packing, push_index, sample};
use coracle_test_support::registry::Registry;

use super::{faithful, problem, trace};
use crate::known::Known;
use crate::record::Recorder;
use crate::recording::{Promise, Recording, Segment};

/// References and the images that they are.
type Held = BTreeMap<String, Digest>;

/// What holds throughout a command that leads from one to the other.
pub(crate) fn promises(before: &Held, after: &Held) -> Vec<Promise> {
    let both = before.iter().filter_map(|(reference, old)| Some((reference, old, after.get(reference)?)));
    both.map(|(reference, old, new)| Promise::Image(reference.clone(), vec![*old, *new])).collect()
}

/// Records it; the registry stays for those who boot what is left.
///
/// # Errors
/// What did not work, or was not understood.
pub fn record(exe: &Path, registry: &Registry, dir: &Path) -> io::Result<Recording> {
    let (lower, upper) =
        (Layer::pack(&sample::lower()?, Packing::Gzip)?, Layer::pack(&sample::upper()?, Packing::Zstd)?);
    let word = |text: &str| Layer::of_file("word", 0o644, text.as_bytes(), Packing::Plain);
    let image = |layers: Vec<Layer>| Image::new(Arch::Amd64, layers, &["true"]);
    let (one, shared) = (image(vec![lower.clone(), upper]), image(vec![lower.clone(), word("shared")?]));
    let next = image(vec![lower, word("next")?]);
    let (app, other) = (registry.reference("app:1"), registry.reference("other:1"));

    let mut known = Known::default();
    let mut learn = |reference: &str, image: &Image| known.learn(reference, image).map_err(problem);
    let (one_is, shared_is, next_is) = (learn(&app, &one)?, learn(&other, &shared)?, learn(&app, &next)?);
    let pushed = one.push(&registry.host(), "app", None, Form::Oci)?;
    push_index(&registry.host(), "app", "1", &[pushed], Form::Oci)?;
    shared.push(&registry.host(), "other", Some("1"), Form::Oci)?;

    let mut settings = Settings::new("crash-store");
    settings.insecure = vec![registry.host()];
    let board = Board::new(exe, &settings)?;
    let root = board.state_dir();
    let mut recorder = Recorder::new(root.as_os_str().as_encoded_bytes());
    let (mut segments, mut held) = (Vec::new(), Held::new());
    let mut step = |name: &str, words: &[&str], after: Held| {
        let begin = recorder.ops.len();
        recorder.read(&trace::command(&board, words, dir)?).map_err(problem)?;
        let promises = promises(&held, &after);
        segments.push(Segment { name: name.to_owned(), ops: begin..recorder.ops.len(), promises });
        held = after;
        io::Result::Ok(())
    };
    let held =
        |images: &[(&String, Digest)]| images.iter().map(|(name, is)| ((*name).clone(), *is)).collect();
    step("first pull", &["pull", &app], held(&[(&app, one_is)]))?;
    step("pull of shared layers", &["pull", &other], held(&[(&app, one_is), (&other, shared_is)]))?;
    next.push(&registry.host(), "app", Some("1"), Form::Oci)?;
    step("pull of a tag that moved", &["pull", &app], held(&[(&app, next_is), (&other, shared_is)]))?;
    step("pin", &["images", "pin", &other], held(&[(&app, next_is), (&other, shared_is)]))?;
    step("prune", &["prune"], held(&[(&other, shared_is)]))?;
    step("pull after it", &["pull", &app], held(&[(&app, next_is), (&other, shared_is)]))?;
    faithful(&recorder, &root, &dir.join("faithful"))?;
    Ok(Recording::new("store", recorder.births, recorder.ops, segments, known))
}
