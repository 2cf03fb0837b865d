//! The ARM boards: 32-bit kernels by level, 64-bit kernels with or without a 32-bit side.

use super::{Facts, Personality, Reasoning};
use crate::oci::Platform;

/// AT_HWCAP bits of a 32-bit ARM program (the kernel's arch/arm/include/uapi/asm/hwcap.h).
mod hwcap {
    pub(super) const VFP: u64 = 1 << 6;
    pub(super) const NEON: u64 = 1 << 12;
    pub(super) const VFPV3: u64 = 1 << 13;
    pub(super) const VFPV3_D16: u64 = 1 << 14;
    pub(super) const VFPV4: u64 = 1 << 16;
}

/// Whether a floating-point unit is there, by the auxiliary vector or by cpuinfo; `None` when neither tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Float {
    Absent,
    /// VFPv2, or a VFP of unknown version.
    Vfp,
    /// VFPv3 with 16 registers, and no NEON.
    D16,
    /// VFPv3 or later with 32 registers.
    Vfpv3,
    Neon,
}

fn float(facts: &Facts) -> Option<(&'static str, Float)> {
    // Only a 32-bit agent sees the 32-bit bits; zero means that the kernel handed none.
    if let Some(bits) = facts.hwcap.filter(|bits| *bits != 0 && facts.target == "arm") {
        let has = |bit| bits & bit != 0;
        let unit = match () {
            () if has(hwcap::NEON) => Float::Neon,
            () if has(hwcap::VFPV3_D16) => Float::D16,
            () if has(hwcap::VFPV3 | hwcap::VFPV4) => Float::Vfpv3,
            () if has(hwcap::VFP) => Float::Vfp,
            () => Float::Absent,
        };
        return Some(("AT_HWCAP", unit));
    }
    let words: Vec<&str> = facts.cpuinfo("Features")?.split_whitespace().collect();
    let has = |word| words.contains(&word);
    let unit = match () {
        () if has("neon") => Float::Neon,
        () if has("vfpv3d16") || has("vfpd16") => Float::D16,
        () if has("vfpv3") || has("vfpv4") => Float::Vfpv3,
        () if has("vfp") => Float::Vfp,
        () => Float::Absent,
    };
    Some(("/proc/cpuinfo", unit))
}

/// The number in `armv6l`, `v7l`, `armv5tejl`.
fn level(word: &str) -> Option<u32> {
    let digits = word.strip_prefix("arm").unwrap_or(word).strip_prefix('v')?;
    digits.chars().next()?.to_digit(10)
}

/// The level that uname and AT_PLATFORM agree on, else the lower.
fn said_level(facts: &Facts) -> Option<u32> {
    let both = [level(&facts.machine), facts.at_platform.as_deref().and_then(level)];
    both.into_iter().flatten().min()
}

fn arm(level: u32) -> Platform {
    Platform::linux("arm", &format!("v{level}"))
}

/// A 32-bit kernel that names no level, or two, or the v8 that a 64-bit kernel shows under a personality.
pub(super) fn doubts(facts: &Facts) -> Vec<Platform> {
    let words = [level(&facts.machine), facts.at_platform.as_deref().and_then(level)];
    match words {
        [Some(8), _] => vec![Platform::linux("arm64", "")],
        [Some(one), Some(other)] if one == other => Vec::new(),
        [Some(_), None] => Vec::new(),
        _ => vec![arm(7), arm(6)],
    }
}

/// A 64-bit kernel that was not asked, or could not be; a 32-bit agent is the proof itself.
pub(super) fn doubts_of_64_bit(facts: &Facts) -> Vec<Platform> {
    match facts.linux32 {
        Some(_) => Vec::new(),
        // Emulation would make the program run anywhere.
        None if facts.target == "arm" || facts.emulated("arm") => Vec::new(),
        None => vec![arm(7)],
    }
}

pub(super) fn of_32_bit(facts: &Facts, reasoning: &mut Reasoning) -> Vec<Platform> {
    let mut platforms = Vec::new();
    if facts.ran(&Platform::linux("arm64", "")) == Some(true) {
        reasoning.note("probe", "an arm64 program ran", "the kernel is 64-bit behind a 32-bit personality");
        platforms.push(Platform::linux("arm64", ""));
    }
    platforms.extend(level_of_32_bit(facts, reasoning).map_or_else(Vec::new, |level| arm(level).levels()));
    platforms
}

