//! `coracle verify` on a board: what is damaged is found, named and fetched again, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::bench::{ask, command, exe, idle, process, push};
use crate::scrub::flip;
use coracle_test_support::agent::{Board, Settings};
use coracle_test_support::registry::Registry;

/// A board without an agent that runs one workload.
struct Bench {
    registry: Option<Registry>,
    board: Board,
    image: String,
}

impl Bench {
    fn new() -> Self {
        let registry = Registry::start().unwrap();
        let mut settings = Settings::new("verify");
        settings.insecure = vec![registry.host()];
        let board = Board::new(exe(), &settings).unwrap();
        let image = push(&registry, "app:1", &idle("one"));
        ask(&board, &["run", "-d", "--name", "web", "--restart", "always", &image]);
        Self { registry: Some(registry), board, image }
    }

    /// The code and the JSON of a look.
    #[track_caller]
    fn verify(&self, words: &[&str]) -> (i32, Value) {
        let output = command(&self.board, &[&["verify", "--json"], words].concat());
        let said = String::from_utf8_lossy(&output.stdout);
        let value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output.status.code().unwrap(), value)
    }

    #[track_caller]
    fn sound(&self) {
        let (code, told) = self.verify(&[]);
        assert_eq!((code, &told["findings"]), (0, &serde_json::json!([])), "{told:#}");
    }

    /// The home of the layer with that file.
    #[track_caller]
    fn layer_with(&self, file: &str) -> PathBuf {
        let homes = fs::read_dir(self.board.state_dir().join("layers")).unwrap();
        let mut homes = homes.map(|home| home.unwrap().path());
        homes.find(|home| home.join("tree").join(file).exists()).unwrap()
    }

    fn blobs(&self) -> Vec<PathBuf> {
        let blobs = fs::read_dir(self.board.state_dir().join("blobs")).unwrap();
        blobs.map(|blob| blob.unwrap().path()).collect()
    }

    fn record(&self) -> PathBuf {
        let mut records = fs::read_dir(self.board.state_dir().join("images")).unwrap();
        records.next().unwrap().unwrap().path()
    }
}

fn wire_bytes(home: &Path) -> u64 {
    let record: Value = serde_json::from_slice(&fs::read(home.join("layer.json")).unwrap()).unwrap();
    record["wire_bytes"].as_u64().unwrap()
}

