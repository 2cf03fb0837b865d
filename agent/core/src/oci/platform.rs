//! Platforms (OCI image-spec, image-index.md, "platform").

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an image is built for, as an index or image config writes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// The operating system; `linux` here.
    pub os: String,
    /// The processor architecture in Go's words: `arm`, `arm64`, `amd64`, `386`, `riscv64`.
    pub architecture: String,
    /// The level within it: `v7`, `v6`, `v8`, `v2` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The system's version; empty on Linux.
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Features the image wants from the system.
    #[serde(default, rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) if !variant.is_empty() => write!(f, "/{variant}"),
            _ => Ok(()),
        }
    }
}
