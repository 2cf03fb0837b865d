//! Archives that no rule forbids, and why they do no harm.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use coracle_test_support::archive::{Entry, archive, old_gnu_sparse};

use super::super::pulls::{Attack, Scene, harmless, image, plain};

const INSIDE: &str = "all of it lies within the layer, nothing outside was touched";

/// An archive made with the path of the folder outside.
fn with_outside(
    name: &'static str,
    make: fn(&str) -> Vec<Entry>,
    proven: &'static str,
    look: fn(&Path, &Path) -> Result<(), String>,
) -> Attack {
    let serve = move |scene: &mut Scene<'_>| {
        let tar = archive(make(scene.outside.to_str().unwrap()));
        scene.registry.put_image("bad/app", "1", &image(plain(&tar)));
    };
    harmless(name, serve, proven, look)
}

fn taken(
    name: &'static str,
    tar: Vec<u8>,
    proven: &'static str,
    look: fn(&Path, &Path) -> Result<(), String>,
) -> Attack {
    let serve = move |scene: &mut Scene<'_>| {
        scene.registry.put_image("bad/app", "1", &image(plain(&tar)));
    };
    harmless(name, serve, proven, look)
}

fn holds(path: &Path, expected: &[u8]) -> Result<(), String> {
    match fs::read(path) {
        Ok(found) if found == expected => Ok(()),
        found => Err(format!("{}: {found:?}", path.display())),
    }
}

fn within(layer: &Path, outside: &Path) -> std::path::PathBuf {
    layer.join(outside.strip_prefix("/").unwrap())
}

fn mode(path: &Path) -> Result<u32, String> {
    fs::symlink_metadata(path).map(|meta| meta.mode()).map_err(|error| format!("{}: {error}", path.display()))
}

fn is(what: bool, otherwise: &str) -> Result<(), String> {
    if what { Ok(()) } else { Err(otherwise.to_owned()) }
}

pub(super) fn attacks() -> Vec<Attack> {
    let mut all = links();
    all.extend(whiteouts());
    all.extend(files());
    all
}

fn links() -> Vec<Attack> {
    vec![
        with_outside(
            "absolute path",
            |outside| vec![Entry::file(format!("{outside}/canary"), "inside")],
            INSIDE,
            |layer, outside| holds(&within(layer, outside).join("canary"), b"inside"),
        ),
        with_outside(
            "symbolic link out, then a write through it",
            |outside| vec![Entry::symlink("evil", outside), Entry::file("evil/canary", "inside")],
            INSIDE,
            |layer, outside| holds(&within(layer, outside).join("canary"), b"inside"),
        ),
        with_outside(
            "relative link out, then a write through it",
            |outside| {
                let up = format!("{}{outside}", "../".repeat(30));
                vec![Entry::symlink("evil", up), Entry::file("evil/canary", "inside")]
            },
            INSIDE,
            |layer, outside| holds(&within(layer, outside).join("canary"), b"inside"),
        ),
        with_outside(
            "symbolic link to a file, then that file again",
            |outside| {
                vec![Entry::symlink("evil", format!("{outside}/canary")), Entry::file("evil", "inside")]
            },
            "the link gave way to the file, nothing outside was touched",
            |layer, _| holds(&layer.join("evil"), b"inside"),
        ),
        with_outside(
            "hard link to a symbolic one, then a write",
            |outside| {
                vec![
                    Entry::symlink("soft", format!("{outside}/canary")),
                    Entry::hard_link("hard", "soft"),
                    Entry::file("hard", "inside"),
                ]
            },
            "the link gave way to the file, nothing outside was touched",
            |layer, _| holds(&layer.join("hard"), b"inside"),
        ),
        with_outside(
            "directory that becomes a link, then a write below it",
            |outside| vec![Entry::dir("d"), Entry::symlink("d", outside), Entry::file("d/canary", "inside")],
            INSIDE,
            |layer, outside| holds(&within(layer, outside).join("canary"), b"inside"),
        ),
        with_outside(
            "mode of a link that leads out",
            |outside| {
                vec![
                    Entry::symlink("evil", format!("{outside}/canary")).mode(0o777).owner(7, 7),
                    Entry::hard_link("twin", "evil"),
                ]
            },
            "owner and mode are the link's own",
            |layer, _| is(fs::symlink_metadata(layer.join("evil")).unwrap().uid() == 7, "not the link's"),
        ),
    ]
}