#[test]
fn a_flipped_byte_is_found_named_and_repaired_under_a_running_workload() {
    let bench = Bench::new();
    bench.sound();
    let running = process(&bench.board, "local.web");
    let home = bench.layer_with("word");
    flip(&home.join("tree/word"), 1);

    let (code, told) = bench.verify(&[]);
    let finding = &told["findings"][0];
    assert_eq!((code, told["findings"].as_array().unwrap().len()), (1, 1), "{told:#}");
    assert_eq!((&finding["kind"], &finding["damaged"]), (&"layer".into(), &1.into()), "{told:#}");
    let expected = serde_json::json!([{"path": "word", "problem": "has other content"}]);
    assert_eq!(finding["damage"], expected);
    assert_eq!(finding["workloads"], serde_json::json!(["local.web"]));
    assert!(finding["images"][0].as_str().unwrap().contains("/app"), "{told:#}");
    let text = command(&bench.board, &["verify"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for word in ["word has other content", "local.web runs on it", "1 damaged"] {
        assert!(text.contains(word), "{text}");
    }

    let (code, told) = bench.verify(&["--repair"]);
    assert_eq!((code, &told["findings"][0]["repaired"]), (0, &true.into()), "{told:#}");
    assert_eq!(told["fetchedLayers"], 1, "{told:#}");
    assert_eq!(told["fetchedBytes"], wire_bytes(&home), "only the layer was to come: {told:#}");
    assert_eq!(told["restart"], serde_json::json!(["local.web"]), "{told:#}");
    assert_eq!(fs::read(home.join("tree/word")).unwrap(), b"one\n");
    bench.sound();

    // It was not touched, and has what it had: the page that it read before, or the damaged copy.
    assert_eq!(process(&bench.board, "local.web"), running);
    assert!(ask(&bench.board, &["exec", "web", "ls", "/bin"]).contains("busybox"));
    assert_eq!(ask(&bench.board, &["exec", "web", "cat", "/word"]).len(), 4);
    assert_eq!(fs::read_dir(bench.board.state_dir().join("retired")).unwrap().count(), 1);

    let (code, told) = bench.verify(&["--restart"]);
    assert_eq!((code, &told["restart"]), (0, &serde_json::json!([])), "{told:#}");
    assert_ne!(process(&bench.board, "local.web"), running);
    assert_eq!(ask(&bench.board, &["exec", "web", "cat", "/word"]), "one\n");
    assert_eq!(fs::read_dir(bench.board.state_dir().join("retired")).unwrap().count(), 0);
}

#[test]
fn each_part_of_an_image_that_is_damaged_or_gone_comes_back_alone() {
    let bench = Bench::new();
    let busybox = bench.layer_with("bin/busybox");
    let harms: [(&str, &dyn Fn(), u64); 5] = [
        ("layer", &|| fs::remove_dir_all(&busybox).unwrap(), 1),
        ("layer", &|| fs::write(busybox.join("layer.json"), "{").unwrap(), 1),
        ("layer", &|| fs::remove_file(busybox.join("list")).unwrap(), 1),
        ("image record", &|| fs::write(bench.record(), "{\"version\": 1").unwrap(), 0),
        ("image record", &|| fs::write(bench.record(), "").unwrap(), 0),
    ];
    for (kind, harm, layers) in harms {
        harm();
        let (code, told) = bench.verify(&[]);
        assert_eq!((code, &told["findings"][0]["kind"]), (1, &kind.into()), "{told:#}");
        let (code, told) = bench.verify(&["--repair"]);
        assert_eq!((code, &told["fetchedLayers"]), (0, &layers.into()), "{told:#}");
        bench.sound();
    }
    for blob in bench.blobs() {
        flip(&blob, 3);
        let (code, told) = bench.verify(&[]);
        let kind = told["findings"][0]["kind"].as_str().unwrap();
        assert!(code == 1 && ["manifest", "image config"].contains(&kind), "{told:#}");
        let (code, told) = bench.verify(&["--repair"]);
        let bytes = fs::metadata(&blob).unwrap().len();
        assert_eq!((code, &told["fetchedBytes"]), (0, &bytes.into()), "{told:#}");
        fs::remove_file(&blob).unwrap();
        assert_eq!(bench.verify(&["--repair"]).0, 0);
        bench.sound();
    }
}

#[test]
fn without_its_registry_a_board_says_so_and_removes_nothing() {
    let mut bench = Bench::new();
    let home = bench.layer_with("word");
    flip(&home.join("tree/word"), 0);
    drop(bench.registry.take());
    let output = command(&bench.board, &["verify", "--repair"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    for word in ["word has other content", "not repaired: failed to get image", "0 repaired"] {
        assert!(text.contains(word), "{text}");
    }
    assert_eq!(fs::read(home.join("tree/word")).unwrap(), b"nne\n");
    process(&bench.board, "local.web");
}

#[test]
fn a_person_may_ask_about_one_image_or_one_layer() {
    let bench = Bench::new();
    let (busybox, word) = (bench.layer_with("bin/busybox"), bench.layer_with("word"));
    flip(&word.join("tree/word"), 0);
    let name = |home: &Path| home.file_name().unwrap().to_string_lossy().into_owned();
    let (code, told) = bench.verify(&[&name(&busybox)[..12]]);
    assert_eq!((code, &told["layers"]), (0, &1.into()), "{told:#}");
    let (code, told) = bench.verify(&[&format!("sha256:{}", name(&word))]);
    assert_eq!((code, &told["layers"]), (1, &1.into()), "{told:#}");
    let (code, told) = bench.verify(&[&bench.image]);
    assert_eq!((code, &told["layers"]), (1, &2.into()), "{told:#}");
    let output = command(&bench.board, &["verify", "nowhere.invalid/x"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(64) && said.contains("coracle images"), "{output:?}");
}

#[test]
fn layers_of_earlier_versions_are_told_apart_and_fetched_only_when_asked_for() {
    let bench = Bench::new();
    let home = bench.layer_with("word");
    let record = home.join("layer.json");
    let mut json: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    json.as_object_mut().unwrap().remove("list");
    fs::write(&record, json.to_string()).unwrap();
    let (code, told) = bench.verify(&["--repair"]);
    assert_eq!((code, told["unlisted"].as_array().unwrap().len()), (0, 1), "{told:#}");
    assert_eq!(told["fetchedLayers"], 0, "{told:#}");
    assert!(ask(&bench.board, &["verify"]).contains("--unlisted"));
    let (code, told) = bench.verify(&["--unlisted", "--repair"]);
    assert_eq!((code, &told["fetchedLayers"]), (0, &1.into()), "{told:#}");
    bench.sound();
}
