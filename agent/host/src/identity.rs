//! What a board can be named after: each fact where it stands.
//!
//! Invariant: a fact that is not there is no error here; whoever wants it says what that means.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use coracle_core::certificate::common_name;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};

use crate::tls;

/// machine-id(5).
const MACHINE_ID: &str = "/etc/machine-id";
/// Of the running kernel.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";
/// Where serial numbers of a board stand: the device tree of arm boards, then what the firmware of others says.
const SERIALS: [&str; 3] = [
    "/sys/firmware/devicetree/base/serial-number",
    "/sys/class/dmi/id/product_serial",
    "/sys/class/dmi/id/board_serial",
];
/// Bytes of such a file; a name has at most 64 that count.
const FACT_BYTES_MAX: u64 = 256;

/// The content of `/etc/machine-id`.
#[must_use]
pub fn machine_id() -> Option<String> {
    read(Path::new(MACHINE_ID))
}

/// Whether `/etc/machine-id` is there after a boot: where `/etc` cannot be written, systemd mounts one over it that
/// lies in memory.
#[must_use]
pub fn keeps_machine_id() -> bool {
    statfs(MACHINE_ID).is_ok_and(|found| found.filesystem_type() != TMPFS_MAGIC)
}

/// The host name.
#[must_use]
pub fn host_name() -> Option<String> {
    read(Path::new(HOST_NAME))
}

/// Every serial number there is, with its place, as it stands there.
#[must_use]
pub fn serials() -> Vec<(PathBuf, String)> {
    SERIALS.iter().filter_map(|path| Some((path.into(), read(Path::new(path))?))).collect()
}

/// The common name of the first certificate of a PEM file, which is its owner's.
///
/// # Errors
/// In words: the file cannot be read, or names nobody.
pub fn named_by(certificate: &Path) -> Result<String, String> {
    let chain = tls::certificates(certificate).map_err(|error| error.to_string())?;
    let own = chain.first().map(|own| own.as_ref()).unwrap_or_default();
    common_name(own).map(str::to_owned).map_err(|error| format!("{} {error}", certificate.display()))
}

/// Text without what pads it: a line break, or the zero that ends words of the device tree.
fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(FACT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    Some(text.trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_is_read_without_its_padding() {
        let path = std::env::temp_dir().join(format!("coracle-fact-{}", std::process::id()));
        for (bytes, expected) in
            [(&b"100000003d1d1c36\0"[..], "100000003d1d1c36"), (b" a b \n", "a b"), (b"", "")]
        {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(read(&path).as_deref(), Some(expected));
        }
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(read(&path), None);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read(&path), None);
    }
}
