//! Layers through the real unpacker: as raw bytes, as archives whose sums are put right, as lists of entries, and gone
//! on with after a cut.

use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use coracle_core::oci::Digest;
use coracle_core::oci::layer::Compression;
use coracle_host::unpack::{
    Devices, Interval, Keeper, Limits, Resolver, Resumed, Start, Target, UnpackError, Unpacked, Whole,
    Windows, resume as resumed, unpack,
};
use coracle_test_support::archive::{Entry, archive, gzip, unfinished, zstd};

use crate::pieces::Pieces;
use crate::scratch::within;
use crate::told::told;
use crate::tree::{Looks, look};

const BLOCK: usize = 512;
/// Small enough that a fuzzer meets them.
const LIMITS: Limits = Limits {
    bytes_max: 1 << 20,
    entries_max: 500,
    ratio_max: 200,
    ratio_free_bytes: 64 << 10,
    holes_max: 16 << 20,
    devices: Devices::Harmless,
};
/// Pages that a KiB of an archive can ask for: a part of a sparse file takes 24 bytes of it, and a page of the disk.
const PARTS_OF_KIB: u64 = 4 * 43;
/// What the file system adds to a file's content.
const PAGE: u64 = 4096;

/// Bytes as they come from a registry.
pub(crate) fn raw(data: &[u8]) {
    let data = data.to_vec();
    within(move |place| {
        let _checked = one(place, "plain", &data, Resolver::Kernel);
    });
}

/// An archive whose headers have right sums, wrapped in each way and unpacked by both ways of finding parents: all agree.
pub(crate) fn tar(data: &[u8]) {
    let Some((wrapping, data)) = data.split_first() else { return };
    let (wrapping, tar) = (*wrapping, with_sums(data));
    within(move |place| agree(place, &tar, wrapping));
}

/// A list of entries with names that lead out, links to them, and all else that tar can say.
pub(crate) fn entries(data: &[u8]) {
    let mut pieces = Pieces::new(data);
    let wrapping = pieces.byte();
    let tar = made(&mut pieces);
    within(move |place| agree(place, &tar, wrapping));
}

/// A layer that is cut somewhere and gone on with gives what it gives in one piece.
pub(crate) fn resume(data: &[u8]) {
    let mut pieces = Pieces::new(data);
    let wrapping = pieces.byte();
    let (cut, step) = (pieces.number(), u64::from(pieces.byte()) * 16 + 1);
    let tar = made(&mut pieces);
    let blob = wrapped(&tar, wrapping);
    within(move |place| gone_on(place, &blob, Digest::of(&tar), cut, step));
}

/// Goes on from what somebody saved; what comes of it is held against what must be.
pub(crate) fn go_on(tree: &Path, input: impl Read, size: u64, from: Resumed) {
    let outcome = through(tree, input, size, Resolver::Kernel, Start::Resumed(Box::new(from)));
    if let Err(error) = outcome {
        told(&error);
    }
}

/// Unpacks `blob` to `place/name` and holds what comes of it against what must be.
fn one(place: &Path, name: &str, blob: &[u8], resolver: Resolver) -> (Result<Unpacked, String>, Looks) {
    let root = place.join(name);
    fs::create_dir(&root).expect("a directory");
    let start = Start::New(Keeper::none());
    let outcome = through(&root, Cursor::new(blob), blob.len() as u64, resolver, start);
    let looks = look(&root, &[]);
    held(&outcome, &looks);
    if let Ok(unpacked) = &outcome
        && Compression::sniff(blob) == Compression::None
    {
        assert_eq!((unpacked.diff_id, unpacked.archive_bytes), (Digest::of(blob), blob.len() as u64));
    }
    (outcome.map_err(|error| error.to_string()), looks)
}

/// What holds of every tree.
fn held(outcome: &Result<Unpacked, UnpackError>, looks: &Looks) {
    let files = looks.entries.len() as u64;
    assert!(looks.dense <= LIMITS.bytes_max + files * PAGE, "{} bytes on disk", looks.dense);
    assert!(looks.sparse <= LIMITS.bytes_max * PARTS_OF_KIB, "{} bytes on disk, with holes", looks.sparse);
    match outcome {
        Ok(unpacked) => {
            assert!(unpacked.archive_bytes <= LIMITS.bytes_max && unpacked.entries <= LIMITS.entries_max);
            // Parents that are not in the archive are made, each named by an entry below it.
            assert!(looks.dense <= unpacked.content_bytes + files * PAGE, "more on disk than counted");
        }
        Err(error) => {
            told(error);
            let mut cause = std::error::Error::source(error);
            while let Some(next) = cause {
                told(&next);
                cause = next.source();
            }
        }
    }
}

