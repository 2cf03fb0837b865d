//! The amd64 boards: the level by CPUID and the register state that the kernel saves, and the 32-bit side.

use super::{Facts, Reasoning};
use crate::oci::Platform;

/// What each level asks of the processor beyond the one below (x86-64 psABI), and of XCR0.
const LEVELS: [(&str, &[&str], u64); 3] = [
    ("v2", &["cx16", "lahf_lm", "popcnt", "pni", "ssse3", "sse4_1", "sse4_2"], 0),
    ("v3", &["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"], AVX_STATE),
    ("v4", &["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"], AVX512_STATE),
];
/// XMM and YMM registers are saved.
const AVX_STATE: u64 = 0b110;
/// So are the mask registers and both halves of ZMM.
const AVX512_STATE: u64 = 0b1110_0110;

fn i386() -> Platform {
    Platform::linux("386", "")
}

/// The sysctl shows that IA32 emulation was built in; whether it was turned off at boot shows when a program runs.
pub(super) fn doubts(facts: &Facts) -> Vec<Platform> {
    if facts.ia32 == Some(true) && !facts.emulated("i386") { vec![i386()] } else { Vec::new() }
}

pub(super) fn of_64_bit(facts: &Facts, reasoning: &mut Reasoning) -> Vec<Platform> {
    let mut platforms = Platform::linux("amd64", level(facts, reasoning)).levels();
    let (source, found, runs) = match (facts.ia32, facts.ran(&i386())) {
        (Some(false), _) => ("abi/vsyscall32", "absent: no IA32 emulation in the kernel", false),
        (_, Some(true)) if facts.emulated("i386") => {
            ("probe", "a 386 program ran, maybe by emulation", false)
        }
        (_, Some(true)) => ("probe", "a 386 program ran", true),
        (_, Some(false)) => ("probe", "a 386 program was refused", false),
        (_, None) => ("probe", "not known whether a 386 program runs", false),
    };
    reasoning.note(source, found, if runs { "386 runs, last of all" } else { "386 is not offered" });
    if runs {
        platforms.push(i386());
    }
    platforms
}

fn level(facts: &Facts, reasoning: &mut Reasoning) -> &'static str {
    let mut reached = "";
    for (name, flags, state) in LEVELS {
        let missing: Vec<&str> =
            flags.iter().copied().filter(|flag| !facts.cpuid.iter().any(|has| has == flag)).collect();
        if !missing.is_empty() {
            let plain = if reached.is_empty() { "v1" } else { reached };
            reasoning.note(
                "cpuid",
                format!("without {}", missing.join(" ")),
                format!("amd64/{plain}, not {name}"),
            );
            return reached;
        }
        let saved = facts.xcr0.unwrap_or(0);
        if saved & state != state {
            let found = format!("XCR0 {saved:#x} lacks {:#x}", state & !saved);
            reasoning.note(
                "xgetbv",
                found,
                format!("the kernel does not save {name}'s registers: not amd64/{name}"),
            );
            return reached;
        }
        reached = name;
    }
    reasoning.note("cpuid", "everything up to v4", "amd64/v4");
    reached
}
