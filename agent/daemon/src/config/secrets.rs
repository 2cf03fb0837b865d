//! Files that hold secrets: no one but their owner may read them, and the owner is root or this agent.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::error::{ConfigError, Mistake};
use super::inputs::Origin;
use super::settings::Settings;

/// Checks all of them.
pub(crate) fn check(settings: &Settings) -> Result<(), ConfigError> {
    let broker = settings.broker.as_ref();
    let key_file = broker.and_then(|broker| broker.identity.as_ref()).map(|(_, key)| key);
    let secrets = [
        ("broker.password_file", broker.and_then(|broker| broker.password_file.as_ref())),
        ("broker.key_file", key_file),
        ("registry.auth_file", settings.registry.auth_file.as_ref()),
    ];
    for (key, path) in secrets {
        let Some(path) = path else { continue };
        let found = std::fs::metadata(path).map_err(|error| format!("failed to look at {path:?}: {error}"));
        let verdict = found.and_then(|found| judge(path, &found, nix::unistd::geteuid().as_raw()));
        verdict.map_err(|problem| mistake(settings, key, problem))?;
    }
    Ok(())
}

fn judge(path: &Path, found: &Metadata, own_user: u32) -> Result<(), String> {
    if !found.is_file() {
        return Err(format!("{path:?} is not a file"));
    }
    if found.mode() & 0o077 != 0 {
        let mode = found.mode() & 0o777;
        return Err(format!(
            "{path:?} can be reached by others (mode {mode:03o}); run: chmod 600 {}",
            path.display()
        ));
    }
    if found.uid() != 0 && found.uid() != own_user {
        return Err(format!("{path:?} belongs to user {}; run: chown 0:0 {}", found.uid(), path.display()));
    }
    Ok(())
}

fn mistake(settings: &Settings, key: &str, problem: String) -> ConfigError {
    let place = settings.row(key).and_then(|row| match &row.origin {
        Origin::File { file, line } => Some((file.clone(), *line)),
        Origin::Default | Origin::Derived { .. } => None,
    });
    let (file, line) = place.unzip();
    Mistake { file, line, key: Some(key.to_owned()), problem }.into()
}