fn through<R: Read>(
    root: &Path,
    input: R,
    size: u64,
    resolver: Resolver,
    start: Start,
) -> Result<Unpacked, UnpackError> {
    let (root, windows) = (File::open(root).expect("a directory"), Windows::default());
    let target = Target { root: root.as_fd(), limits: &LIMITS, windows: &windows, resolver };
    unpack(input, size, &target, start, &mut |_| {}).1
}

fn agree(place: &Path, tar: &[u8], wrapping: u8) {
    let plain = one(place, "plain", tar, Resolver::Kernel);
    let walked = one(place, "walked", tar, Resolver::Walk);
    assert_eq!(plain.0, walked.0, "by kernel, and by walking");
    // What is left of a layer that was refused is removed as it is.
    if plain.0.is_ok() {
        assert_eq!(plain.1, walked.1, "by kernel, and by walking");
    }
    let blob = wrapped(tar, wrapping);
    if Compression::sniff(tar) != Compression::None || blob == tar {
        return;
    }
    let (outcome, looks) = one(place, "wrapped", &blob, Resolver::Kernel);
    match (&plain.0, &outcome) {
        // How far it is in the archive when the wrapping ends is another matter.
        (Ok(_), Ok(_)) => assert_eq!((plain.0, plain.1), (outcome, looks)),
        (Err(_), Err(_)) => {}
        (Ok(_), Err(error)) => assert!(error.contains("compressed size"), "only when wrapped: {error}"),
        (Err(error), Ok(_)) => panic!("taken when wrapped, and else not: {error}"),
    }
}

fn wrapped(tar: &[u8], wrapping: u8) -> Vec<u8> {
    match wrapping % 4 {
        0 => tar.to_vec(),
        1 => gzip(tar),
        2 => zstd(tar, 17),
        // Members that end within a header or a file.
        _ => tar.chunks(tar.len() / 3 + 1).flat_map(gzip).collect(),
    }
}

fn gone_on(place: &Path, blob: &[u8], diff_id: Digest, cut: u64, step: u64) {
    let size = blob.len() as u64;
    let (whole, looks) = one(place, "whole", blob, Resolver::Kernel);
    let layer = Whole { blob: Digest::of(blob), size, diff_id };
    let interval = Interval { bytes: step, time_min: Duration::ZERO, time: Duration::ZERO, bytes_min: step };
    let (dir, tree) = (place.join("parts"), place.join("parts/tree"));
    fs::create_dir_all(&tree).expect("a directory");
    let cut = usize::try_from(cut % (size + 1)).expect("small");
    let keeper = Keeper::new(&dir, layer, interval).expect("a keeper");
    let first = through(&tree, Broken(&blob[..cut]), size, Resolver::Kernel, Start::New(keeper));
    assert!(first.is_err() || cut == blob.len(), "whole after {cut} of {size} bytes");
    let Some(rest) = resumed(&dir, layer, interval) else { return };
    let from = usize::try_from(rest.wire_bytes()).expect("small");
    assert!(from <= cut, "goes on at {from}, and had {cut}");
    let again =
        through(&tree, Cursor::new(&blob[from..]), size, Resolver::Kernel, Start::Resumed(Box::new(rest)));
    let parts = look(&tree, &[]);
    match (whole, again) {
        (Ok(whole), Ok(again)) => {
            assert_eq!((whole, looks), (again, parts), "cut at {cut}, gone on at {from}")
        }
        (Err(_), Err(error)) => told(&error),
        (whole, again) => {
            panic!("in one piece {whole:?}, gone on with {again:?}; cut at {cut}, on at {from}")
        }
    }
}

/// A link that breaks after some bytes.
struct Broken<'a>(&'a [u8]);

impl Read for Broken<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // Small pieces, so that places between them are marked.
        let count = out.len().min(64).min(self.0.len());
        if count == 0 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let (now, rest) = self.0.split_at(count);
        out[..count].copy_from_slice(now);
        self.0 = rest;
        Ok(count)
    }
}

/// The archive with the sum of each header put right, as far as one header leads to the next.
fn with_sums(data: &[u8]) -> Vec<u8> {
    let mut tar = data.to_vec();
    let mut at = 0;
    while let Some(block) = tar.get_mut(at..at + BLOCK) {
        if block.iter().all(|byte| *byte == 0) {
            break;
        }
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let digits = std::str::from_utf8(&block[124..135]).unwrap_or_default();
        let size = usize::from_str_radix(digits.trim_matches([' ', '\0']), 8).unwrap_or(0);
        at = at.saturating_add(BLOCK).saturating_add(size.next_multiple_of(BLOCK));
    }
    tar
}

