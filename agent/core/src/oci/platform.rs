//! Platforms (OCI image-spec, image-index.md, "platform").

use std::fmt;

use serde::{Deserialize, Serialize};

use super::bounded;
use crate::limits::DESCRIPTOR_WORDS_MAX;
use crate::plain::plain;

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
    #[serde(
        default,
        rename = "os.features",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "bounded::list::<DESCRIPTOR_WORDS_MAX, _>"
    )]
    pub os_features: Vec<String>,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An index may hold anything in their place.
        let part = |text: &str| plain(text, PART_CHARS_MAX);
        write!(f, "{}/{}", part(&self.os), part(&self.architecture))?;
        match &self.variant {
            Some(variant) if !variant.is_empty() => write!(f, "/{}", part(variant)),
            _ => Ok(()),
        }
    }
}

/// Why a platform's written form was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("platform {text:?} is not understood: {rule}")]
pub struct PlatformError {
    text: String,
    rule: &'static str,
}

/// Characters of one part; the longest known words have nine.
const PART_CHARS_MAX: usize = 32;

/// Operating systems that are told apart from architectures when one word stands alone.
const SYSTEMS: [&str; 6] = ["linux", "windows", "darwin", "freebsd", "android", "wasi"];

/// Architectures (Go's words) that may stand without an operating system.
const ARCHITECTURES: [&str; 15] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le",
    "riscv64", "s390x", "sparc64", "wasm",
];

impl Platform {
    /// A Linux platform; `variant` empty for none.
    #[must_use]
    pub fn linux(architecture: &str, variant: &str) -> Self {
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: Some(variant.to_owned()).filter(|variant| !variant.is_empty()),
            os_version: None,
            os_features: Vec::new(),
        }
    }

    /// Reads `os/architecture/variant`, `os/architecture`, `architecture/variant` or `architecture`, normalized.
    ///
    /// # Errors
    /// [`PlatformError`] names the text and the rule.
    pub fn parse(text: &str) -> Result<Self, PlatformError> {
        let refuse = |rule| PlatformError { text: text.chars().take(80).collect(), rule };
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let lower = text.trim().to_lowercase();
        let parts: Vec<&str> = lower.split('/').collect();
        if parts.iter().any(|part| part.is_empty() || part.len() > PART_CHARS_MAX || !part.chars().all(legal))
        {
            return Err(refuse("parts hold 1 to 32 of a-z 0-9 _ - . and are joined by /"));
        }
        let (os, architecture, variant) = match *parts.as_slice() {
            [architecture] => ("linux", architecture, ""),
            [os, architecture] if SYSTEMS.contains(&os) => (os, architecture, ""),
            [architecture, variant] => ("linux", architecture, variant),
            [os, architecture, variant] if SYSTEMS.contains(&os) => (os, architecture, variant),
            [_, _, _] => return Err(refuse("the first of three parts is an operating system such as linux")),
            _ => return Err(refuse("it has one to three parts, as linux/arm/v7")),
        };
        let platform = Self { os: os.to_owned(), ..Self::linux(architecture, variant) }.normalized();
        if !ARCHITECTURES.contains(&platform.architecture.as_str()) {
            return Err(refuse("the architecture is none of arm, arm64, amd64, 386, riscv64 and their like"));
        }
        Ok(platform)
    }

    /// The one spelling of this platform, as containerd has it: lower case, Go's words, and a variant that is the
    /// architecture's plain form left out (`arm64/v8`, `amd64/v1`), or put in (`arm` is `arm/v7`).
    #[must_use]
    pub fn normalized(&self) -> Self {
        let os = match self.os.to_lowercase().as_str() {
            "" => "linux".to_owned(),
            "macos" => "darwin".to_owned(),
            other => other.to_owned(),
        };
        let architecture = self.architecture.to_lowercase();
        let variant = self.variant.as_deref().unwrap_or("").to_lowercase();
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("i386", _) => ("386", ""),
            ("x86_64" | "x86-64" | "amd64", "" | "v1") => ("amd64", ""),
            ("x86_64" | "x86-64", level) => ("amd64", level),
            ("aarch64" | "arm64", "" | "8" | "v8") => ("arm64", ""),
            ("aarch64" | "arm64", level) => ("arm64", level),
            ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
            ("armel", _) | ("arm", "6") => ("arm", "v6"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "8") => ("arm", "v8"),
            (architecture, level) => (architecture, level),
        };
        let mut os_features = self.os_features.clone();
        os_features.sort();
        os_features.dedup();
        Self { os, os_version: self.os_version.clone(), os_features, ..Self::linux(architecture, variant) }
    }

    /// This platform and the lower levels of the same architecture that it runs, best first (containerd's order).
    #[must_use]
    pub fn levels(&self) -> Vec<Self> {
        let own = self.normalized();
        let level = |variant: &str| {
            Self { variant: Some(variant.to_owned()).filter(|v| !v.is_empty()), ..own.clone() }.normalized()
        };
        let number = |text: &str| text.strip_prefix('v').and_then(|digits| digits.parse::<u32>().ok());
        let variant = own.variant.as_deref().unwrap_or("");
        let mut all = vec![own.clone()];
        match own.architecture.as_str() {
            "arm" => {
                // No published platform is above v8; the bound keeps a made-up number from filling the memory.
                let top = number(variant).filter(|n| *n <= 9).unwrap_or(0);
                all.extend((5..top).rev().map(|n| level(&format!("v{n}"))));
            }
            "amd64" => {
                let top = number(variant).filter(|n| *n <= 9).unwrap_or(0);
                all.extend((1..top).rev().map(|n| level(&format!("v{n}"))));
            }
            "arm64" => all.extend(arm64_below(variant).iter().map(|text| level(text))),
            _ => {}
        }
        all
    }

    /// Everything that containerd's `Only` would match for this platform, best first: [`Self::levels`], then the
    /// 32-bit sibling's. Whether a board really runs the sibling is another question; see [`crate::board`].
    #[must_use]
    pub fn only(&self) -> Vec<Self> {
        let mut all = self.levels();
        let own = self.normalized();
        let sibling = match (own.architecture.as_str(), own.variant.as_deref().unwrap_or("v8")) {
            ("amd64", _) => Some(Self::linux("386", "")),
            ("arm64", level) if level.starts_with("v8") || level.starts_with("v9.") => {
                Some(Self::linux("arm", "v8"))
            }
            ("arm64", level) => Some(Self::linux("arm", level)),
            _ => None,
        };
        if let Some(sibling) = sibling {
            all.extend(Self { os: own.os, ..sibling }.levels());
        }
        all
    }
}

/// The arm64 levels below `variant`, highest first; v9.x includes v8.(x+5) (Arm's architecture manual).
fn arm64_below(variant: &str) -> Vec<String> {
    let (major, minor) = variant.split_once('.').unwrap_or((variant, "0"));
    let Some(minor) = minor.parse::<u32>().ok().filter(|minor| *minor <= 9) else { return Vec::new() };
    let below = |major: u32, top: u32| {
        (0..top).rev().map(move |n| if n == 0 { format!("v{major}") } else { format!("v{major}.{n}") })
    };
    match major {
        "v9" => below(9, minor).chain(below(8, (minor + 6).min(10))).collect(),
        "v8" => below(8, minor).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
