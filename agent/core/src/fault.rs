//! What went wrong, in the words of the wire: the `error` of a state document.
//!
//! Invariant: the codes are a closed set; an operator's tool may match on every one of them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ident::{ProjectName, ServiceName};
use crate::limits::MESSAGE_CHARS_MAX;
use crate::plain::plain;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $wire:literal, $class:ident, $phase:ident;)+) => {
        /// What kind of failure it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $wire)] $name,)+
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The name on the wire.
            #[must_use]
            pub const fn wire(self) -> &'static str {
                match self {
                    $(Self::$name => $wire,)+
                }
            }

            /// Whether trying again can help, where the failure itself does not know better.
            #[must_use]
            pub const fn class(self) -> Class {
                match self {
                    $(Self::$name => Class::$class,)+
                }
            }

            /// Where in a passage it usually happens.
            #[must_use]
            pub const fn phase(self) -> Phase {
                match self {
                    $(Self::$name => Phase::$phase,)+
                }
            }
        }
    };
}

codes! {
    /// The document carries no signature, and unsigned documents are not allowed.
    Unsigned = "UNSIGNED", Permanent, Verify;
    /// Too few of the signatures are good, and by keys that this board trusts with it.
    Signature = "SIGNATURE", Permanent, Verify;
    /// The document is older than one that was accepted.
    Replay = "REPLAY", Permanent, Verify;
    /// Same numbers as an accepted document, other bytes.
    Equivocation = "EQUIVOCATION", Permanent, Verify;
    /// The document's time is over.
    Expired = "EXPIRED", Permanent, Verify;
    /// The envelope or the document is not of the contract's form.
    Schema = "SCHEMA", Permanent, Verify;
    /// The document is longer than a board takes.
    TooLarge = "TOO_LARGE", Permanent, Verify;
    /// The document is for another device or group.
    Scope = "SCOPE", Permanent, Verify;
    /// The document wants another version of the agent.
    AgentVersion = "AGENT_VERSION", Permanent, Verify;
    /// No image, or no document, for what this board can run.
    Platform = "PLATFORM", Permanent, Resolve;
    /// The board's own policy forbids it.
    Policy = "POLICY", Permanent, Verify;
    /// An image without a digest, and bare tags are not allowed.
    Unpinned = "UNPINNED", Permanent, Verify;
    /// A Compose key or value that the agent does not obey.
    Compose = "COMPOSE", Permanent, Verify;
    /// A reference could not be resolved.
    Resolve = "RESOLVE", Transient, Resolve;
    /// An image is not signed as the board's policy for images demands.
    ImageSignature = "IMAGE_SIGNATURE", Transient, Resolve;
    /// The registry does not have it.
    NotFound = "NOT_FOUND", Permanent, Resolve;
    /// The registry refused the credentials.
    Auth = "AUTH", Transient, Resolve;
    /// A transfer failed.
    Pull = "PULL", Transient, Download;
    /// Bytes with another digest or length than promised.
    Digest = "DIGEST", Transient, Download;
    /// A layer could not be unpacked.
    Unpack = "UNPACK", Permanent, Download;
    /// The disk cannot hold it.
    DiskFull = "DISK_FULL", Transient, Download;
    /// The store could not be read or written.
    Store = "STORE", Transient, Download;
    /// The container runtime failed or is missing.
    Runtime = "RUNTIME", Transient, Apply;
    /// A workload did not start.
    Start = "START", Transient, Apply;
    /// A workload did not stop.
    Stop = "STOP", Transient, Apply;
    /// A workload ended when it should run.
    Exited = "EXITED", Transient, Health;
    /// A workload did not become healthy in time.
    HealthTimeout = "HEALTH_TIMEOUT", Transient, Health;
    /// A workload's check says it is unhealthy.
    Unhealthy = "UNHEALTHY", Transient, Health;
    /// The board or its agent started anew too often during a switch and its trial.
    Interrupted = "INTERRUPTED", Transient, Health;
    /// A person rolled back from it.
    Recalled = "RECALLED", Permanent, Rollback;
    /// A person called it off.
    Canceled = "CANCELED", Permanent, Rollback;
    /// The fallback could not be restored.
    Rollback = "ROLLBACK", Transient, Rollback;
    /// The generation failed on this board before.
    KnownBad = "KNOWN_BAD", Permanent, Verify;
    /// A command that the agent does not know, or does not take from there.
    UnknownVerb = "UNKNOWN_VERB", Permanent, Command;
    /// A command with the id of one that was taken.
    Duplicate = "DUPLICATE", Permanent, Command;
    /// More commands than are taken in that time, or something under way that must end first.
    Busy = "BUSY", Transient, Command;
    /// A command that does not fit where things stand.
    Conflict = "CONFLICT", Permanent, Command;
    /// A command names a workload that is not on this board.
    NoWorkload = "NO_WORKLOAD", Permanent, Command;
    /// The agent met something it has no name for.
    Internal = "INTERNAL", Transient, Apply;
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// It can: the agent does so by itself.
    Transient,
    /// It cannot, until the document or the board changes.
    Permanent,
}

