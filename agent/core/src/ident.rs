//! Names that come from outside, parsed once: having the value is the proof that it is safe in a topic and a path.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {value:?} is not valid: {rule}")]
pub struct NameError {
    kind: &'static str,
    value: String,
    rule: &'static str,
}

/// Characters of any name; an MQTT topic level and a cgroup directory both hold it.
const NAME_CHARS_MAX: usize = 64;

fn check(kind: &'static str, value: &str, dots: bool) -> Result<(), NameError> {
    let rule = if dots {
        "1 to 64 of A-Z a-z 0-9 _ - . and the first a letter or digit"
    } else {
        "1 to 64 of A-Z a-z 0-9 _ -"
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || (dots && c == '.');
    let first_ok = !dots || value.starts_with(|c: char| c.is_ascii_alphanumeric());
    if value.is_empty() || value.len() > NAME_CHARS_MAX || !value.chars().all(legal) || !first_ok {
        let value = value.chars().take(NAME_CHARS_MAX + 1).collect();
        return Err(NameError { kind, value, rule });
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, dots: $dots:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Checks `value`; the error names it and the rule.
            ///
            /// # Errors
            /// [`NameError`] when a character or the length is not allowed.
            pub fn parse(value: &str) -> Result<Self, NameError> {
                check($kind, value, $dots)?;
                Ok(Self(value.to_owned()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// One board; a level of its MQTT topics, so without dots (RabbitMQ and NATS map `/` to `.`).
    DeviceId, "device id", dots: false
);
name!(
    /// A group of boards, from the board's own configuration.
    GroupName, "group", dots: false
);
name!(
    /// A Compose project; the unit a document adds or removes.
    ProjectName, "project", dots: false
);
name!(
    /// A service of a project.
    ServiceName, "service", dots: true
);
name!(
    /// A named volume of a project.
    VolumeName, "volume", dots: true
);

/// The project that `coracle run` puts its workloads in.
pub const LOCAL_PROJECT: &str = "local";

/// One workload of this board: a service of a project; written `project.service`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadId {
    /// The project; it has no dots, so the first dot of the written form ends it.
    pub project: ProjectName,
    /// The service within it.
    pub service: ServiceName,
}

impl WorkloadId {
    /// Parses the written form, `project.service`.
    ///
    /// # Errors
    /// [`NameError`] when either part is not a name.
    pub fn parse(value: &str) -> Result<Self, NameError> {
        let (project, service) = value.split_once('.').unwrap_or((value, ""));
        Ok(Self { project: ProjectName::parse(project)?, service: ServiceName::parse(service)? })
    }
}

impl fmt::Display for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.project, self.service)
    }
}

impl Serialize for WorkloadId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WorkloadId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_refused_when_it_could_leave_its_topic_or_directory() {
        for bad in ["", "a/b", "..", "a.b", "a b", "+", "#", "é", &"x".repeat(65)] {
            assert!(DeviceId::parse(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "a/b", "..", ".hidden", "-x", "a b", &"x".repeat(65)] {
            assert!(ServiceName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(DeviceId::parse("board_01-A").is_ok());
        assert!(ServiceName::parse("web.1").is_ok());
    }

    #[test]
    fn a_workload_is_written_and_read_the_same() {
        let id = WorkloadId::parse("shop.web.1").unwrap();
        assert_eq!((id.project.as_str(), id.service.as_str()), ("shop", "web.1"));
        assert_eq!(id.to_string(), "shop.web.1");
        assert!(WorkloadId::parse("noservice").is_err());
    }
}
