//! Which device id a board has: `device_id`, else the one thing that `device_id_from` says, else its machine-id, else its
//! host name.
//!
//! Invariant: a board that is to be named after something that is not there yet gets no other name meanwhile: it waits.

use std::path::Path;

use coracle_core::ident::DeviceId;

use super::error::ConfigError;
use super::fragment::Raw;
use super::inputs::Origin;
use super::reading::Reading;
use super::settings::SettingRow;
use super::surroundings::{Source, Surroundings};

const KEY: &str = "device_id";
const FROM: &str = "device_id_from";
/// Stands in for the id of a board without a name of its own, while it meets no namesake at a broker.
const NAMELESS: &str = "nameless";

/// What a board is called.
pub(super) struct Naming {
    pub(super) id: DeviceId,
    /// Why it has no name yet, where it needs one.
    pub(super) waits: Option<String>,
    /// Whether it may be another one after a boot.
    pub(super) unsteady: bool,
}

/// Reads both keys.
pub(super) fn name(reading: &mut Reading, board: &Surroundings) -> Result<Naming, ConfigError> {
    let given = reading.parsed(KEY, parse)?;
    let at = reading.rows.len().saturating_sub(1);
    let source = reading.parsed(FROM, Source::parse)?;
    if let Some(id) = given {
        if source.is_some() {
            return Err(reading.mistake(FROM, None, "has no effect beside device_id".to_owned()));
        }
        return Ok(Naming { id, waits: None, unsteady: false });
    }
    let certificate = match reading.inputs.value("broker.cert_file") {
        Some((Raw::Text(path), ..)) => Some(Path::new(path).to_owned()),
        Some((Raw::Switch(_) | Raw::Count(_) | Raw::List(_), ..)) | None => None,
    };
    if source == Some(Source::Certificate) && certificate.is_none() {
        return Err(reading.mistake(FROM, None, "needs broker.cert_file".to_owned()));
    }
    let found = match source {
        Some(source) => board.from(source, certificate.as_deref()).map_err(|why| format!("there is no device id: {why}")),
        None => board.usual().ok_or_else(|| {
            "there is no device id: this board has neither a machine-id nor a host name of its own; set device_id or \
             device_id_from"
                .to_owned()
        }),
    };
    let (id, from) = match found {
        Ok(found) => found,
        Err(why) => {
            // Two boards under one name would push each other off the broker for ever.
            let waits = (source.is_some() || reading.inputs.value("broker.url").is_some()).then_some(why);
            let id = parse(NAMELESS).map_err(|problem| reading.mistake(KEY, None, problem))?;
            let from = if waits.is_some() { "nothing yet" } else { "nothing" };
            note(reading, at, &id, from.to_owned());
            return Ok(Naming { id, waits, unsteady: false });
        }
    };
    let unsteady = from == "machine-id" && !board.keeps_machine_id;
    note(reading, at, &id, from);
    Ok(Naming { id, waits: None, unsteady })
}

fn note(reading: &mut Reading, at: usize, id: &DeviceId, from: String) {
    if let Some(row) = reading.rows.get_mut(at) {
        *row = SettingRow { key: KEY, value: id.as_str().into(), origin: Origin::Derived { from } };
    }
}

fn parse(text: &str) -> Result<DeviceId, String> {
    DeviceId::parse(text).map_err(|error| error.to_string())
}
