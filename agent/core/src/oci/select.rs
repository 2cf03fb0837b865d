//! Which entry of an index this board takes, and why not the others.
//!
//! The order is containerd's (`platforms.Only`), gated by what the board was found to run: `can_run`, best first.
//! Invariant: every entry gets exactly one verdict, and at most one is taken.
//! An index inside the index is never taken here: put its entries in its place and select again.

use std::fmt;

use serde::Serialize;

use super::{Descriptor, Platform};
use crate::plain::plain;

/// The annotation by which BuildKit marks what is about an image and is none itself.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
/// Media types of documents that list manifests.
const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
/// Characters of what an index says of an entry.
const TEXT_CHARS_MAX: usize = 100;
/// Entries that an error names one by one; the rest is counted.
const NAMED_MAX: usize = 24;

/// What was made of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The place of the entry that was taken.
    pub chosen: Option<usize>,
    /// One for each entry, in the index's order.
    pub verdicts: Vec<Verdict>,
}

/// Why one entry was taken or passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// The best that the board runs.
    Taken {
        /// The entry's platform, normalized.
        platform: Platform,
        /// Its place among what the board runs; 1 is best.
        rank: usize,
    },
    /// Names no platform and nothing else fits: its image config has to say.
    TakenUnnamed,
    /// The board runs it, but runs the taken one better.
    Worse {
        /// The entry's platform, normalized.
        platform: Platform,
        /// The place of the taken entry.
        taken: usize,
    },
    /// As good as the taken one, which uses more of the system's features or stands earlier in the index.
    Later {
        /// The place of the taken entry.
        taken: usize,
    },
    /// Names no platform while another entry that does fits.
    Unnamed,
    /// The board does not run it.
    CannotRun {
        /// The entry's platform, normalized.
        platform: Platform,
    },
    /// The architecture fits; features of the system that it wants are missing.
    MissingFeatures {
        /// What is missing.
        features: Vec<String>,
    },
    /// A statement about another entry, not an image.
    Attestation,
    /// Content that is not an image.
    Artifact {
        /// What it says it is.
        artifact_type: String,
    },
    /// An index, to be replaced by its entries.
    Index,
}

impl Verdict {
    /// Whether this entry was taken.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Taken { .. } | Self::TakenUnnamed)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { platform, rank: 1 } => write!(f, "taken: {platform} is what this board runs best"),
            Self::Taken { platform, rank } => {
                write!(
                    f,
                    "taken: {platform} is number {rank} of what this board runs, and nothing better is offered"
                )
            }
            Self::TakenUnnamed => {
                f.write_str("taken: it names no platform and nothing else fits, so its image config decides")
            }
            Self::Worse { platform, taken } => {
                write!(f, "passed over: this board runs {platform}, but entry {} is better", taken + 1)
            }
            Self::Later { taken } => write!(
                f,
                "passed over: as good as entry {}, which comes earlier or uses more of the system's features",
                taken + 1
            ),
            Self::Unnamed => {
                f.write_str("passed over: it names no platform, and another entry that does fits")
            }
            Self::CannotRun { platform } => write!(f, "passed over: this board does not run {platform}"),
            Self::MissingFeatures { features } => {
                write!(
                    f,
                    "passed over: this board lacks what it wants of the system: {}",
                    plain(&features.join(", "), TEXT_CHARS_MAX)
                )
            }
            Self::Attestation => f.write_str("passed over: an attestation about another entry, not an image"),
            Self::Artifact { artifact_type } => {
                write!(
                    f,
                    "passed over: not an image but an artifact of type {}",
                    plain(artifact_type, TEXT_CHARS_MAX)
                )
            }
            Self::Index => {
                f.write_str("not judged: an index in the index, whose entries are judged in its place")
            }
        }
    }
}

/// Nothing that is offered runs here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no image for this board: the index offers {offers}; this board runs {runs}")]
pub struct NoMatch {
    /// The platforms offered, in the index's order, attestations and artifacts left out.
    pub offers: String,
    /// The platforms that the board runs, best first.
    pub runs: String,
}

impl NoMatch {
    /// Says what is offered beside what the board runs.
    #[must_use]
    pub fn new(can_run: &[Platform], offered: &[Descriptor]) -> Self {
        let images = offered.iter().filter(|entry| not_an_image(entry).is_none());
        let offers =
            images.map(|entry| named(entry).map_or("an image of no platform".into(), |p| p.to_string()));
        Self { offers: listed(offers), runs: listed(can_run.iter().map(ToString::to_string)) }
    }
}

