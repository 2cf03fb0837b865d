//! Words from outside that become a name, a path or a number: having the value is the proof that it is safe.

use std::fmt::Display;

use coracle_core::desired::Scope;
use coracle_core::gate::Zone;
use coracle_core::ident::{DeviceId, GroupName, ProjectName, ServiceName, VolumeName, WorkloadId};
use coracle_core::limits::{ENTRY_DEPTH_MAX, ENTRY_NAME_BYTES_MAX, ENTRY_PATH_BYTES_MAX};
use coracle_core::oci::layer::{Compression, EntryPath, Member};
use coracle_core::oci::{Digest, Platform};
use coracle_core::trust::{KeyId, PublicKey};

use crate::told::told;

/// All readers of words.
pub(crate) fn names(data: &[u8]) {
    in_a_layer(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    same(DeviceId::parse(text), text);
    same(GroupName::parse(text), text);
    same(ProjectName::parse(text), text);
    same(ServiceName::parse(text), text);
    same(VolumeName::parse(text), text);
    same(WorkloadId::parse(text), text);
    same(Digest::parse(text), text);
    if let Some(scope) = Scope::parse(text) {
        assert_eq!(scope.to_string(), text);
    }
    if let Some(id) = KeyId::parse(text) {
        assert_eq!(id.to_string(), text);
    }
    match Platform::parse(text) {
        Ok(platform) => {
            assert_eq!(platform.normalized(), platform);
            assert_eq!(Platform::parse(&platform.to_string()), Ok(platform.clone()));
            let below = platform.only();
            assert!(below.contains(&platform) && below.len() < 64, "{below:?}");
        }
        Err(error) => told(&error),
    }
    match PublicKey::from_pem(text) {
        Ok(key) => assert_eq!(PublicKey::from_pem(&key.to_pem()), Ok(key)),
        Err(error) => told(&error),
    }
    if let Some(zone) = Zone::parse(text) {
        let again = if zone.is_unruled() {
            zone.clone()
        } else {
            zone.clone().ruled(&zone.rule).expect("its own rule")
        };
        assert_eq!(again, zone);
    }
    if let Err(error) = Compression::of(text) {
        told(&error);
    }
}

/// What was taken is written as it was read; what was not is told in short.
#[track_caller]
fn same<T: Display, E: Display>(parsed: Result<T, E>, text: &str) {
    match parsed {
        Ok(parsed) => {
            assert_eq!(parsed.to_string(), text);
            let safe = |c: char| c.is_ascii_graphic() && !"/+#*?\\$%\"'".contains(c);
            assert!(text.chars().all(safe) && text != "." && text != "..", "{text:?}");
        }
        Err(error) => told(&error),
    }
}

fn in_a_layer(raw: &[u8]) {
    match EntryPath::parse(raw) {
        Ok(path) => {
            let bytes = path.as_bytes();
            assert!(bytes.len() <= ENTRY_PATH_BYTES_MAX && !bytes.contains(&0));
            if !path.is_root() {
                let parts: Vec<&[u8]> = bytes.split(|byte| *byte == b'/').collect();
                assert!(parts.len() <= ENTRY_DEPTH_MAX);
                let fine =
                    |part: &&[u8]| !matches!(*part, b"" | b"." | b"..") && part.len() <= ENTRY_NAME_BYTES_MAX;
                assert!(parts.iter().all(fine), "{path}");
                assert_eq!(EntryPath::parse(bytes).as_ref(), Ok(&path));
            }
        }
        Err(error) => told(&error),
    }
    match Member::parse(raw) {
        Ok(Member::Entry(path)) => assert_eq!(EntryPath::parse(raw), Ok(path)),
        // What a whiteout hides is a path as good as any other.
        Ok(Member::Whiteout(path) | Member::Opaque(path)) => {
            assert!(path.is_root() || EntryPath::parse(path.as_bytes()) == Ok(path.clone()), "{path}");
        }
        Ok(Member::Ignored) => {}
        Err(error) => told(&error),
    }
}
