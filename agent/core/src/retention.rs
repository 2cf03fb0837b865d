//! Which images stay when room is made: those that are needed, and of the others the newest.

use std::collections::{BTreeMap, BTreeSet};

use crate::oci::Digest;
use crate::time::Timestamp;

/// An image of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its manifest.
    pub manifest: Digest,
    /// Its layers.
    pub layers: Vec<Digest>,
    /// When it came.
    pub pulled_at: Timestamp,
}

/// How full a disk may become, in percent of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// Above it, images that nothing needs go.
    pub high: u64,
    /// Until it is reached again.
    pub low: u64,
}

impl Watermarks {
    /// Bytes that have to go; none up to the high mark.
    #[must_use]
    pub fn excess(&self, total_bytes: u64, free_bytes: u64) -> Option<u64> {
        let used = total_bytes.saturating_sub(free_bytes);
        let share = |percent: u64| {
            u64::try_from(u128::from(total_bytes) * u128::from(percent) / 100).unwrap_or(u64::MAX)
        };
        (used > share(self.high)).then(|| used.saturating_sub(share(self.low)))
    }
}

/// The manifests that stay when at least `goal` bytes of layers shall go: all of `needed`, and of the other images those
/// that are left once enough of the oldest are gone. A layer goes with the last image that has it.
#[must_use]
pub fn keep(
    images: &[Image],
    layer_bytes: &BTreeMap<Digest, u64>,
    needed: &BTreeSet<Digest>,
    goal: u64,
) -> BTreeSet<Digest> {
    let mut users = BTreeMap::<Digest, u64>::new();
    for layer in images.iter().flat_map(|image| image.layers.iter().collect::<BTreeSet<_>>()) {
        *users.entry(*layer).or_default() += 1;
    }
    let mut others: Vec<_> = images.iter().filter(|image| !needed.contains(&image.manifest)).collect();
    others.sort_by_key(|image| (image.pulled_at, image.manifest));
    let mut kept = needed.clone();
    let mut freed = 0_u64;
    for image in others {
        if freed >= goal {
            kept.insert(image.manifest);
            continue;
        }
        for layer in image.layers.iter().collect::<BTreeSet<_>>() {
            let left = users.entry(*layer).or_default();
            *left = left.saturating_sub(1);
            if *left == 0 {
                freed = freed.saturating_add(layer_bytes.get(layer).copied().unwrap_or(0));
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn image(name: &str, layers: &[&str], age: u64) -> Image {
        Image {
            manifest: digest(name),
            layers: layers.iter().map(|layer| digest(layer)).collect(),
            pulled_at: Timestamp(age),
        }
    }

    #[track_caller]
    fn check(needed: &[&str], goal: u64, expected: &[&str]) {
        let images = [
            image("old", &["base", "old"], 1),
            image("older", &["base", "older"], 0),
            image("new", &["base", "new"], 9),
            image("alone", &["alone"], 5),
        ];
        let bytes = ["base", "old", "older", "new", "alone"].map(|layer| (digest(layer), 100));
        let needed = needed.iter().map(|name| digest(name)).collect();
        let expected = expected.iter().map(|name| digest(name)).collect::<BTreeSet<_>>();
        assert_eq!(keep(&images, &bytes.into(), &needed, goal), expected);
    }

    #[test]
    fn the_oldest_go_first_and_only_as_many_as_it_takes() {
        check(&[], 0, &["old", "older", "new", "alone"]);
        check(&[], 1, &["old", "new", "alone"]);
        check(&[], 100, &["old", "new", "alone"]);
        check(&[], 101, &["new", "alone"]);
        check(&[], 250, &["new"]);
        check(&[], 301, &[]);
    }

    #[test]
    fn what_is_needed_stays_whatever_the_goal() {
        check(&["older"], u64::MAX, &["older"]);
        check(&["older", "unknown"], 1, &["older", "unknown", "new", "alone"]);
    }

    #[test]
    fn nothing_has_to_go_up_to_the_high_mark_and_then_down_to_the_low_one() {
        let marks = Watermarks { high: 85, low: 70 };
        for (free, expected) in [(100, None), (15, None), (14, Some(16)), (0, Some(30))] {
            assert_eq!(marks.excess(100, free), expected, "{free}");
        }
        assert_eq!(Watermarks { high: 100, low: 70 }.excess(100, 0), None);
        assert_eq!(marks.excess(0, 0), None);
    }
}
