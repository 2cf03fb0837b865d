//! What this board can run, and from what that was concluded.
//!
//! [`Facts`] are what the system says, as gathered by the host or recorded in a file; [`detect`] is a function of them.
//! Invariant: a platform is offered only when a fact shows that it runs; emulation is never offered by itself.

use serde::{Deserialize, Serialize};

use crate::oci::Platform;

mod arm;
mod facts;
mod x86;

pub use facts::{Facts, Outcome, Personality, Probe};

/// The platforms of one board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board {
    /// What it runs, best first.
    pub platforms: Vec<Platform>,
    /// What led to that, in the order of the reasoning.
    pub evidence: Vec<Evidence>,
}

/// One step of the reasoning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Where the fact comes from: `uname`, `AT_HWCAP`, `cpuid` …
    pub source: String,
    /// What was found there.
    pub found: String,
    /// What follows.
    pub so: String,
}

/// The reasoning while it grows.
#[derive(Default)]
struct Reasoning(Vec<Evidence>);

impl Reasoning {
    fn note(&mut self, source: &str, found: impl Into<String>, so: impl Into<String>) {
        self.0.push(Evidence { source: source.to_owned(), found: found.into(), so: so.into() });
    }
}

/// The family of the kernel's own instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Arm,
    Arm64,
    Amd64,
    I386,
    Riscv64,
    Other,
}

/// What the board runs. A configured list replaces what was found: each platform of it stands with its lower levels.
#[must_use]
pub fn detect(facts: &Facts, configured: &[Platform]) -> Board {
    let mut reasoning = Reasoning::default();
    let mut platforms: Vec<Platform> = Vec::new();
    let found = if configured.is_empty() {
        found(facts, &mut reasoning)
    } else {
        let words: Vec<String> = configured.iter().map(ToString::to_string).collect();
        reasoning.note("configuration", words.join(", "), "taken as it stands; nothing was probed for it");
        configured.iter().flat_map(Platform::levels).collect()
    };
    for platform in found {
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    Board { platforms, evidence: reasoning.0 }
}

/// Platforms whose support the facts leave open; a tiny program of each, executed, would settle it.
#[must_use]
pub fn doubts(facts: &Facts) -> Vec<Platform> {
    match family(facts) {
        Family::Arm => arm::doubts(facts),
        Family::Arm64 => arm::doubts_of_64_bit(facts),
        Family::Amd64 => x86::doubts(facts),
        Family::I386 | Family::Riscv64 | Family::Other => Vec::new(),
    }
}

fn family(facts: &Facts) -> Family {
    let machine = facts.machine.as_str();
    // A personality can make a 64-bit kernel show a 32-bit name; the agent's own code does not lie.
    match (facts.target.as_str(), machine) {
        ("aarch64", _) | (_, "aarch64" | "arm64") => Family::Arm64,
        ("x86_64", _) | (_, "x86_64") => Family::Amd64,
        ("riscv64", _) | (_, "riscv64") => Family::Riscv64,
        ("arm", _) => Family::Arm,
        ("x86", _) => Family::I386,
        _ if machine.starts_with("arm") => Family::Arm,
        _ => Family::Other,
    }
}

fn found(facts: &Facts, reasoning: &mut Reasoning) -> Vec<Platform> {
    reasoning.note("uname", facts.machine.clone(), format!("the agent itself is built for {}", facts.target));
    let platforms = match family(facts) {
        Family::Arm => arm::of_32_bit(facts, reasoning),
        Family::Arm64 => arm::of_64_bit(facts, reasoning),
        Family::Amd64 => x86::of_64_bit(facts, reasoning),
        Family::I386 => vec![Platform::linux("386", "")],
        Family::Riscv64 => vec![Platform::linux("riscv64", "")],
        Family::Other => {
            let own = Platform::linux(&facts.target, "").normalized();
            reasoning.note("build", facts.target.clone(), format!("nothing else is known: {own} only"));
            vec![own]
        }
    };
    if !facts.emulators.is_empty() {
        let so = "emulated platforms are not offered; name them in the configuration to have them";
        reasoning.note("binfmt_misc", facts.emulators.join(", "), so);
    }
    platforms
}

#[cfg(test)]
mod tests;
