//! The keys of `[allow]`: what this board lets the services of documents ask for.

use coracle_core::allowance::{
    Allowance, Place, Places, Whose, parse_allowed_capability, parse_device_pattern,
};

use super::error::ConfigError;
use super::reading::Reading;

/// Data, and what tells a container the time; read-only where it is the board's.
const BINDS: [&str; 6] =
    ["/srv", "/mnt", "/media", "/etc/localtime:ro", "/etc/timezone:ro", "/usr/share/zoneinfo:ro"];
/// Settings and keys: whoever writes there decides what runs.
const OWN: [&str; 3] = ["/etc/coracle", "/usr/lib/coracle", "/usr/share/coracle"];

pub(super) fn allowance(reading: &mut Reading) -> Result<Allowance, ConfigError> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let privileged = list(reading, "allow.privileged", &[], Whose::parse)?;
    let capabilities =
        list(reading, "allow.capabilities", &[], |it| parse_allowed_capability(it).map_err(|e| text(&e)))?;
    let devices = list(reading, "allow.devices", &[], |it| parse_device_pattern(it).map_err(|e| text(&e)))?;
    let allowed = list(reading, "allow.binds", &BINDS, |it| Place::parse(it).map_err(|e| text(&e)))?;
    let host_network = reading.switch_or("allow.host_network", true);
    let unconfined = list(reading, "allow.unconfined", &[], Whose::parse)?;
    let sysctls = list(reading, "allow.sysctls", &["*"], sysctl)?;
    // Where they are: each was checked before this.
    let places = ["state_dir", "run_dir", "trust.keys_dir"]
        .iter()
        .filter_map(|key| reading.rows.iter().find(|row| row.key == *key)?.value.as_str().map(str::to_owned));
    let own = OWN.iter().map(|&path| path.to_owned()).chain(places).collect();
    Ok(Allowance {
        privileged,
        unconfined,
        capabilities,
        devices,
        places: Places { allowed, own },
        host_network,
        sysctls,
    })
}

fn list<T>(
    reading: &mut Reading,
    key: &'static str,
    default: &[&str],
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, ConfigError> {
    let given = reading.list(key, default.into());
    let given = given.unwrap_or_else(|| default.iter().map(|&text| (text.to_owned(), 0)).collect());
    let one =
        |(text, line): &(String, usize)| parse(text).map_err(|why| reading.mistake(key, Some(*line), why));
    given.iter().map(one).collect()
}

fn sysctl(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('*').unwrap_or(text);
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if text.is_empty() || !name.bytes().all(legal) {
        return Err(format!("{text:?} is no name of a kernel setting; a * may only end it"));
    }
    Ok(text.to_owned())
}
