//! The saved form of a layer half unpacked: what it takes to go on in another process.
//!
//! ```text
//! <64 hex digits: SHA-256 of the rest>\n
//! {"version":1, ...}
//! ```

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coracle_core::oci::{Digest, Hasher};
use nix::sys::stat::Mode;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::archive::{Entry, Kind, Meta, Reader};
use super::blocks::Mark;
use super::deflate::WINDOW_BYTES;
use super::gzip::Between;
use super::inflate::Place;
use super::pax::FileTime;
use super::sparse::Map;
use super::tree::Counted;

/// Bytes of a checkpoint: a window of 32 KiB, an entry with all the attributes it may have, and slack.
pub(super) const BYTES_MAX: u64 = 1 << 20;

/// Which layer is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Whole {
    /// The digest of the blob.
    pub blob: Digest,
    /// Its length.
    pub size: u64,
    /// The digest of the archive in it.
    pub diff_id: Digest,
}

/// A layer half unpacked. Saved form, version 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Checkpoint {
    version: u32,
    layer: Whole,
    wire: Hashed,
    archive: Hashed,
    inflate: Inflate,
    pub(super) reader: Reader,
    within: Option<File>,
    pub(super) counted: Counted,
    pub(super) ledger: LedgerEnd,
}

/// How many bytes of a stream are behind the checkpoint, and the state of their hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Hashed {
    bytes: u64,
    state: Raw,
}

/// How much of the ledger belongs to the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LedgerEnd {
    pub(super) salt: Raw,
    pub(super) bytes: u64,
    pub(super) sha256: Digest,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "form")]
enum Inflate {
    Plain,
    Gzip { bits: u8, byte: u8, sum: u32, length: u32, window: Raw },
    Zstd,
}

/// The file that is being written, as its entry describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct File {
    name: Raw,
    uid: u32,
    gid: u32,
    mode: u32,
    seconds: i64,
    nanoseconds: i64,
    attributes: Vec<(Raw, Raw)>,
    segments: Vec<(u64, u64)>,
    length: u64,
}

