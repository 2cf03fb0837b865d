//! Archives that other readers took for something else than their writers, or that reached out of where they were unpacked
//! (agent/docs/security.md).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use coracle_test_support::archive::{Entry, archive};
use coracle_test_support::scratch::TempDir;
use coracle_test_support::tree;

use crate::attacks::table::{self, Family};
use crate::unpack::unpacked;

/// Unpacks to exactly these entries, with the content of `file` as given.
#[track_caller]
fn check(what: &str, entries: Vec<Entry>, names: &[&str], file: (&str, &[u8])) {
    let (dir, looks) = unpacked(&archive(entries));
    let found: BTreeSet<&str> = looks.keys().map(|path| path.to_str().unwrap()).collect();
    let wanted: BTreeSet<&str> = names.iter().copied().chain([""]).collect();
    assert_eq!(found, wanted, "{what}");
    assert_eq!(fs::read(dir.join(file.0)).unwrap(), file.1, "{what}");
    table::harmless(Family::Archive, what, "read as its writer meant it, and nothing else appears", None);
}

#[test]
fn an_entry_is_as_long_as_its_extended_header_says_and_what_it_holds_is_no_entry() {
    let inner = archive([Entry::file("smuggled", "x")]);
    let size = inner.len().to_string();
    let long = "n".repeat(150);
    let file = |name: &str, says: u64| Entry::file(name, &inner).pax("size", &size).says(says);
    let after = || Entry::file("after", "in step");
    check(
        "nothing in the plain header (CVE-2025-62518)",
        vec![file("whole", 0), after()],
        &["whole", "after"],
        ("whole", &inner),
    );
    check(
        "another size in the plain header (CVE-2026-33055)",
        vec![file("whole", 512), after()],
        &["whole", "after"],
        ("whole", &inner),
    );
    check(
        "more in the plain header than there is (CVE-2026-33055)",
        vec![file("whole", 1 << 30), after()],
        &["whole", "after"],
        ("whole", &inner),
    );
    check(
        "a long name between the two headers (RUSTSEC-2026-0112)",
        vec![file(&long, 0), after()],
        &[&long, "after"],
        (&long, &inner),
    );
    check(
        "a size for what has no content",
        vec![Entry::dir("folder").pax("size", "512"), after()],
        &["folder", "after"],
        ("after", b"in step"),
    );
}

#[test]
fn a_folder_entry_over_a_link_leaves_where_the_link_led_alone() {
    let outside = TempDir::new("outside");
    fs::write(outside.join("file"), "of the board").unwrap();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let before = tree::look(&outside);
    let to = outside.to_str().unwrap();
    for entry in [Entry::dir("way"), Entry::dir("way/"), Entry::dir("way/.")] {
        let (dir, _) = unpacked(&archive([Entry::symlink("way", to), entry.mode(0o777)]));
        assert!(dir.join("way").symlink_metadata().unwrap().is_dir());
        assert_eq!(tree::look(&outside), before);
    }
}

#[test]
fn a_file_over_a_link_replaces_the_link_and_not_what_it_names() {
    let outside = TempDir::new("outside");
    fs::write(outside.join("file"), "of the board").unwrap();
    let before = tree::look(&outside);
    let to = outside.join("file");
    let (dir, _) = unpacked(&archive([
        Entry::symlink("soft", to.to_str().unwrap()),
        Entry::file("soft", "of the image"),
        Entry::file("first", "of the image"),
        Entry::hard_link("hard", "first"),
        Entry::file("hard", "another"),
    ]));
    assert_eq!(fs::read(dir.join("soft")).unwrap(), b"of the image");
    assert_eq!(fs::read(dir.join("first")).unwrap(), b"of the image");
    assert_eq!(tree::look(&outside), before);
}

#[test]
fn folders_on_a_way_that_climbs_are_made_within_the_layer() {
    let (dir, looks) = unpacked(&archive([
        Entry::symlink("up", "../../.."),
        Entry::file("up/coracle-made/by/an/archive", "x"),
    ]));
    assert!(looks.contains_key(Path::new("coracle-made/by/an/archive")));
    for above in dir.path().ancestors().skip(1) {
        assert!(!above.join("coracle-made").exists(), "{}", above.display());
    }
}
