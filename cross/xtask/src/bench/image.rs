//! The image that everybody pulls: more than 300 MB unpacked, five layers, many small files; the same each time.

use std::io;
use std::ops::Range;

use coracle_test_support::images::image::busybox_archive;
use coracle_test_support::images::layer::{add_directory, add_file};
use coracle_test_support::images::{Arch, Form, Image, Layer, Packing};

/// The layers of files that lie on busybox.
pub const LAYERS: Range<u64> = 0..4;

/// Directories of a layer, and small files of each.
const DIRECTORIES: u64 = 80;
const FILES: u64 = 48;

/// A large file of each layer.
const LARGE: usize = 16 << 20;

/// The image's name and what it amounts to.
pub struct Sample {
    /// `repository@digest`, below the registry.
    pub name: String,
    /// Bytes of all layers as archives, before packing.
    pub unpacked: u64,
    /// Bytes of all files in whole blocks: the least that a disk sees of it.
    pub blocks: u64,
    /// Bytes of all layers as they travel.
    pub packed: u64,
}

/// Size of a block of most file systems.
const BLOCK: u64 = 4096;

/// Makes it of these layers, and pushes it.
pub fn publish(host: &str, numbers: Range<u64>) -> io::Result<Sample> {
    let (mut unpacked, mut blocks) = (0, 0);
    let mut layers = Vec::new();
    for archive in std::iter::once(busybox_archive(Arch::Amd64)).chain(numbers.map(archive)) {
        let archive = archive?;
        unpacked += archive.len() as u64;
        blocks += in_blocks(&archive)?;
        layers.push(Layer::pack(&archive, Packing::Gzip)?);
    }
    let packed = layers.iter().map(|layer| layer.bytes.len() as u64).sum();
    let image = Image::new(Arch::Amd64, layers, &["true"]);
    let pushed = image.push(host, "bench/large", Some("1"), Form::Oci)?;
    Ok(Sample { name: format!("bench/large@{}", pushed.digest), unpacked, blocks, packed })
}

fn in_blocks(archive: &[u8]) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in tar::Archive::new(archive).entries()? {
        bytes += entry?.size().div_ceil(BLOCK) * BLOCK;
    }
    Ok(bytes)
}

fn archive(layer: u64) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut text = Text::new(layer);
    let top = format!("data{layer}");
    add_directory(&mut archive, &top, 0o755)?;
    for directory in 0..DIRECTORIES {
        let place = format!("{top}/part{directory:03}");
        add_directory(&mut archive, &place, 0o755)?;
        for file in 0..FILES {
            // 512 bytes to 59 KiB, 20 in the mean, small ones more often, as in a real root.
            let draw = usize::try_from(text.draw() % 300).unwrap_or_default();
            let content = text.take(512 + draw * draw * 2 / 3);
            add_file(&mut archive, &format!("{place}/file{file:03}.txt"), 0o644, content)?;
        }
    }
    add_file(&mut archive, &format!("{top}/large.bin"), 0o644, &Text::new(layer + 100).make(LARGE))?;
    archive.into_inner()
}

/// Words that compress about as well as programs do, in an order that depends on the seed alone.
struct Text {
    state: u64,
    stock: Vec<u8>,
}

impl Text {
    fn new(seed: u64) -> Self {
        let mut text = Self { state: (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15), stock: Vec::new() };
        text.stock = text.make(1 << 20);
        text
    }

    /// Xorshift: quick, and the same everywhere.
    fn draw(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// A piece of the stock, from somewhere.
    fn take(&mut self, bytes: usize) -> &[u8] {
        let room = self.stock.len() - bytes;
        let from = usize::try_from(self.draw()).unwrap_or_default() % room;
        self.stock.get(from..from + bytes).unwrap_or_default()
    }

    /// Eight bytes of chance, then sixteen that came before, again and again.
    fn make(&mut self, bytes: usize) -> Vec<u8> {
        let mut made = Vec::with_capacity(bytes + 32);
        while made.len() < bytes {
            made.extend(self.draw().to_le_bytes());
            let back = 64 + usize::try_from(self.draw() % 4096).unwrap_or_default();
            match made.len().checked_sub(back) {
                Some(from) => made.extend_from_within(from..from + 16),
                None => made.extend([b' '; 16]),
            }
        }
        made.truncate(bytes);
        made
    }
}
