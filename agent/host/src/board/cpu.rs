//! What only the processor and the kernel's start-up vector tell.
#![allow(unsafe_code, reason = "the auxiliary vector, and XCR0, have no safe interface")]

use std::ffi::CStr;

use coracle_core::board::Personality;
use nix::errno::Errno;
use nix::libc;
use nix::sys::personality::{self, Persona};

/// Three entries of the auxiliary vector.
pub(super) struct Auxiliary {
    pub(super) platform: Option<String>,
    pub(super) hwcap: Option<u64>,
    pub(super) hwcap2: Option<u64>,
}

pub(super) fn auxiliary() -> Auxiliary {
    // SAFETY: getauxval has no preconditions; it answers 0 for what the kernel did not hand over.
    let entry = |kind| unsafe { libc::getauxval(kind) };
    let address = entry(libc::AT_PLATFORM) as *const libc::c_char;
    // SAFETY: the kernel put a terminated string there, which lives as long as the process and is never written.
    let platform = (!address.is_null()).then(|| unsafe { CStr::from_ptr(address) });
    #[allow(clippy::useless_conversion, reason = "an unsigned long has 32 bits on some targets")]
    let number = |kind| Some(u64::from(entry(kind)));
    Auxiliary {
        platform: platform.map(|text| text.to_string_lossy().into_owned()),
        hwcap: number(libc::AT_HWCAP),
        hwcap2: number(libc::AT_HWCAP2),
    }
}

/// Asks a 64-bit ARM kernel for the 32-bit personality. The personality belongs to a thread: one is made for it, and
/// puts it back before it ends.
pub(super) fn linux32() -> Option<Personality> {
    if !cfg!(target_arch = "aarch64") {
        return None;
    }
    std::thread::spawn(ask_for_linux32).join().ok().flatten()
}

fn ask_for_linux32() -> Option<Personality> {
    // PER_LINUX32 (linux/personality.h); the flags beside it are kept as they are.
    const PER_LINUX32: libc::c_int = 0x0008;
    let before = personality::get().ok()?;
    let wanted = Persona::from_bits_retain((before.bits() & !0xff) | PER_LINUX32);
    match personality::set(wanted) {
        Ok(_) => {
            // The thread ends here; should this fail, nothing of it is left anyway.
            let _ = personality::set(before);
            Some(Personality::Accepted)
        }
        Err(Errno::EINVAL) => Some(Personality::Refused),
        // A seccomp filter, most likely: not known.
        Err(_) => None,
    }
}

/// The features of the levels above amd64's first, as `/proc/cpuinfo` spells them.
#[cfg(target_arch = "x86_64")]
pub(super) fn features() -> Vec<String> {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    #[allow(unused_unsafe, reason = "safe from Rust 1.94 on")]
    // SAFETY: every amd64 processor has CPUID with these leaves, or answers zeros above its highest.
    let (highest, first, highest_extended) =
        unsafe { (__cpuid(0).eax, __cpuid(1), __cpuid(0x8000_0000).eax) };
    #[allow(unused_unsafe, reason = "safe from Rust 1.94 on")]
    // SAFETY: as above; leaves beyond the highest are not asked for.
    let (seven, extended) = unsafe {
        (
            if highest >= 7 { __cpuid_count(7, 0).ebx } else { 0 },
            if highest_extended >= 0x8000_0001 { __cpuid(0x8000_0001).ecx } else { 0 },
        )
    };
    let names = [
        ("pni", first.ecx, 0),
        ("ssse3", first.ecx, 9),
        ("fma", first.ecx, 12),
        ("cx16", first.ecx, 13),
        ("sse4_1", first.ecx, 19),
        ("sse4_2", first.ecx, 20),
        ("movbe", first.ecx, 22),
        ("popcnt", first.ecx, 23),
        ("avx", first.ecx, 28),
        ("f16c", first.ecx, 29),
        ("lahf_lm", extended, 0),
        ("abm", extended, 5),
        ("bmi1", seven, 3),
        ("avx2", seven, 5),
        ("bmi2", seven, 8),
        ("avx512f", seven, 16),
        ("avx512dq", seven, 17),
        ("avx512cd", seven, 28),
        ("avx512bw", seven, 30),
        ("avx512vl", seven, 31),
    ];
    names
        .iter()
        .filter(|(_, word, bit)| word >> bit & 1 == 1)
        .map(|(name, _, _)| (*name).to_owned())
        .collect()
}

/// The register state that the kernel saves; `None` where it did not turn XSAVE on.
#[cfg(target_arch = "x86_64")]
pub(super) fn xcr0() -> Option<u64> {
    use std::arch::x86_64::{__cpuid, _xgetbv};
    const OSXSAVE: u32 = 1 << 27;
    #[target_feature(enable = "xsave")]
    fn read() -> u64 {
        // SAFETY: register 0 exists wherever XGETBV does.
        unsafe { _xgetbv(0) }
    }
    #[allow(unused_unsafe, reason = "safe from Rust 1.94 on")]
    // SAFETY: leaf 1 exists on every amd64 processor.
    let first = unsafe { __cpuid(1) };
    // SAFETY: OSXSAVE says that the processor has XSAVE and that the kernel turned it on.
    (first.ecx & OSXSAVE != 0).then(|| unsafe { read() })
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn features() -> Vec<String> {
    Vec::new()
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn xcr0() -> Option<u64> {
    None
}
