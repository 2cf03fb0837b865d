//! The board's configuration, in three stages: fragments (files as written), inputs (one value a key, with its
//! origin), settings (checked values).
//!
//! Invariant: a [`Settings`] holds nothing unchecked, and every refusal names file, line and key.
//!
//! ```text
//! /usr/lib/coracle/config.toml  /usr/lib/coracle/config.d/*.toml     the vendor's
//! /etc/coracle/config.toml      /etc/coracle/config.d/*.toml         the operator's; a later file wins, key by key
//! ```

mod allow;
mod broker;
mod error;
mod fragment;
mod inputs;
mod keys;
mod naming;
mod reading;
mod secrets;
mod settings;
mod surroundings;
#[cfg(test)]
mod tests;

use std::path::Path;

pub(crate) use broker::{BrokerSettings, Protocol, Transport};
pub(crate) use error::ConfigError;
pub(crate) use inputs::{Origin, Sources};
pub(crate) use settings::{PaceSettings, RegistrySettings, Settings, Supervision, Trust};
pub(crate) use surroundings::Surroundings;

/// Reads, merges and checks the configuration: `path` and its neighbor `config.d/` alone, or the vendor's and the
/// operator's files where absent.
///
/// # Errors
/// [`ConfigError`] names the file, and where it is about its content the line and the key.
pub(crate) fn load(path: Option<&Path>) -> Result<Settings, ConfigError> {
    let sources = path.map_or_else(Sources::system, Sources::only);
    let inputs = inputs::gather(&sources)?;
    let mut settings = settings::check(inputs, &Surroundings::of_this_board())?;
    let missing = secrets::check(&settings)?;
    // A name may be made of one of these files: that they are not there says it better.
    if !missing.is_empty() {
        settings.waits = Some(missing.join("; "));
    }
    Ok(settings)
}