fn whiteouts() -> Vec<Attack> {
    vec![
        with_outside(
            "whiteout through a link out",
            |outside| vec![Entry::symlink("evil", outside), Entry::file("evil/.wh.canary", "")],
            "the whiteout lies within the layer",
            |layer, outside| {
                let meta = fs::symlink_metadata(within(layer, outside).join("canary"));
                is(meta.is_ok_and(|meta| meta.rdev() == 0), "no whiteout")
            },
        ),
        with_outside(
            "whiteout that is a link out",
            |outside| vec![Entry::symlink(".wh.gone", outside)],
            "only its name counts: an ordinary whiteout",
            |layer, _| {
                is(fs::symlink_metadata(layer.join("gone")).unwrap().file_type().is_char_device(), "none")
            },
        ),
        with_outside(
            "opaque mark that is a link out",
            |outside| vec![Entry::dir("d"), Entry::symlink("d/.wh..wh..opq", outside)],
            "only its name counts: the directory is opaque",
            |layer, _| is(fs::read_dir(layer.join("d")).unwrap().count() == 0, "something lies in it"),
        ),
        taken(
            "opaque mark as a directory with content",
            archive([Entry::dir(".wh..wh..opq"), Entry::file("x", "x")]),
            "only its name counts: the root is opaque",
            |layer, _| holds(&layer.join("x"), b"x"),
        ),
        taken(
            "AUFS bookkeeping",
            archive([Entry::file(".wh..wh.plnk/1.2", "x"), Entry::file(".wh..wh.aufs", "x")]),
            "passed over",
            |layer, _| is(fs::read_dir(layer).unwrap().count() == 0, "something was made"),
        ),
    ]
}

fn files() -> Vec<Attack> {
    vec![
        taken(
            "setuid program",
            archive([Entry::file("su", "#!").mode(0o4755)]),
            "kept for the container; users of the board cannot come near it",
            |layer, _| {
                is(mode(&layer.join("su"))? & 0o7777 == 0o4755, "another mode")?;
                let closed = layer.ancestors().skip(1).take(2).map(mode).collect::<Result<Vec<_>, _>>()?;
                is(closed.iter().any(|mode| mode & 0o077 == 0), "every folder above it is open")
            },
        ),
        taken(
            "fifo",
            archive([Entry::of(b'6', "fifo").mode(0o622)]),
            "made, and never opened",
            |layer, _| is(fs::symlink_metadata(layer.join("fifo")).unwrap().file_type().is_fifo(), "no fifo"),
        ),
        taken(
            "device that every image has",
            archive([Entry::device(b'3', "dev/null", 1, 3)]),
            "null, zero and their like are made; a container's devices are its control group's to allow",
            |layer, _| is(fs::symlink_metadata(layer.join("dev/null")).unwrap().rdev() == 0x103, "another"),
        ),
        taken(
            "names that differ in case",
            archive([Entry::symlink("A", "/etc"), Entry::dir("a"), Entry::file("a/x", "x")]),
            "they stay apart",
            |layer, _| holds(&layer.join("a/x"), b"x"),
        ),
        taken(
            "names that are no text",
            archive([Entry::file(b"\xff\xfe\n\x1b[2J", "x")]),
            "bytes are bytes",
            |layer, _| is(fs::read_dir(layer).unwrap().count() == 1, "not made"),
        ),
        taken(
            "label of the board's security policy",
            archive([Entry::file("f", "").attribute("security.selinux", "system_u:object_r:shadow_t:s0")]),
            "dropped: labels are the board's",
            |layer, _| {
                let attributes = coracle_test_support::tree::attributes(&layer.join("f"));
                is(!attributes.contains_key("security.selinux"), "it was set")
            },
        ),
        taken(
            "sparse file of 1 GiB",
            [old_gnu_sparse("hole", &[(0, b"x")], 1 << 30), archive([])].concat(),
            "its hole takes no room",
            |layer, _| is(fs::metadata(layer.join("hole")).unwrap().blocks() < 2048, "it takes room"),
        ),
        taken(
            "global PAX header with a path",
            archive([
                Entry::file("PaxHeaders/g", "19 path=../../escape\n").kind(b'g'),
                Entry::file("x", "x"),
            ]),
            "global headers are for no entry",
            |layer, _| holds(&layer.join("x"), b"x"),
        ),
        taken(
            "time beyond all calendars",
            archive([Entry::file("x", "x").pax("mtime", "9000000000000000000")]),
            "the file system's latest",
            |layer, _| holds(&layer.join("x"), b"x"),
        ),
        taken(
            "the same file ten thousand times",
            archive((0..10_000).map(|_| Entry::file("same", "x"))),
            "the last one counts, in the memory of one",
            |layer, _| is(fs::read_dir(layer).unwrap().count() == 1, "more than one"),
        ),
    ]
}
