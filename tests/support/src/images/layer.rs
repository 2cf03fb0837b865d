//! One layer: a tar archive, packed, with both of its digests.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// How a layer travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// As it is.
    Plain,
    /// What nearly all images use.
    Gzip,
    /// Smaller and faster; OCI only.
    #[cfg(feature = "protocols")]
    Zstd,
}

/// A packed layer.
#[derive(Clone, Debug)]
pub struct Layer {
    /// How it is packed.
    pub packing: Packing,
    /// The packed bytes.
    pub bytes: Vec<u8>,
    /// Digest of the packed bytes.
    pub digest: String,
    /// Digest of the archive before packing.
    pub diff_id: String,
}

impl Layer {
    /// Packs `archive`.
    pub fn pack(archive: &[u8], packing: Packing) -> io::Result<Self> {
        let bytes = match packing {
            Packing::Plain => archive.to_vec(),
            Packing::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(archive)?;
                encoder.finish()?
            }
            #[cfg(feature = "protocols")]
            Packing::Zstd => zstd::encode_all(archive, 3)?,
        };
        Ok(Self { packing, digest: sha256(&bytes), diff_id: sha256(archive), bytes })
    }

    /// Packs one file at `path` as the whole layer.
    pub fn of_file(path: &str, mode: u32, content: &[u8], packing: Packing) -> io::Result<Self> {
        let mut archive = tar::Builder::new(Vec::new());
        add_file(&mut archive, path, mode, content)?;
        Self::pack(&archive.into_inner()?, packing)
    }
}

/// Adds a file of root's with a fixed time, so that the same input gives the same digest for ever.
pub fn add_file(
    archive: &mut tar::Builder<Vec<u8>>,
    path: &str,
    mode: u32,
    content: &[u8],
) -> io::Result<()> {
    let mut header = header(tar::EntryType::Regular, mode);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, path, content)
}

/// Adds a directory of root's with a fixed time.
pub fn add_directory(archive: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32) -> io::Result<()> {
    archive.append_data(&mut header(tar::EntryType::Directory, mode), path, io::empty())
}

/// Adds a symbolic or hard link.
pub fn add_link(
    archive: &mut tar::Builder<Vec<u8>>,
    kind: tar::EntryType,
    path: &str,
    target: &str,
) -> io::Result<()> {
    archive.append_link(&mut header(kind, 0o777), path, target)
}

/// A header of root's with a fixed time and no size.
pub fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(1_700_000_000);
    header.set_size(0);
    header
}

/// `sha256:…` of `bytes`.
pub fn sha256(bytes: &[u8]) -> String {
    let hex = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("sha256:{hex}")
}