fn listed(items: impl Iterator<Item = String>) -> String {
    let mut items: Vec<String> = items.collect();
    let more = items.len().saturating_sub(NAMED_MAX);
    items.truncate(NAMED_MAX);
    match (items.is_empty(), more) {
        (true, _) => "nothing".to_owned(),
        (false, 0) => items.join(", "),
        (false, more) => format!("{} and {more} more", items.join(", ")),
    }
}

/// Takes the entry that the board runs best; `can_run` is best first, as [`crate::board::detect`] gives it.
#[must_use]
pub fn select(can_run: &[Platform], offered: &[Descriptor]) -> Selection {
    let can_run: Vec<Platform> = can_run.iter().map(Platform::normalized).collect();
    let judged: Vec<Judged> = offered.iter().map(|entry| judge(&can_run, entry)).collect();
    // Fewer is better: rank, then more features, then the index's order (min_by_key keeps the first of equals).
    let best = judged.iter().enumerate().filter_map(|(at, judged)| match judged {
        Judged::Runs { rank, features, .. } => Some((*rank, std::cmp::Reverse(*features), at)),
        Judged::Unnamed => Some((usize::MAX, std::cmp::Reverse(0), at)),
        Judged::Not(_) => None,
    });
    let best = best.min();
    let verdicts = judged.into_iter().enumerate().map(|(at, judged)| verdict(at, judged, best)).collect();
    Selection { chosen: best.map(|(_, _, at)| at), verdicts }
}

type Best = Option<(usize, std::cmp::Reverse<usize>, usize)>;

enum Judged {
    Runs { platform: Platform, rank: usize, features: usize },
    Unnamed,
    Not(Verdict),
}

fn verdict(at: usize, judged: Judged, best: Best) -> Verdict {
    let (best_rank, taken) = best.map_or((usize::MAX, at), |(rank, _, taken)| (rank, taken));
    match judged {
        Judged::Not(verdict) => verdict,
        Judged::Runs { platform, rank, .. } if taken == at => Verdict::Taken { platform, rank: rank + 1 },
        Judged::Runs { rank, .. } if rank == best_rank => Verdict::Later { taken },
        Judged::Runs { platform, .. } => Verdict::Worse { platform, taken },
        Judged::Unnamed if taken == at => Verdict::TakenUnnamed,
        Judged::Unnamed if best_rank == usize::MAX => Verdict::Later { taken },
        Judged::Unnamed => Verdict::Unnamed,
    }
}

fn judge(can_run: &[Platform], entry: &Descriptor) -> Judged {
    if let Some(verdict) = not_an_image(entry) {
        return Judged::Not(verdict);
    }
    let Some(platform) = named(entry) else { return Judged::Unnamed };
    let same = |own: &&Platform| {
        (&own.os, &own.architecture, &own.variant)
            == (&platform.os, &platform.architecture, &platform.variant)
    };
    let Some(own) = can_run.iter().find(same) else { return Judged::Not(Verdict::CannotRun { platform }) };
    let missing = |own: &Platform| -> Vec<String> {
        platform.os_features.iter().filter(|feature| !own.os_features.contains(feature)).cloned().collect()
    };
    match can_run.iter().position(|own| same(&own) && missing(own).is_empty()) {
        Some(rank) => Judged::Runs { rank, features: platform.os_features.len(), platform },
        None => Judged::Not(Verdict::MissingFeatures { features: missing(own) }),
    }
}

/// The verdict on an entry that is no image for any board.
fn not_an_image(entry: &Descriptor) -> Option<Verdict> {
    let unknown = |p: &Platform| p.os == "unknown" && p.architecture == "unknown";
    if entry.annotations.contains_key(REFERENCE_TYPE) || entry.platform.as_ref().is_some_and(unknown) {
        return Some(Verdict::Attestation);
    }
    if let Some(artifact_type) = entry.artifact_type.as_ref().filter(|text| !text.is_empty()) {
        return Some(Verdict::Artifact { artifact_type: artifact_type.clone() });
    }
    INDEXES.contains(&entry.media_type.as_str()).then_some(Verdict::Index)
}

/// The platform that an entry names, normalized; an empty architecture names none.
fn named(entry: &Descriptor) -> Option<Platform> {
    entry.platform.as_ref().filter(|platform| !platform.architecture.is_empty()).map(Platform::normalized)
}

#[cfg(test)]
mod tests;
