//! When a passage may go on: every closed gate is named, and a passage goes on when none is closed.
//!
//! Percent and spread need no server: each board finds out for itself, from the document's seed and its own id,
//! whether and when it is its turn. The sets nest, so a higher percentage only adds boards.

mod window;
mod zone;

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::time::Timestamp;

pub use window::{Day, Window};
pub use zone::Zone;

/// When a document wants to be downloaded and applied.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Policy {
    /// How binding the rest is.
    pub mode: Mode,
    /// Hundredths of a percent of the fleet, 0 to 10000.
    pub percent_hundredths: u32,
    /// Makes the order of the boards a matter of this rollout; not secret.
    pub seed: String,
    /// Seconds over which the boards start.
    pub spread_s: u64,
    /// When the board accepted the document: the spread counts from here.
    pub accepted_at: Timestamp,
    /// Nothing happens before then.
    pub not_before: Option<Timestamp>,
    /// From then on `mode` is `force`.
    pub deadline: Option<Timestamp>,
    /// When the switch may happen; at any time where empty.
    pub windows: Vec<Window>,
    /// The download need not wait for a window.
    pub download_outside_window: bool,
    /// Everything waits.
    pub hold: bool,
    /// Bytes that must be free on the store's disk before the download; 0 for any.
    #[serde(default)]
    pub free_bytes: u64,
    /// Bytes a second that the download may take; 0 for no bound.
    #[serde(default)]
    pub max_bps: u64,
}

/// How binding a policy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Every gate counts.
    #[default]
    Soft,
    /// Windows, percent and spread do not count.
    Force,
    /// Nothing is applied; the images are there when wanted.
    Download,
    /// A person must approve the switch.
    Confirm,
}

/// A person's word, where a policy asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Approval {
    /// Not given.
    Pending,
    /// Given by command.
    Given,
}

/// A closed gate, written as the state document has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The operator holds the rollout.
    Hold,
    /// A person at the board holds every rollout; why, in their words.
    HeldHere(String),
    /// Not before this time.
    NotBefore(Timestamp),
    /// The board's bucket is beyond the percentage; both in hundredths of a percent.
    Percent {
        /// What the policy allows.
        allowed: u32,
        /// Where the board stands.
        bucket: u32,
    },
    /// The board's turn comes then.
    Spread(Timestamp),
    /// The next window opens then.
    Window(Timestamp),
    /// The policy only asks for the download.
    DownloadOnly,
    /// A person must approve.
    Confirm,
    /// Fewer bytes than this are free. How many are is not told here: it changes all the time.
    Disk(u64),
    /// Something on the board objects; the name of its file.
    Inhibit(String),
    /// It is not this board's turn; why, in the words of the server that hands out turns.
    Lock(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hold => f.write_str("HOLD"),
            Self::HeldHere(why) => write!(f, "HELD:{why}"),
            Self::NotBefore(at) => write!(f, "NOT_BEFORE:{}", window::iso_minute(*at)),
            Self::Percent { allowed, bucket } => {
                write!(f, "PERCENT:{}<{}", Hundredths(*allowed), Hundredths(*bucket))
            }
            Self::Spread(at) => write!(f, "SPREAD:{}", window::iso_minute(*at)),
            Self::Window(at) => write!(f, "WINDOW:{}", window::iso_minute(*at)),
            Self::DownloadOnly => f.write_str("DOWNLOAD_ONLY"),
            Self::Confirm => f.write_str("CONFIRM"),
            Self::Disk(needed) => write!(f, "DISK:{needed}"),
            Self::Inhibit(name) => write!(f, "INHIBIT:{name}"),
            Self::Lock(why) => write!(f, "LOCK:{why}"),
        }
    }
}

/// Hundredths, written with the two digits they need.
pub(crate) struct Hundredths(pub(crate) u32);

impl fmt::Display for Hundredths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 100 {
            0 => write!(f, "{}", self.0 / 100),
            part => write!(f, "{}.{part:02}", self.0 / 100),
        }
    }
}

