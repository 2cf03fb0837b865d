//! What a power cut has left on a board's disk, judged without any of the agent's own code.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use coracle_test_support::tree::{Look, look};
use serde_json::Value;

type Tree = BTreeMap<PathBuf, Look>;

/// The layers as they must be, and what was durable before: a later cut may not leave less.
pub struct Judge {
    layers: BTreeMap<String, Tree>,
    journaled: bool,
    active: u64,
}

impl Judge {
    /// Judges by the layers that the disk has in the end, mounted at `whole`.
    pub fn new(whole: &Path) -> io::Result<Self> {
        let layers = names(&whole.join("layers"))?;
        let tree = |name: String| (name.clone(), look(&whole.join("layers").join(name)));
        Ok(Self { layers: layers.into_iter().map(tree).collect(), journaled: false, active: 0 })
    }

    /// Layers that every disk is compared with.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Looks at the disk mounted at `place`, later than all that were looked at before.
    pub fn judge(&mut self, place: &Path) -> Result<(), String> {
        let layers = names(&place.join("layers")).unwrap_or_default();
        for name in &layers {
            let whole =
                self.layers.get(name).ok_or_else(|| format!("layer {name} is not one of this board"))?;
            if let Some(path) = difference(whole, &look(&place.join("layers").join(name))) {
                return Err(format!("layer {name} is published and not whole: {}", path.display()));
            }
        }
        for file in names(&place.join("images")).unwrap_or_default() {
            // What begins with a dot is on its way in.
            if file.starts_with('.') {
                continue;
            }
            let image = json(&place.join("images").join(&file))?;
            complete(place, &image, &layers).map_err(|missing| format!("image {file} has no {missing}"))?;
        }
        self.journal(place, &layers)
    }

    fn journal(&mut self, place: &Path, layers: &[String]) -> Result<(), String> {
        let path = place.join("journal");
        if !path.exists() {
            return if self.journaled { Err("the journal is gone".to_owned()) } else { Ok(()) };
        }
        let journal = json(&path)?;
        self.journaled = true;
        let active = &journal["record"]["rollout"]["active"];
        let number = active["generation"]["gen"].as_u64().unwrap_or(0);
        if number < self.active {
            return Err(format!("generation {} was good already, the journal says {number}", self.active));
        }
        self.active = number;
        let workloads = active["workloads"].as_object().into_iter().flatten();
        for (id, workload) in workloads {
            let manifest = hex(&workload["image"]["manifest"]);
            let manifest = json(&place.join("blobs").join(manifest))?;
            let config = json(&place.join("blobs").join(hex(&manifest["config"]["digest"])))?;
            let diff_ids = config["rootfs"]["diff_ids"].as_array().into_iter().flatten();
            if let Some(lost) = diff_ids.map(hex).find(|diff_id| !layers.contains(diff_id)) {
                return Err(format!("{id} of the good generation {number} has lost layer {lost}"));
            }
        }
        Ok(())
    }
}

/// Whether everything that an image's record names is there; else what is not.
fn complete(place: &Path, image: &Value, layers: &[String]) -> Result<(), String> {
    for key in ["index", "manifest", "config"] {
        let blob = hex(&image[key]);
        if !place.join("blobs").join(&blob).is_file() {
            return Err(format!("{key} {blob}"));
        }
    }
    let wanted = image["layers"].as_array().into_iter().flatten().map(hex);
    wanted
        .into_iter()
        .find(|layer| !layers.contains(layer))
        .map_or(Ok(()), |layer| Err(format!("layer {layer}")))
}

/// The first path of a published layer that is not as it must be. What the layer came by may still lie beside its tree:
/// it is cleared away after the publication, at the latest by the next start.
fn difference(whole: &Tree, found: &Tree) -> Option<PathBuf> {
    let of_layer = |path: &&PathBuf| {
        !path.as_os_str().is_empty() && (path.starts_with("tree") || whole.contains_key(*path))
    };
    whole
        .keys()
        .chain(found.keys())
        .filter(of_layer)
        .find(|path| whole.get(*path) != found.get(*path))
        .cloned()
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    entries.collect()
}

fn json(path: &Path) -> Result<Value, String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))
}

/// The digits of a digest.
fn hex(digest: &Value) -> String {
    digest.as_str().unwrap_or_default().trim_start_matches("sha256:").to_owned()
}

#[cfg(test)]
mod tests {
    use coracle_test_support::scratch::TempDir;
    use serde_json::json;

    use super::*;

    /// A disk with one layer, its image, and a journal that calls generation 2 good.
    fn disk() -> TempDir {
        let dir = TempDir::new("remains");
        for folder in ["layers/aa/tree", "images", "blobs"] {
            fs::create_dir_all(dir.join(folder)).unwrap();
        }
        let write = |path: &str, value: Value| fs::write(dir.join(path), value.to_string()).unwrap();
        fs::write(dir.join("layers/aa/tree/file"), "content").unwrap();
        write("blobs/c0", json!({"rootfs": {"diff_ids": ["sha256:aa"]}}));
        write("blobs/e0", json!({"config": {"digest": "sha256:c0"}}));
        let image = json!({"index": "sha256:e0", "manifest": "sha256:e0", "config": "sha256:c0", "layers": ["sha256:aa"]});
        write("images/1.json", image);
        let web = json!({"image": {"manifest": "sha256:e0"}});
        let active = json!({"generation": {"gen": 2}, "workloads": {"site.web": web}});
        write("journal", json!({"record": {"rollout": {"active": active}}}));
        dir
    }

    #[track_caller]
    fn check(harm: impl FnOnce(&Path), expected: &str) {
        let dir = disk();
        let mut judge = Judge::new(&dir).unwrap();
        assert_eq!((judge.judge(&dir), judge.layers()), (Ok(()), 1));
        harm(&dir);
        let found = judge.judge(&dir).unwrap_err();
        assert!(found.contains(expected), "{found}");
    }

    #[test]
    fn every_loss_is_found() {
        let write = |path: &'static str, text: &'static str| {
            move |dir: &Path| fs::write(dir.join(path), text).unwrap()
        };
        let remove = |path: &'static str| move |dir: &Path| fs::remove_file(dir.join(path)).unwrap();
        check(write("layers/aa/tree/file", ""), "not whole: tree/file");
        check(write("layers/aa/tree/more", ""), "not whole");
        check(write("images/1.json", ""), "1.json");
        check(remove("blobs/c0"), "config c0");
        check(write("journal", "{"), "journal");
        check(remove("journal"), "the journal is gone");
        check(write("journal", "{}"), "generation 2 was good already");
        let lost = |dir: &Path| {
            fs::remove_file(dir.join("images/1.json")).unwrap();
            fs::remove_dir_all(dir.join("layers/aa")).unwrap();
        };
        check(lost, "has lost layer aa");
    }
}
