//! Layers that attack the board which unpacks them.
//!
//! [`refused`] is also what `unpack` tries on the unpacker alone, compressed and not, with both ways of finding parents.

mod compressed;
mod taken;

use coracle_core::oci::layer::{Compression, PathError};
use coracle_host::unpack::{Limits, Refusal};
use coracle_test_support::archive::{Entry, archive, gzip, old_gnu_sparse, unfinished};
use coracle_test_support::images::{Layer, Packing};

use super::pulls::{self, Attack, image, plain};
use super::table::Family;

const UNPACKER: &str = "unpacker";

/// An archive that is refused, whatever is around it.
pub(crate) struct Hostile {
    pub(crate) name: &'static str,
    pub(crate) tar: Vec<u8>,
    /// The entry that the error names.
    pub(crate) entry: Option<&'static str>,
    pub(crate) why: Refusal,
}

fn hostile(
    name: &'static str,
    tar: Vec<u8>,
    entry: impl Into<Option<&'static str>>,
    why: Refusal,
) -> Hostile {
    Hostile { name, tar, entry: entry.into(), why }
}

/// A good entry, then a bad one.
fn one(entry: Entry) -> Vec<u8> {
    archive([Entry::file("fine", "x"), entry])
}

/// All that the unpacker refuses by a rule of its own.
pub(crate) fn refused() -> Vec<Hostile> {
    let mut all = names();
    all.extend(links());
    all.extend(kinds());
    all.extend(fields());
    all.extend(ends());
    all
}

fn names() -> Vec<Hostile> {
    let row = |name, entry, shown, why| hostile(name, one(entry), shown, Refusal::Name(why));
    let deep = vec!["d"; 300].join("/");
    let shown: &'static str = Box::leak(deep.clone().into_boxed_str());
    let long: &'static str = Box::leak("n".repeat(256).into_boxed_str());
    vec![
        row("parent path", Entry::file("../escape", "x"), "../escape", PathError::DotDot),
        row(
            "parent path in the middle",
            Entry::file("a/../../escape", "x"),
            "a/../../escape",
            PathError::DotDot,
        ),
        row("the parent itself", Entry::dir(".."), "..", PathError::DotDot),
        row(
            "terminal commands in a name",
            Entry::file("\x1b[2J\r\n/../x", "x"),
            "\\x1b[2J\\r\\n/../x",
            PathError::DotDot,
        ),
        row("empty name", Entry::file("", "x"), "", PathError::Empty),
        row("PAX path with NUL", Entry::file("x", "x").pax("path", "a\0b"), "a\\x00b", PathError::Nul),
        row("whiteout of the parent", Entry::file(".wh...", ""), ".wh...", PathError::Whiteout),
        row("whiteout of nothing", Entry::file(".wh.", ""), ".wh.", PathError::Whiteout),
        row("whiteout of itself", Entry::file(".wh..", ""), ".wh..", PathError::Whiteout),
        row("content below a whiteout", Entry::file(".wh.x/y", ""), ".wh.x/y", PathError::Whiteout),
        row("three hundred directories deep", Entry::file(deep, ""), shown, PathError::Deep),
        row("name too long for a disk", Entry::file(long, ""), long, PathError::LongComponent),
        hostile("file in place of the root", one(Entry::file("/", "x")), "/", Refusal::Root),
        hostile("link in place of the root", one(Entry::symlink(".", "/etc")), ".", Refusal::Root),
        hostile("entry below a file", one(Entry::file("fine/below", "x")), "fine/below", Refusal::Parent),
    ]
}