/// Names that meet each other, lead out, hide or cannot be.
const PARTS: &[&str] = &[
    "a",
    "b",
    "c",
    "..",
    ".",
    "",
    "etc",
    "outside",
    "passwd",
    "canary",
    ".wh.a",
    ".wh.b",
    ".wh..wh..opq",
    ".wh..wh.plnk",
    ".wh.",
    ".wh...",
    "A",
    "a\u{301}",
    "proc",
    "self",
    "fd",
    "3",
    "runs",
    "\n\u{1b}[31m",
];

fn name(pieces: &mut Pieces<'_>) -> Vec<u8> {
    let mut name = Vec::new();
    let shape = pieces.byte();
    if shape & 1 != 0 {
        name.push(b'/');
    }
    for _ in 0..=(shape >> 1) % 4 {
        name.extend_from_slice(pieces.one(PARTS).as_bytes());
        name.push(b'/');
    }
    if shape & 8 == 0 {
        name.pop();
    }
    match shape >> 5 {
        1 => name.extend_from_slice(pieces.bytes(64)),
        2 => name.extend([b'x'; 260]),
        3 => name.extend(b"d/".repeat(usize::from(pieces.byte()))),
        _ => {}
    }
    name
}

const KEYS: &[&str] = &[
    "path",
    "linkpath",
    "size",
    "uid",
    "gid",
    "mtime",
    "atime",
    "GNU.sparse.major",
    "GNU.sparse.name",
    "SCHILY.xattr.user.a",
    "SCHILY.xattr.trusted.overlay.opaque",
    "SCHILY.xattr.trusted.overlay.redirect",
    "SCHILY.xattr.security.capability",
    "SCHILY.xattr.trusted.a",
    "SCHILY.xattr.user.overlay.opaque",
    "LIBARCHIVE.xattr.user.a",
    "hdrcharset",
    "comment",
];
const VALUES: &[&str] = &[
    "",
    "0",
    "1",
    "-1",
    "y",
    "../../outside/x",
    "/canary",
    "a",
    "1.5",
    "18446744073709551616",
    "4294967295",
    "BINARY",
    "99999999999999999999.999999999999",
];
const TYPES: &[u8] = b"055511222346gxLKS7\0AD";

fn entry(pieces: &mut Pieces<'_>) -> Entry {
    let kind = TYPES[usize::from(pieces.byte()) % TYPES.len()];
    let (name, more) = (name(pieces), pieces.byte());
    let mut entry = match kind {
        b'1' => Entry::hard_link(&name, self::name(pieces)),
        b'2' => Entry::symlink(&name, self::name(pieces)),
        b'3' | b'4' => Entry::device(kind, &name, pieces.byte().into(), pieces.byte().into()),
        b'0' | b'L' | b'K' | b'S' | b'7' | 0 => {
            let content = pieces.bytes(200).repeat(1 + usize::from(more >> 6) * 20);
            let mut entry = Entry::file(&name, content);
            if kind != b'0' {
                entry = Entry::of(kind, &name);
            }
            entry
        }
        _ => Entry::of(kind, &name),
    };
    if more & 1 != 0 {
        entry = entry.mode(u32::try_from(pieces.number() & 0o7_777_777).unwrap_or(0));
    }
    if more & 2 != 0 {
        entry = entry.owner(pieces.number() >> (pieces.byte() % 64), pieces.byte().into());
    }
    if more & 4 != 0 {
        entry = entry.mtime(pieces.number() >> (pieces.byte() % 64));
    }
    if more & 8 != 0 {
        let key = pieces.one(KEYS);
        let value = if pieces.rarely(3) { pieces.bytes(100) } else { pieces.one(VALUES).as_bytes() };
        entry = entry.pax(key, value);
    }
    if more & 48 == 48 {
        entry = entry.says(pieces.number() >> (pieces.byte() % 64));
    }
    entry
}

fn made(pieces: &mut Pieces<'_>) -> Vec<u8> {
    let ends = pieces.byte();
    let mut list = Vec::new();
    while !pieces.is_empty() && list.len() < 60 {
        list.push(entry(pieces));
    }
    match ends % 8 {
        0 => unfinished(list),
        1 => [archive(list), vec![0; 3 * BLOCK]].concat(),
        2 => [archive(list), vec![1]].concat(),
        3 => {
            let mut bytes = unfinished(list);
            bytes.truncate(bytes.len().saturating_sub(usize::from(ends)));
            bytes
        }
        _ => archive(list),
    }
}
