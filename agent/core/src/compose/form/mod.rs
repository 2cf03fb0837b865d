//! The short forms of single settings (`src:dst:ro`, `1m30s`, `64m`), as a document and a command line both write them.

mod mount;
mod network;
mod quantity;
mod security;
#[cfg(test)]
mod tests;
mod words;

pub use mount::{parse_path, parse_tmpfs, parse_volume};
pub use network::{parse_extra_host, parse_hostname, parse_network_mode};
pub use quantity::{parse_bytes, parse_cpu_milli, parse_duration_ms, parse_pids};
pub use security::{
    SecurityOption, parse_capability, parse_device, parse_restart, parse_security_option, parse_signal,
    parse_sysctl_name, parse_ulimit, parse_ulimit_name, parse_user,
};
pub use words::split_words;

pub(super) use mount::{parse_mode, parse_target, volume_name};
pub(super) use network::host_entry;
pub(super) use security::{device, ulimit};

/// Why a short form was refused: the rule it breaks, and the text as written (shortened).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: {rule}")]
pub struct FormError {
    /// The text as written, at most 80 characters of it.
    pub text: String,
    /// What would be right.
    pub rule: String,
}

impl FormError {
    pub(crate) fn new(text: &str, rule: impl Into<String>) -> Self {
        Self { text: text.chars().take(80).collect(), rule: rule.into() }
    }
}