fn links() -> Vec<Hostile> {
    let target = |text: &str| Refusal::LinkTarget(text.to_owned());
    let chain = (0..60).map(|n| Entry::symlink(format!("l{n}"), format!("l{}", n + 1)));
    vec![
        hostile(
            "hard link to a parent path",
            one(Entry::hard_link("out", "../etc/passwd")),
            "out",
            Refusal::LinkName(PathError::DotDot),
        ),
        hostile(
            "hard link to a file of the board",
            one(Entry::hard_link("out", "/etc/passwd")),
            "out",
            target("etc/passwd"),
        ),
        hostile("hard link below a file", one(Entry::hard_link("out", "fine/x")), "out", target("fine/x")),
        hostile(
            "hard link to the root",
            one(Entry::hard_link("out", "/")),
            "out",
            Refusal::LinkDirectory("/".to_owned()),
        ),
        hostile(
            "hard link through a symbolic one",
            archive([Entry::symlink("evil", "/etc"), Entry::hard_link("out", "evil/passwd")]),
            "out",
            target("evil/passwd"),
        ),
        hostile(
            "hard link to a whiteout",
            archive([Entry::file(".wh.x", ""), Entry::hard_link("out", "x")]),
            "out",
            target("x"),
        ),
        hostile(
            "symbolic links in a circle",
            archive([Entry::symlink("a", "b"), Entry::symlink("b", "a"), Entry::file("a/x", "")]),
            "a/x",
            Refusal::Loop,
        ),
        hostile(
            "a chain of sixty symbolic links",
            archive(chain.chain([Entry::dir("l60"), Entry::file("l0/x", "")])),
            "l0/x",
            Refusal::Loop,
        ),
        hostile(
            "symbolic link to nothing",
            one(Entry::symlink("empty", "")),
            "empty",
            Refusal::SymlinkTarget,
        ),
    ]
}

fn kinds() -> Vec<Hostile> {
    let attribute = |name: &'static str, key: &str, value: &str| {
        let entry = Entry::dir("d").attribute(key, value);
        hostile(name, one(entry), "d", Refusal::OverlayAttribute(key.to_owned()))
    };
    let device = |name: &'static str, kind: u8, major: u32, minor: u32| {
        let entry = Entry::device(kind, "node", major, minor);
        hostile(name, one(entry), "node", Refusal::Device { major, minor })
    };
    vec![
        attribute("overlay attribute: opaque", "trusted.overlay.opaque", "y"),
        attribute("overlay attribute: redirect", "trusted.overlay.redirect", "/etc"),
        attribute("overlay attribute of users: metacopy", "user.overlay.metacopy", ""),
        device("device: the board's disk", b'4', 8, 0),
        device("device: the board's memory", b'3', 1, 1),
        device("device that is a whiteout", b'3', 0, 0),
        hostile("entry of an unknown kind", one(Entry::of(b'M', "volume")), "volume", Refusal::Type(b'M')),
    ]
}

fn fields() -> Vec<Hostile> {
    let pax = |name: &'static str, entry: Entry, why| hostile(name, one(entry), "PaxHeaders/x", why);
    let attributes =
        (0..300).fold(Entry::file("many", ""), |entry, n| entry.attribute(&format!("user.{n}"), "v"));
    let raw = |records: &str| Entry::file("PaxHeaders/x", records).kind(b'x');
    vec![
        hostile(
            "header whose checksum lies",
            one(Entry::file("sum", "x").broken_sum()),
            "sum",
            Refusal::Checksum,
        ),
        hostile(
            "owner that means none",
            one(Entry::file("u", "").owner(u64::from(u32::MAX), 0)),
            "u",
            Refusal::Field("uid"),
        ),
        hostile(
            "group beyond 32 bits",
            one(Entry::file("g", "").owner(0, 1 << 40)),
            "g",
            Refusal::Field("gid"),
        ),
        hostile("size beyond 63 bits", one(Entry::file("s", "").says(u64::MAX)), "s", Refusal::Field("size")),
        hostile(
            "negative size",
            one(Entry::file("s", "").size_field([0xff; 12])),
            "s",
            Refusal::Field("size"),
        ),
        hostile(
            "size that is no number",
            one(Entry::file("s", "").size_field(*b"12345678901z")),
            "s",
            Refusal::Field("size"),
        ),
        hostile(
            "entry larger than any disk",
            one(Entry::file("huge", "").says(1 << 40)),
            "huge",
            Refusal::Bytes(Limits::default().bytes_max),
        ),
        hostile(
            "PAX size larger than any disk",
            one(Entry::file("huge", "").pax("size", "18446744073709551615")),
            "huge",
            Refusal::Bytes(Limits::default().bytes_max),
        ),
        pax(
            "PAX size beyond 64 bits",
            Entry::file("f", "").pax("size", "99999999999999999999"),
            Refusal::Pax("size is no number"),
        ),
        pax("PAX record that lies on its length", raw("99 path=b\n"), Refusal::Pax("a length is wrong")),
        pax("PAX record with an endless length", raw(&"9".repeat(4000)), Refusal::Pax("no length")),
        pax(
            "PAX bomb: one comment",
            Entry::file("p", "").pax("comment", vec![b'x'; 300_000]),
            Refusal::PaxSize,
        ),
        pax(
            "PAX bomb: three hundred attributes",
            attributes,
            Refusal::Pax("more attributes than a file has"),
        ),
        pax("PAX sparse file", Entry::file("s", "").pax("GNU.sparse.major", "1"), Refusal::PaxSparse),
        hostile(
            "GNU name of 5000 bytes",
            one(Entry::file("n".repeat(5000), "")),
            "././@LongLink",
            Refusal::LongName,
        ),
        hostile(
            "sparse file with data beyond its end",
            [old_gnu_sparse("map", &[(5000, b"beyond")], 10), archive([])].concat(),
            "map",
            Refusal::SparseMap,
        ),
        hostile(
            "sparse file whose parts overlap",
            [old_gnu_sparse("map", &[(10, b"second"), (0, b"first")], 100), archive([])].concat(),
            "map",
            Refusal::SparseMap,
        ),
        hostile(
            "sparse bomb: larger than any disk",
            [old_gnu_sparse("map", &[(0, b"x")], 1 << 60), archive([])].concat(),
            "map",
            Refusal::SparseMap,
        ),
        hostile(
            "sparse bomb: ten files of 1 GiB of nothing",
            [(0..10).flat_map(|_| old_gnu_sparse("map", &[(0, b"x")], 1 << 30)).collect(), archive([])]
                .concat(),
            "map",
            Refusal::Holes(Limits::default().holes_max),
        ),
        hostile("sparse bomb: five thousand parts", sparse_parts(5000), "map", Refusal::SparseMap),
    ]
}

