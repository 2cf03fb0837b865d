//! Whether what is missing of some images fits the disk, before the first byte of it is fetched.
//!
//! How large a layer becomes stands nowhere for sure: a few packers note it, else it follows from what the layers that
//! the board holds became. It is an estimate that errs upward; a disk that fills up after all ends the pull as it does.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::oci::Descriptor;
use crate::oci::layer::Compression;

/// How many thousandths a gzip layer grows where the board has none to measure: 133 MB of a Debian image became 361.
const GZIP_GROWTH: u64 = 2_720;
/// The same for zstd, which packs the same files about a sixth tighter.
const ZSTD_GROWTH: u64 = 3_200;
/// Bytes of compressed layers before their average is believed.
const MEASURED_BYTES_MIN: u64 = 1 << 20;
/// Content of a file on average where the board has none to measure; in images of Debian it is 40 KB.
const ENTRY_BYTES: u64 = 16 << 10;
/// Where packers in eStargz form note a layer's size.
const SIZE_NOTE: &str = "io.containers.estargz.uncompressed-size";

/// What layers of this board became, in sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measured {
    /// Compressed bytes of layers that grew.
    pub wire_bytes: u64,
    /// Bytes of their files.
    pub unpacked_bytes: u64,
    /// Their entries.
    pub entries: u64,
}

impl Measured {
    /// Adds a layer of the store; one that did not grow was not compressed and says nothing.
    pub fn add(&mut self, wire_bytes: u64, unpacked_bytes: u64, entries: u64) {
        if unpacked_bytes > wire_bytes {
            self.wire_bytes = self.wire_bytes.saturating_add(wire_bytes);
            self.unpacked_bytes = self.unpacked_bytes.saturating_add(unpacked_bytes);
            self.entries = self.entries.saturating_add(entries);
        }
    }

    fn believed(&self) -> bool {
        self.wire_bytes >= MEASURED_BYTES_MIN
    }
}

/// The room of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that can still be written.
    pub free_bytes: u64,
    /// Files that can still be made; `None` where the file system has no bound.
    pub free_files: Option<u64>,
    /// What one more file costs at the most beyond its content: the end of its last block, its name.
    pub block_bytes: u64,
    /// Bytes that have to stay free for the journal and a roll back.
    pub kept_bytes: u64,
}

/// What a pull would move and need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preflight {
    /// Layers to fetch.
    pub layers: usize,
    /// Layers that are here already.
    pub present: usize,
    /// Bytes to fetch.
    pub wire_bytes: u64,
    /// Bytes of files to write.
    pub write_bytes: u64,
    /// Bytes the disk must have for it.
    pub peak_bytes: u64,
    /// Files to make.
    pub files: u64,
    /// Bytes that are free.
    pub free_bytes: u64,
    /// Bytes of these that have to stay free.
    pub kept_bytes: u64,
    /// Files that can still be made, where that is bounded.
    pub free_files: Option<u64>,
}

impl Preflight {
    /// From the layers that are missing, each once, and the bytes of the documents that come with them.
    #[must_use]
    pub fn of<'a>(
        missing: impl IntoIterator<Item = &'a Descriptor>,
        present: usize,
        documents: &[u64],
        measured: &Measured,
        room: &Room,
    ) -> Self {
        let mut plan = Self {
            layers: 0,
            present,
            wire_bytes: 0,
            write_bytes: documents.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes)),
            peak_bytes: 0,
            files: u64::try_from(documents.len()).unwrap_or(u64::MAX),
            free_bytes: room.free_bytes,
            kept_bytes: room.kept_bytes,
            free_files: room.free_files,
        };
        for layer in missing {
            let unpacked = unpacked_bytes(layer, measured);
            plan.layers = plan.layers.saturating_add(1);
            plan.wire_bytes = plan.wire_bytes.saturating_add(layer.size);
            plan.write_bytes = plan.write_bytes.saturating_add(unpacked);
            // Its folders and its records, besides what is in it.
            plan.files = plan.files.saturating_add(entries(unpacked, measured)).saturating_add(4);
        }
        plan.peak_bytes = plan.write_bytes.saturating_add(plan.files.saturating_mul(room.block_bytes));
        plan
    }

    /// Bytes and files that are lacking; nothing when it fits, nor when nothing is to be fetched.
    #[must_use]
    pub fn lack(&self) -> Option<(u64, u64)> {
        if self.layers == 0 {
            return None;
        }
        let bytes = self.peak_bytes.saturating_add(self.kept_bytes).saturating_sub(self.free_bytes);
        let files = self.free_files.map_or(0, |free| self.files.saturating_sub(free));
        (bytes > 0 || files > 0).then_some((bytes, files))
    }
}