/// Which half of a passage asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Before the first byte is fetched.
    Download,
    /// Before the first workload is stopped.
    Apply,
}

/// What the gates are judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts<'a> {
    /// This board.
    pub device: &'a str,
    /// The board's own time line, for spreads.
    pub now: Timestamp,
    /// Time that is fit to compare with a document's; see the contract, "Replay and time".
    pub trusted_now: Timestamp,
    /// Names of the files that inhibit an update.
    pub inhibitors: &'a [String],
    /// Bytes free on the store's disk; `None` where unknown.
    pub free_bytes: Option<u64>,
    /// Whether a person has approved.
    pub approval: Approval,
    /// Why a person at the board holds every rollout; `None` where nobody does.
    pub held: Option<&'a str>,
    /// Why it is not this board's turn; `None` where it is, or where nobody hands out turns.
    pub lock: Option<&'a str>,
}

/// All gates of `policy` that are closed in `phase`; none means go.
#[must_use]
pub fn closed(policy: &Policy, facts: &Facts<'_>, phase: Phase) -> Vec<Reason> {
    let past = |at: Option<Timestamp>| at.is_some_and(|at| facts.trusted_now >= at);
    let forced = policy.mode == Mode::Force || past(policy.deadline);
    let mut reasons = Vec::new();
    if policy.hold {
        reasons.push(Reason::Hold);
    }
    reasons.extend(facts.held.map(str::to_owned).map(Reason::HeldHere));
    if phase == Phase::Download && facts.free_bytes.is_some_and(|free| free < policy.free_bytes) {
        reasons.push(Reason::Disk(policy.free_bytes));
    }
    reasons.extend(policy.not_before.filter(|at| facts.trusted_now < *at).map(Reason::NotBefore));
    if !forced {
        soft(policy, facts, phase, &mut reasons);
    }
    if phase == Phase::Apply {
        match (policy.mode, facts.approval) {
            (Mode::Download, _) if !forced => reasons.push(Reason::DownloadOnly),
            (Mode::Confirm, Approval::Pending) if !forced => reasons.push(Reason::Confirm),
            (Mode::Soft | Mode::Force | Mode::Download | Mode::Confirm, _) => {}
        }
        reasons.extend(facts.inhibitors.iter().cloned().map(Reason::Inhibit));
        reasons.extend(facts.lock.map(str::to_owned).map(Reason::Lock));
    }
    reasons
}

fn soft(policy: &Policy, facts: &Facts<'_>, phase: Phase, reasons: &mut Vec<Reason>) {
    let own = bucket(&policy.seed, facts.device);
    if own >= policy.percent_hundredths {
        reasons.push(Reason::Percent { allowed: policy.percent_hundredths, bucket: own });
    }
    let turn = policy.accepted_at.after(spread_delay_s(&policy.seed, facts.device, policy.spread_s));
    // A clock that went back since the document was accepted must not add to the delay.
    if turn > facts.now && turn.since(facts.now) <= policy.spread_s {
        reasons.push(Reason::Spread(turn));
    }
    if phase == Phase::Apply || !policy.download_outside_window {
        reasons.extend(window::opens(&policy.windows, facts.trusted_now).map(Reason::Window));
    }
}

/// Where a board stands in a rollout, in hundredths of a percent: `u64(SHA-256(seed ‖ 0 ‖ device)) mod 10000`,
/// the digest's first eight bytes read as big-endian.
#[must_use]
pub fn bucket(seed: &str, device: &str) -> u32 {
    let place = hash(&[seed.as_bytes(), &[0], device.as_bytes()]) % 10_000;
    u32::try_from(place).unwrap_or(0)
}

/// Seconds after which a board starts, the same after a reboot: `H("spread" ‖ seed ‖ device) mod spread`.
#[must_use]
pub fn spread_delay_s(seed: &str, device: &str, spread_s: u64) -> u64 {
    hash(&[b"spread", seed.as_bytes(), device.as_bytes()]).checked_rem(spread_s).unwrap_or(0)
}

fn hash(parts: &[&[u8]]) -> u64 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests;
