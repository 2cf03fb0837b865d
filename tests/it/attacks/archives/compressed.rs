//! Bombs, and streams that are damaged or go on for ever.

use std::io::{self, Write};

use coracle_core::oci::Hasher;
use coracle_test_support::archive::{Entry, archive, gzip, unfinished, zstd};
use coracle_test_support::faults::{Fault, On, Times};
use coracle_test_support::images::layer::sha256;
use coracle_test_support::images::{Form, Layer, Packing};
use serde_json::json;

use super::super::pulls::{Attack, Scene, image, refused};
use super::super::table;
use super::UNPACKER;

/// What a bomb becomes, where nobody stops it.
const BOMB_BYTES: usize = 256 << 20;

/// Serves a layer of these bytes, whatever they are, as one that was packed with gzip.
fn served(scene: &Scene<'_>, bytes: Vec<u8>, tar: &[u8]) {
    let layer = Layer { packing: Packing::Gzip, digest: sha256(&bytes), diff_id: sha256(tar), bytes };
    scene.registry.put_image("bad/app", "1", &image(layer));
}

/// A compressed stream that cannot be read, or not to an end.
fn stream(name: &'static str, make: fn(&[u8]) -> Vec<u8>, says: &'static str) -> Attack {
    let serve = move |scene: &mut Scene<'_>| {
        let tar = archive([Entry::file("fine", vec![7; 5000])]);
        served(scene, make(&tar), &tar);
    };
    refused(name, serve, UNPACKER, &["failed to store {}/bad/app:1", says])
}

fn bomb(name: &'static str, pack: fn(&[u8]) -> Vec<u8>) -> Attack {
    let serve = move |scene: &mut Scene<'_>| {
        let tar = archive([Entry::file("zeros", vec![0; BOMB_BYTES])]);
        served(scene, pack(&tar), &tar);
    };
    refused(name, serve, UNPACKER, &["entry \"zeros\": the archive expands to more than 200 times"])
}

pub(super) fn attacks() -> Vec<Attack> {
    const DAMAGED: &str = "the compressed stream is damaged";
    vec![
        bomb("gzip bomb", gzip),
        bomb("gzip bomb of many members", |tar| tar.chunks(1 << 20).flat_map(gzip).collect()),
        bomb("zstd bomb", |tar| zstd(tar, 21)),
        stream("zstd frame that wants 128 MiB", |tar| zstd(tar, 27), "a zstd frame wants a window of"),
        stream("gzip cut short", |tar| gzip(tar)[..40].to_vec(), DAMAGED),
        stream("gzip whose sum lies", |tar| changed_from_end(gzip(tar), 6), DAMAGED),
        stream("gzip whose length lies", |tar| changed_from_end(gzip(tar), 1), DAMAGED),
        stream("garbage after gzip", |tar| [gzip(tar), b"garbage".to_vec()].concat(), DAMAGED),
        stream("gzip name without an end", |_| endless_name(), DAMAGED),
        stream("zstd cut short", |tar| zstd(tar, 21)[..20].to_vec(), DAMAGED),
        stream("zstd with a dictionary nobody has", |_| dictionary(), DAMAGED),
        stream("compressed by a stranger", |_| b"BZh91AY&SY".repeat(60), "the header's checksum"),
        refused("ten million entries", without_end, UNPACKER, &["the archive has more than 4000000 entries"]),
    ]
}

fn changed_from_end(mut bytes: Vec<u8>, from_end: usize) -> Vec<u8> {
    let at = bytes.len() - from_end;
    bytes[at] ^= 1;
    bytes
}

/// RFC 1952: a header with a name that is never closed.
fn endless_name() -> Vec<u8> {
    [b"\x1f\x8b\x08\x08\0\0\0\0\0\x03".to_vec(), vec![b'n'; 4 << 20]].concat()
}

/// RFC 8878, 3.1.1: a frame of one segment whose header names a dictionary, and an empty last block.
fn dictionary() -> Vec<u8> {
    b"\x28\xb5\x2f\xfd\x23\x01\x02\x03\x04\x00\x01\x00\x00".to_vec()
}

/// An archive that stands nowhere: a name that is passed over, again and again. A debug build, which reads a tenth of
/// what one for boards does, is sent what it has to refuse and not much more.
fn many() -> u64 {
    if table::is_release() { 10_000_000 } else { 4_100_000 }
}

fn without_end(scene: &mut Scene<'_>) {
    let mut hasher = Hashed(Hasher::new());
    write_many(&mut hasher).unwrap();
    let digest = hasher.0.finish().to_string();
    let layer =
        Layer { packing: Packing::Plain, bytes: Vec::new(), digest: digest.clone(), diff_id: digest.clone() };
    let image = image(layer);
    let config = image.config().to_string().into_bytes();
    let mut manifest = image.manifest(Form::Oci, &config);
    let length = many() * 512 + 1024;
    manifest["layers"][0]["size"] = json!(length);
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let registry = scene.registry;
    registry.put_blob(&config);
    registry.put_manifest("bad/app", "1", kind, manifest.to_string().as_bytes());
    let part = format!("/blobs/{digest}");
    registry.script(On::get(&part), Times::Always, Fault::Made { status: 206, length, write: write_many });
}

fn write_many(to: &mut dyn Write) -> io::Result<()> {
    let some = unfinished([Entry::dir(".wh..wh.plnk")]).repeat(100);
    for _ in 0..many() / 100 {
        to.write_all(&some)?;
    }
    to.write_all(&[0; 1024])
}

struct Hashed(Hasher);

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
