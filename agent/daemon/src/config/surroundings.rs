//! What the board itself says about its name.

use coracle_core::ident::DeviceId;
use coracle_core::oci::Digest;

/// Makes the default device id this agent's own: machine-id(5) asks that the raw id is not shown outside.
const APPLICATION: &[u8] = b"coracle device id v1\0";
/// Hex digits of the hash that are kept; 128 bits, as many as the machine-id has.
const HEX_DIGITS: usize = 32;

/// The facts a default device id is made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    /// Content of `/etc/machine-id`.
    pub(crate) machine_id: Option<String>,
    /// The host name.
    pub(crate) host_name: Option<String>,
}

impl Surroundings {
    /// Of this board.
    pub(crate) fn of_this_board() -> Self {
        let read = |path| std::fs::read_to_string(path).ok();
        Self { machine_id: read("/etc/machine-id"), host_name: read("/proc/sys/kernel/hostname") }
    }

    /// The default device id and the fact it was made of; `None` where the board has no name of its own.
    pub(crate) fn device_id(&self) -> Option<(DeviceId, &'static str)> {
        self.machine_name().map(|id| (id, "machine-id")).or_else(|| Some((self.host_label()?, "host name")))
    }

    fn machine_name(&self) -> Option<DeviceId> {
        let id = self.machine_id.as_deref()?.trim();
        // "uninitialized" stands there during the very first boot.
        let valid =
            id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) && id.bytes().any(|b| b != b'0');
        let hex = Digest::of(&[APPLICATION, id.as_bytes()].concat()).hex();
        valid.then(|| DeviceId::parse(hex.get(..HEX_DIGITS)?).ok())?
    }

    fn host_label(&self) -> Option<DeviceId> {
        let label = self.host_name.as_deref()?.trim().split('.').next()?;
        if matches!(label, "localhost" | "(none)") {
            return None;
        }
        DeviceId::parse(label).ok()
    }
}
