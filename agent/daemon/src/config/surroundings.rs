//! What the board itself says about its name, and the device id that is made of it.

use std::path::{Path, PathBuf};

use coracle_core::ident::DeviceId;
use coracle_core::oci::Digest;
use coracle_host::identity;

/// Makes the default device id this agent's own: machine-id(5) asks that the raw id is not shown outside.
const APPLICATION: &[u8] = b"coracle device id v1\0";
/// Hex digits of the hash that are kept; 128 bits, as many as the machine-id has.
const HEX_DIGITS: usize = 32;
/// What makers write where a serial number belongs, in lower case.
const NO_SERIALS: [&str; 8] = [
    "none",
    "default string",
    "not specified",
    "not applicable",
    "to be filled by o.e.m.",
    "system serial number",
    "0123456789",
    "123456789",
];

/// What a board can be named after, where the configuration says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// `/etc/machine-id`, hashed.
    MachineId,
    /// The host name up to its first dot.
    HostName,
    /// The serial number of device tree or firmware.
    Serial,
    /// The common name of the certificate for the broker.
    Certificate,
}

impl Source {
    /// As the configuration has it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "machine-id" => Ok(Self::MachineId),
            "hostname" => Ok(Self::HostName),
            "serial" => Ok(Self::Serial),
            "certificate" => Ok(Self::Certificate),
            other => Err(format!(
                "{other:?} is nothing to name a board after; there are \"machine-id\", \"hostname\", \"serial\" and \
                 \"certificate\""
            )),
        }
    }
}

/// The facts a device id is made of.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// Content of `/etc/machine-id`.
    pub(crate) machine_id: Option<String>,
    /// Whether it is there after a boot.
    pub(crate) keeps_machine_id: bool,
    /// The host name.
    pub(crate) host_name: Option<String>,
    /// Serial numbers, the one that counts first, each with its place.
    pub(crate) serials: Vec<(PathBuf, String)>,
    /// Reads the common name of a certificate, or says why there is none.
    pub(crate) named_by: fn(&Path) -> Result<String, String>,
}

/// A device id and what it was made of.
pub(crate) type Derived = (DeviceId, String);

impl Surroundings {
    /// Of this board.
    pub(crate) fn of_this_board() -> Self {
        Self {
            machine_id: identity::machine_id(),
            keeps_machine_id: identity::keeps_machine_id(),
            host_name: identity::host_name(),
            serials: identity::serials(),
            named_by: identity::named_by,
        }
    }

    /// The device id of a board whose configuration does not say; `None` where it has no name of its own.
    pub(crate) fn usual(&self) -> Option<Derived> {
        let of = |found: Result<Derived, String>| found.ok();
        of(self.by_machine_id()).or_else(|| of(self.by_host_name()))
    }

    /// The device id made of one thing alone; `certificate` is the file of the one for the broker.
    ///
    /// # Errors
    /// In words, what is not there or cannot be a device id.
    pub(crate) fn from(&self, source: Source, certificate: Option<&Path>) -> Result<Derived, String> {
        match (source, certificate) {
            (Source::MachineId, _) => self.by_machine_id(),
            (Source::HostName, _) => self.by_host_name(),
            (Source::Serial, _) => self.by_serial(),
            (Source::Certificate, None) => Err("broker.cert_file is not set".to_owned()),
            (Source::Certificate, Some(file)) => {
                let name = (self.named_by)(file)?;
                let from = format!("certificate {}", file.display());
                named(&name, &format!("the common name in {}", file.display())).map(|id| (id, from))
            }
        }
    }

    fn by_machine_id(&self) -> Result<Derived, String> {
        let id = self.machine_id.as_deref().map(str::trim).unwrap_or_default();
        // "uninitialized" stands there during the very first boot.
        let valid =
            id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) && id.bytes().any(|b| b != b'0');
        let hex = Digest::of(&[APPLICATION, id.as_bytes()].concat()).hex();
        let made = valid.then(|| DeviceId::parse(hex.get(..HEX_DIGITS)?).ok()).flatten();
        made.map(|id| (id, "machine-id".to_owned())).ok_or_else(|| "/etc/machine-id holds no id".to_owned())
    }

    fn by_host_name(&self) -> Result<Derived, String> {
        let label =
            self.host_name.as_deref().and_then(|name| name.trim().split('.').next()).unwrap_or_default();
        if matches!(label, "" | "localhost" | "(none)") {
            return Err("the board has no host name of its own".to_owned());
        }
        named(label, "the host name").map(|id| (id, "host name".to_owned()))
    }

    fn by_serial(&self) -> Result<Derived, String> {
        let found = self.serials.iter().find(|(_, text)| is_serial(text));
        let Some((path, text)) = found else {
            return Err(
                "neither the device tree nor the firmware has a serial number of this board".to_owned()
            );
        };
        let path = path.display();
        named(text, &format!("the serial number in {path}")).map(|id| (id, format!("serial {path}")))
    }
}

fn named(text: &str, what: &str) -> Result<DeviceId, String> {
    DeviceId::parse(text).map_err(|error| format!("{what} cannot be one: {error}"))
}

/// Whether it can tell one board from another.
fn is_serial(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let mut bytes = lower.bytes();
    let first = bytes.next();
    // Nothing, one character, or the same all along: 00000000.
    !bytes.all(|byte| Some(byte) == first) && !NO_SERIALS.contains(&lower.as_str())
}