fn sparse_parts(count: u64) -> Vec<u8> {
    let parts: Vec<(u64, &[u8])> = (0..count).map(|part| (part * 4096, &b"x"[..])).collect();
    [old_gnu_sparse("map", &parts, count * 4096), archive([])].concat()
}

fn ends() -> Vec<Hostile> {
    vec![
        hostile(
            "entry larger than the archive",
            unfinished([Entry::file("fine", ""), Entry::file("short", "x").says(5000)]),
            "short",
            Refusal::Truncated,
        ),
        hostile(
            "PAX size larger than the archive",
            unfinished([Entry::file("short", "x").pax("size", "5000")]),
            "short",
            Refusal::Truncated,
        ),
        hostile(
            "archive cut within a header",
            [unfinished([Entry::file("fine", "")]), vec![1; 100]].concat(),
            None,
            Refusal::Truncated,
        ),
        hostile(
            "extended header before the end",
            archive([Entry::of(b'x', "dangling")]),
            None,
            Refusal::Dangling,
        ),
        hostile(
            "two thousand extended headers and no entry",
            archive((0..2000).map(|_| Entry::file("PaxHeaders/x", "9 uid=12\n").kind(b'x'))),
            None,
            Refusal::Dangling,
        ),
        hostile("bytes after the end", [archive([]), b"more".to_vec()].concat(), None, Refusal::Trailing),
        hostile(
            "archive after the archive",
            [archive([]), archive([Entry::file("second", "")])].concat(),
            None,
            Refusal::Trailing,
        ),
        hostile("gzip within gzip", gzip(&archive([])), None, Refusal::Truncated),
    ]
}

#[test]
fn each_archive_is_refused_or_does_no_harm() {
    let mut attacks: Vec<Attack> = refused().into_iter().map(pulled).collect();
    attacks.extend(compressed::attacks());
    attacks.extend(taken::attacks());
    pulls::all(Family::Archive, attacks);
}

/// The same as a layer of an image.
fn pulled(Hostile { name, tar, entry, why }: Hostile) -> Attack {
    let says = entry.map_or_else(|| why.to_string(), |entry| format!("entry {entry:?}: {why}"));
    let serve = move |scene: &mut pulls::Scene<'_>| {
        // What begins as a compressed stream is one.
        let layer = match Compression::sniff(&tar) {
            Compression::None => plain(&tar),
            Compression::Gzip | Compression::Zstd => Layer::pack(&tar, Packing::Gzip).unwrap(),
        };
        scene.registry.put_image("bad/app", "1", &image(layer));
    };
    pulls::refused(name, serve, UNPACKER, &["failed to store {}/bad/app:1", &says])
}
