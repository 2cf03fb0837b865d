//! Whom a document is for.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ident::{DeviceId, GroupName};

/// One device or one group; written `d/<device>` or `g/<group>`, which is also the middle of its topics.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// This device alone.
    Device(DeviceId),
    /// Every device of the group.
    Group(GroupName),
}

impl Scope {
    /// Parses the written form; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('/')? {
            ("d", device) => DeviceId::parse(device).ok().map(Self::Device),
            ("g", group) => GroupName::parse(group).ok().map(Self::Group),
            _ => None,
        }
    }

    /// Whether it means the device `device` with the groups `groups`.
    #[must_use]
    pub fn is_of(&self, device: &DeviceId, groups: &[GroupName]) -> bool {
        match self {
            Self::Device(named) => named == device,
            Self::Group(named) => groups.contains(named),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(device) => write!(f, "d/{device}"),
            Self::Group(group) => write!(f, "g/{group}"),
        }
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a scope is d/<device> or g/<group>"))
    }
}