/// Where in a passage it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Judging the document.
    Verify,
    /// Finding the images' bytes.
    Resolve,
    /// Fetching and unpacking.
    Download,
    /// Stopping and starting.
    Apply,
    /// Watching what was started.
    Health,
    /// Going back.
    Rollback,
    /// Obeying a command.
    Command,
}

/// One failure, as the state document reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What kind.
    pub code: Code,
    /// Whether trying again can help.
    pub class: Class,
    /// Where in the passage.
    pub phase: Phase,
    /// Whose workload, where it was one.
    pub project: Option<ProjectName>,
    /// Which workload, where it was one.
    pub service: Option<ServiceName>,
    /// What was attempted on what, and why it failed; at most [`MESSAGE_CHARS_MAX`] characters.
    message: String,
    /// What a person can do about it.
    pub hint: Option<String>,
}

impl Fault {
    /// A failure of `code` with its usual class and phase; a long message is cut, and no character of it is obeyed by
    /// a terminal.
    #[must_use]
    pub fn new(code: Code, message: &str) -> Self {
        let (class, phase) = (code.class(), code.phase());
        let message = plain(message, MESSAGE_CHARS_MAX);
        Self { code, class, phase, project: None, service: None, message, hint: None }
    }

    /// In another phase than usual.
    #[must_use]
    pub fn in_phase(self, phase: Phase) -> Self {
        Self { phase, ..self }
    }

    /// Of another class than usual.
    #[must_use]
    pub fn classed(self, class: Class) -> Self {
        Self { class, ..self }
    }

    /// Of this workload.
    #[must_use]
    pub fn of(self, project: &ProjectName, service: &ServiceName) -> Self {
        Self { project: Some(project.clone()), service: Some(service.clone()), ..self }
    }

    /// With what a person can do; a long hint is cut.
    #[must_use]
    pub fn hint(self, hint: &str) -> Self {
        Self { hint: Some(plain(hint, MESSAGE_CHARS_MAX)), ..self }
    }

    /// What was attempted on what, and why it failed.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.wire(), self.message)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_its_wire_name() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.wire());
            assert!(code.wire().chars().all(|c| c.is_ascii_uppercase() || c == '_'), "{code:?}");
        }
    }

    #[test]
    fn a_fault_is_written_as_the_contract_has_it() {
        let (project, service) = (ProjectName::parse("shop").unwrap(), ServiceName::parse("web").unwrap());
        let fault = Fault::new(Code::HealthTimeout, "web did not become healthy in 120 s")
            .of(&project, &service)
            .hint("see its log");
        let written = serde_json::json!({
            "code": "HEALTH_TIMEOUT", "class": "transient", "phase": "health", "project": "shop", "service": "web",
            "message": "web did not become healthy in 120 s", "hint": "see its log",
        });
        assert_eq!(serde_json::to_value(&fault).unwrap(), written);
        assert_eq!(serde_json::from_value::<Fault>(written).unwrap(), fault);
    }

    #[test]
    fn a_message_ends_at_its_bound_in_whole_characters() {
        for (chars, kept) in [(511, 511), (512, 512), (513, 512), (5000, 512)] {
            let fault = Fault::new(Code::Pull, &"é".repeat(chars));
            assert_eq!(fault.message().chars().count(), kept, "{chars}");
        }
    }

    // Names of services went into messages as the document had them, and from there to terminals.
    #[test]
    fn a_message_and_a_hint_say_nothing_to_a_terminal() {
        let fault = Fault::new(Code::Unpinned, "image of \u{1b}]0;a\u{7} has no digest\n").hint("see\r\n");
        assert_eq!(fault.message(), "image of \\u{1b}]0;a\\u{7} has no digest\\n");
        assert_eq!(fault.hint.as_deref(), Some("see\\r\\n"));
    }
}