/// Bytes, in base 64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Raw(pub(super) Vec<u8>);

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl Checkpoint {
    const VERSION: u32 = 1;

    pub(super) fn new(
        layer: Whole,
        mark: Mark,
        reader: Reader,
        within: Option<&Entry>,
        counted: Counted,
        ledger: LedgerEnd,
    ) -> Self {
        let hashed = |(bytes, state)| Hashed { bytes, state: Raw(state) };
        Self {
            version: Self::VERSION,
            layer,
            wire: hashed(mark.wire),
            archive: hashed(mark.archive),
            inflate: match mark.place {
                Place::Plain => Inflate::Plain,
                Place::Zstd => Inflate::Zstd,
                Place::Gzip(Between { bits, byte, sum, length, window }) => {
                    Inflate::Gzip { bits, byte, sum, length, window: Raw(window) }
                }
            },
            reader,
            within: within.and_then(File::of),
            counted,
            ledger,
        }
    }

    pub(super) fn encode(&self) -> io::Result<Vec<u8>> {
        let body = serde_json::to_vec(self)?;
        let mut bytes = Digest::of(&body).hex().into_bytes();
        bytes.push(b'\n');
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    /// The checkpoint in `bytes` if it is whole and of `layer`.
    pub(super) fn decode(bytes: &[u8], layer: &Whole) -> Option<Self> {
        let (sum, body) = bytes.split_at_checked(64)?;
        let body = body.strip_prefix(b"\n")?;
        if Digest::of(body).hex().as_bytes() != sum {
            return None;
        }
        let checkpoint: Self = serde_json::from_slice(body).ok()?;
        let sound = checkpoint.version == Self::VERSION
            && checkpoint.layer == *layer
            && checkpoint.wire.bytes <= layer.size
            && checkpoint.hashers().is_some()
            && match &checkpoint.inflate {
                Inflate::Plain | Inflate::Zstd => true,
                Inflate::Gzip { bits, window, .. } => *bits < 8 && window.0.len() <= WINDOW_BYTES,
            };
        sound.then_some(checkpoint)
    }

    /// Where the blob goes on.
    pub(super) fn wire_bytes(&self) -> u64 {
        self.wire.bytes
    }

    pub(super) fn archive_bytes(&self) -> u64 {
        self.archive.bytes
    }

    /// Those of the wire and of the archive.
    pub(super) fn hashers(&self) -> Option<(Hasher, Hasher)> {
        Some((Hasher::resumed(&self.wire.state.0)?, Hasher::resumed(&self.archive.state.0)?))
    }

    pub(super) fn place(&self) -> Place {
        match &self.inflate {
            Inflate::Plain => Place::Plain,
            Inflate::Zstd => Place::Zstd,
            Inflate::Gzip { bits, byte, sum, length, window } => Place::Gzip(Between {
                bits: *bits,
                byte: *byte,
                sum: *sum,
                length: *length,
                window: window.0.clone(),
            }),
        }
    }

    /// The file that is being written.
    pub(super) fn within(&self) -> Option<Entry> {
        self.within.as_ref().map(File::entry)
    }
}

impl File {
    /// Only files are ever left in the middle.
    fn of(entry: &Entry) -> Option<Self> {
        let Kind::File(map) = &entry.kind else { return None };
        let Meta { uid, gid, mode, mtime, attributes } = &entry.meta;
        let raw = |(name, value): &(Vec<u8>, Vec<u8>)| (Raw(name.clone()), Raw(value.clone()));
        Some(Self {
            name: Raw(entry.name.clone()),
            uid: *uid,
            gid: *gid,
            mode: mode.bits(),
            seconds: mtime.seconds,
            nanoseconds: mtime.nanoseconds,
            attributes: attributes.iter().map(raw).collect(),
            segments: map.segments.clone(),
            length: map.length,
        })
    }

    fn entry(&self) -> Entry {
        let attributes = self.attributes.iter().map(|(name, value)| (name.0.clone(), value.0.clone()));
        Entry {
            name: self.name.0.clone(),
            meta: Meta {
                uid: self.uid,
                gid: self.gid,
                mode: Mode::from_bits_truncate(self.mode),
                mtime: FileTime { seconds: self.seconds, nanoseconds: self.nanoseconds },
                attributes: attributes.collect(),
            },
            kind: Kind::File(Map { segments: self.segments.clone(), length: self.length }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &[u8] =
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/saved/checkpoint-1"));

    fn layer() -> Whole {
        Whole { blob: Digest::of(b"blob"), size: 9_000_000, diff_id: Digest::of(b"archive") }
    }

    fn checkpoint(place: Place) -> Checkpoint {
        let hashed = |bytes: &[u8]| {
            let mut hasher = Hasher::new();
            hasher.update(bytes);
            (bytes.len() as u64, hasher.state())
        };
        let meta = Meta {
            uid: 3,
            gid: 70_000,
            mode: Mode::from_bits_truncate(0o4755),
            mtime: FileTime { seconds: -7, nanoseconds: 5 },
            attributes: vec![(b"user.note".to_vec(), b"a\0b\xff".to_vec())],
        };
        let map = Map { segments: vec![(0, 4096), (10_000, 5)], length: 20_000 };
        let entry = Entry { name: b"usr/\xe4".to_vec(), meta, kind: Kind::File(map) };
        let mark = Mark { wire: hashed(b"wire"), archive: hashed(b"the archive"), place };
        let end = LedgerEnd { salt: Raw(vec![9; 16]), bytes: 77, sha256: Digest::of(b"ledger") };
        let counted = Counted { content_bytes: 4096, attributes_skipped: 1 };
        Checkpoint::new(layer(), mark, Reader::default(), Some(&entry), counted, end)
    }

    fn places() -> [Place; 3] {
        let at = Between { bits: 5, byte: 0xa5, sum: 0xdead_beef, length: 11, window: b"window".to_vec() };
        [Place::Gzip(at), Place::Plain, Place::Zstd]
    }

    #[test]
    fn what_is_kept_is_read_again() {
        for place in places() {
            let checkpoint = checkpoint(place.clone());
            let read = Checkpoint::decode(&checkpoint.encode().unwrap(), &layer()).unwrap();
            assert_eq!(read, checkpoint);
            assert_eq!(read.place(), place);
            assert_eq!((read.wire_bytes(), read.archive_bytes()), (4, 11));
            let entry = read.within().unwrap();
            assert_eq!((entry.name.as_slice(), entry.meta.mode.bits()), (b"usr/\xe4".as_slice(), 0o4755));
        }
    }

    #[test]
    fn version_1_is_read_as_it_was_written() {
        let [gzip, ..] = places();
        assert_eq!(Checkpoint::decode(SAVED, &layer()).unwrap(), checkpoint(gzip));
    }

    #[test]
    fn what_is_damaged_or_makes_no_sense_is_none() {
        let [gzip, ..] = places();
        let bytes = checkpoint(gzip).encode().unwrap();
        for end in [0, 10, 64, 65, 200, bytes.len() - 1] {
            assert!(Checkpoint::decode(&bytes[..end], &layer()).is_none(), "{end}");
        }
        for at in (0..bytes.len()).step_by(7) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            assert!(Checkpoint::decode(&flipped, &layer()).is_none(), "{at}");
        }
        let changes: [fn(&mut Checkpoint); 5] = [
            |it| it.version = 2,
            |it| it.wire.bytes = 9_000_001,
            |it| it.wire.state = Raw(vec![1, 2, 3]),
            |it| {
                if let Inflate::Gzip { bits, .. } = &mut it.inflate {
                    *bits = 8;
                }
            },
            |it| {
                if let Inflate::Gzip { window, .. } = &mut it.inflate {
                    *window = Raw(vec![0; WINDOW_BYTES + 1]);
                }
            },
        ];
        for (n, change) in changes.into_iter().enumerate() {
            let [gzip, ..] = places();
            let mut changed = checkpoint(gzip);
            change(&mut changed);
            assert!(Checkpoint::decode(&changed.encode().unwrap(), &layer()).is_none(), "{n}");
        }
    }
}