fn unpacked_bytes(layer: &Descriptor, measured: &Measured) -> u64 {
    if let Some(noted) = noted(&layer.annotations) {
        return noted;
    }
    let growth = match Compression::of(&layer.media_type) {
        // Headers and padding are not written.
        Ok(Compression::None) | Err(_) => return layer.size,
        Ok(Compression::Gzip) => GZIP_GROWTH,
        Ok(Compression::Zstd) => ZSTD_GROWTH,
    };
    if measured.believed() {
        return scaled(layer.size, measured.unpacked_bytes, measured.wire_bytes);
    }
    scaled(layer.size, growth, 1_000)
}

fn noted(annotations: &BTreeMap<String, String>) -> Option<u64> {
    annotations.get(SIZE_NOTE)?.parse().ok()
}

fn entries(unpacked: u64, measured: &Measured) -> u64 {
    let one = measured.unpacked_bytes.checked_div(measured.entries).filter(|_| measured.believed());
    unpacked.div_ceil(one.unwrap_or(ENTRY_BYTES).max(1))
}

fn scaled(value: u64, by: u64, of: u64) -> u64 {
    let scaled = u128::from(value) * u128::from(by) / u128::from(of.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;

    fn layer(kind: &str, size: u64, note: Option<&str>) -> Descriptor {
        Descriptor {
            media_type: format!("application/vnd.oci.image.layer.v1.tar{kind}"),
            digest: Digest::of(kind.as_bytes()),
            size,
            platform: None,
            artifact_type: None,
            annotations: note.map(|note| (SIZE_NOTE.to_owned(), note.to_owned())).into_iter().collect(),
            urls: Vec::new(),
        }
    }

    fn room(free_bytes: u64) -> Room {
        Room { free_bytes, free_files: Some(1_000), block_bytes: 4_096, kept_bytes: 1_000 }
    }

    #[track_caller]
    fn check(layer: &Descriptor, measured: &Measured, write_bytes: u64, files: u64) {
        let plan = Preflight::of([layer], 2, &[], measured, &room(0));
        assert_eq!((plan.write_bytes, plan.files), (write_bytes, files));
        assert_eq!((plan.layers, plan.present, plan.wire_bytes), (1, 2, layer.size));
        assert_eq!(plan.peak_bytes, write_bytes.saturating_add(files.saturating_mul(4_096)));
    }

    #[test]
    fn a_layer_becomes_what_is_noted_or_what_the_boards_own_became_or_what_is_usual() {
        let none = Measured::default();
        let mut own = Measured::default();
        own.add(1 << 20, 4 << 20, 1 << 10);
        own.add(500, 400, 9);
        let mut few = Measured::default();
        few.add(1_000, 90_000, 1);
        check(&layer("+gzip", 1_000_000, None), &none, 2_720_000, 171);
        check(&layer("+zstd", 1_000_000, None), &none, 3_200_000, 200);
        check(&layer("", 1_000_000, None), &none, 1_000_000, 66);
        check(&layer("+gzip", 1_000_000, Some("7")), &none, 7, 5);
        check(&layer("+gzip", 1_000_000, None), &own, 4_000_000, 981);
        check(&layer("+gzip", 1_000_000, None), &few, 2_720_000, 171);
        check(&layer("+gzip", u64::MAX, None), &none, u64::MAX, u64::MAX.div_ceil(ENTRY_BYTES) + 4);
    }

    #[test]
    fn it_fits_when_bytes_and_files_do_beside_what_has_to_stay_free() {
        let plain = layer("", 10_000, None);
        let plan = |free| Preflight::of([&plain], 0, &[500], &Measured::default(), &room(free));
        let peak = 10_500 + 6 * 4_096;
        assert_eq!(plan(0).peak_bytes, peak);
        assert_eq!(plan(peak + 1_000).lack(), None);
        assert_eq!(plan(peak + 999).lack(), Some((1, 0)));
        let few = Room { free_files: Some(5), ..room(u64::MAX) };
        let plan = Preflight::of([&plain], 0, &[500], &Measured::default(), &few);
        assert_eq!(plan.lack(), Some((0, 1)));
        // Nothing to fetch is no reason to refuse, however full the disk is.
        assert_eq!(Preflight::of([], 3, &[500], &Measured::default(), &room(0)).lack(), None);
    }
}