fn level_of_32_bit(facts: &Facts, reasoning: &mut Reasoning) -> Option<u32> {
    let at = facts.at_platform.as_deref().unwrap_or("nothing");
    let mut top = match said_level(facts) {
        Some(level) => {
            reasoning.note("AT_PLATFORM", at, format!("with uname {}: arm/v{level}", facts.machine));
            level
        }
        None => {
            reasoning.note(
                "AT_PLATFORM",
                at,
                "no level is named: arm/v5 until a program of a higher one ran",
            );
            5
        }
    };
    if let Some(word) =
        facts.cpuinfo("CPU architecture").filter(|word| level(&format!("v{word}")) != Some(top))
    {
        let so = format!("not believed: this line tells of the memory unit; the level stays v{top}");
        reasoning.note("/proc/cpuinfo", format!("CPU architecture: {word}"), so);
    }
    top = probed_level(facts, top, reasoning);
    let Some((source, unit)) = float(facts) else {
        reasoning.note("AT_HWCAP", "nothing", "floating point is taken to be what the level calls for");
        return Some(top);
    };
    match unit {
        Float::Absent => {
            let so = "arm/v6 and arm/v7 images use hard floating point: arm/v5 only";
            reasoning.note(source, "no VFP", so);
            top = top.min(5);
        }
        Float::D16 => {
            let so = format!("arm/v{top} stays: hard-float images call for 16 registers and no NEON");
            reasoning.note(source, "VFPv3-D16 without NEON", so);
        }
        Float::Vfpv3 => {
            reasoning.note(source, "VFPv3 without NEON", format!("arm/v{top} stays: NEON is no part of it"));
        }
        Float::Vfp if top >= 7 => {
            reasoning.note(source, "VFP below version 3", "arm/v7 images use VFPv3: arm/v6");
            top = 6;
        }
        Float::Vfp => reasoning.note(source, "VFP", format!("enough for arm/v{top}")),
        Float::Neon => reasoning.note(source, "NEON", format!("enough for arm/v{top}")),
    }
    Some(top)
}

/// A program that ran raises an unnamed level; one that did not lowers a named one.
fn probed_level(facts: &Facts, said: u32, reasoning: &mut Reasoning) -> u32 {
    let mut top = said;
    for probe in &facts.probes {
        let Some(level) = probe.platform.variant.as_deref().and_then(level) else { continue };
        if probe.platform.architecture != "arm" {
            continue;
        }
        match facts.ran(&probe.platform.normalized()) {
            Some(true) if !facts.emulated("arm") => top = top.max(level),
            Some(false) => top = top.min(level.saturating_sub(1)),
            Some(true) | None => {}
        }
        let found = format!("the program of {} {}", probe.platform, probe.outcome.words());
        reasoning.note("probe", found, format!("arm/v{top}"));
    }
    top
}

pub(super) fn of_64_bit(facts: &Facts, reasoning: &mut Reasoning) -> Vec<Platform> {
    let own = Platform::linux("arm64", "");
    if facts.target == "arm" {
        let so = "a 32-bit agent on a 64-bit kernel: containers bring their own programs, so arm64 first, then arm";
        reasoning.note("build", facts.target.clone(), so);
        return own.only();
    }
    if has_aarch32(facts, reasoning) { own.only() } else { own.levels() }
}

fn has_aarch32(facts: &Facts, reasoning: &mut Reasoning) -> bool {
    let program = arm(7);
    let (source, found, has) = match (facts.linux32, facts.ran(&program)) {
        (Some(Personality::Refused), _) => ("personality", "PER_LINUX32 is refused".to_owned(), false),
        (_, Some(false)) => ("probe", format!("the program of {program} does not run"), false),
        (Some(Personality::Accepted), _) => ("personality", "PER_LINUX32 is accepted".to_owned(), true),
        (None, Some(true)) if facts.emulated("arm") => {
            ("probe", format!("the program of {program} ran, maybe by emulation"), false)
        }
        (None, Some(true)) => ("probe", format!("the program of {program} ran"), true),
        (None, None) => ("personality", "not known".to_owned(), false),
    };
    let so = if has { "arm/v8 and below run after arm64" } else { "no 32-bit side: arm64 only" };
    reasoning.note(source, found, so);
    match facts.aarch32_cores.as_deref().map(str::trim) {
        Some("") if has => {
            reasoning.note("aarch32_el0", "no core", "no core runs 32-bit programs: arm64 only");
            false
        }
        Some(cores) if has => {
            let so = "only these cores run 32-bit programs; the kernel keeps arm containers on them";
            reasoning.note("aarch32_el0", cores, so);
            true
        }
        Some(_) | None => has,
    }
}
