//! From a service and its image's settings to what the runtime reads (OCI runtime-spec, `config.json`).

pub mod capability;

pub use capability::CapabilitySet;
