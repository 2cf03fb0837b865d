//! A board that is told to be another: it takes that one's image, byte for byte, and says why it refuses others.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::bench::{ask, command, exe, idle};
use coracle_test_support::agent::{Board, Settings};
use coracle_test_support::images::busybox::busybox;
use coracle_test_support::images::tools::{Content, publish, recompress_with_zstd};
use coracle_test_support::images::{Arch, Form};
use coracle_test_support::registry::Registry;

fn board(registry: &Registry, platforms: &[String]) -> Board {
    let mut settings = Settings::new("other");
    settings.insecure = vec![registry.host()];
    settings.platforms = platforms.to_vec();
    Board::new(exe(), &settings).unwrap()
}

/// An index of three platforms that umoci, skopeo and buildah made.
fn published(registry: &Registry) -> String {
    let content = |arch: Arch| Content {
        command: vec!["uname".into(), "-m".into()],
        files: vec![("/etc/platform".into(), arch.platform())],
    };
    publish(&registry.host(), "made/by-tools:1", Form::Oci, &Arch::ALL, content).unwrap();
    registry.reference("made/by-tools:1")
}

/// Whether the store holds a file of that path in a layer, with these bytes.
fn holds(board: &Board, path: &str, bytes: &[u8]) -> bool {
    fn search(folder: &Path, path: &str, bytes: &[u8]) -> bool {
        fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
            let whole = entry.path();
            let is_dir = fs::symlink_metadata(&whole).unwrap().is_dir();
            let same = !is_dir && whole.ends_with(path) && fs::read(&whole).is_ok_and(|found| found == bytes);
            same || (is_dir && search(&whole, path, bytes))
        })
    }
    search(&board.state_dir().join("layers"), path, bytes)
}

#[track_caller]
fn check(board: &Board, arch: Arch, words: &[&str]) {
    let pulled: Value = serde_json::from_str(&ask(board, words)).unwrap();
    assert_eq!(pulled["platform"], arch.platform(), "{pulled:#}");
    for other in Arch::ALL {
        let is_it = other == arch;
        assert_eq!(holds(board, "bin/busybox", &fs::read(busybox(other).unwrap()).unwrap()), is_it);
        assert_eq!(holds(board, "etc/platform", other.platform().as_bytes()), is_it, "{other:?}");
    }
}

#[test]
fn a_board_told_to_be_another_pulls_that_ones_image_byte_for_byte() {
    let registry = Registry::start().unwrap();
    let image = published(&registry);
    let zstd = registry.reference("made/by-tools:zstd");
    recompress_with_zstd(&format!("{image}-arm64"), &zstd).unwrap();
    for arch in [Arch::ArmV7, Arch::Arm64] {
        check(&board(&registry, &[arch.platform()]), arch, &["pull", "--json", &image]);
        let native = board(&registry, &[]);
        check(&native, arch, &["pull", "--json", "--platform", &arch.platform(), &image]);
    }
    check(&board(&registry, &[Arch::Arm64.platform()]), Arch::Arm64, &["pull", "--json", &zstd]);
    check(&board(&registry, &[]), Arch::Amd64, &["pull", "--json", &image]);
}

#[test]
fn a_lone_manifest_for_another_platform_is_refused_with_both_named() {
    let registry = Registry::start().unwrap();
    let mut image = idle("arm");
    (image.architecture, image.variant) = ("arm".into(), Some("v7".into()));
    image.push(&registry.host(), "lone", Some("1"), Form::Docker).unwrap();
    let board = board(&registry, &["linux/arm64".into()]);
    let reference = registry.reference("lone:1");
    let output = command(&board, &["pull", &reference]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    // An arm64 board may run arm/v7 as well, but this one was told what it is.
    assert!(said.contains("linux/arm/v7") && said.contains("linux/arm64"), "{said}");
    assert!(said.contains(&reference), "{said}");
}

#[test]
fn the_board_explains_which_image_of_an_index_it_takes_and_why() {
    let registry = Registry::start().unwrap();
    let image = published(&registry);
    let board = board(&registry, &[Arch::ArmV7.platform()]);
    let text = ask(&board, &["platform", "--explain", &image]);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("this board runs, best first: linux/arm/v7"), "{text}");
    assert_eq!(lines.len(), 4, "{text}");
    assert_eq!(lines.iter().filter(|line| line.starts_with('*')).count(), 1, "{text}");
    let taken = lines.iter().find(|line| line.starts_with('*')).unwrap();
    assert!(taken.contains("linux/arm/v7"), "{text}");

    let value: Value =
        serde_json::from_str(&ask(&board, &["platform", "--explain", &image, "--json"])).unwrap();
    let entries = value["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 3, "{value:#}");
    let taken: Vec<_> = entries.iter().filter(|entry| entry["taken"] == true).collect();
    assert_eq!((taken.len(), &taken[0]["digest"]), (1, &value["chosen"]), "{value:#}");
    assert!(entries.iter().all(|entry| !entry["why"].as_str().unwrap().is_empty()), "{value:#}");

    let found: Value = serde_json::from_str(&ask(&board, &["platform", "--json"])).unwrap();
    assert_eq!(found["platforms"][0], "linux/arm/v7", "{found:#}");
    assert!(!found["evidence"].as_array().unwrap().is_empty(), "{found:#}");

    let none = self::board(&registry, &["linux/riscv64".into()]);
    let output = command(&none, &["platform", "--explain", &image]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no image for this board") && said.contains("linux/riscv64"), "{said}");
}
