//! Tiny static programs, executed from memory, that do nothing but exit: whether they can is the question.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coracle_core::board::Outcome;
use coracle_core::oci::Platform;
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};

/// How long a program of four instructions may take, on a board busy with its boot.
const DEADLINE: Duration = Duration::from_secs(2);
/// How often it is looked after.
const INTERVAL: Duration = Duration::from_millis(2);
/// Where the programs are loaded: above the lowest address that any kernel maps.
const ADDRESS: u32 = 0x0001_0000;

/// The program of a platform; `None` where there is none.
pub(super) fn program(platform: &Platform) -> Option<Vec<u8>> {
    let code: &[u32] = match (platform.architecture.as_str(), platform.variant.as_deref()) {
        // movw r0, #0 and dmb ish are new in v7; mov r7, #1 (exit); svc #0
        ("arm", Some("v7")) => &[0xe300_0000, 0xf57f_f05b, 0xe3a0_7001, 0xef00_0000],
        // mov r0, #0; uxtb r0, r0 is new in v6; mov r7, #1; svc #0
        ("arm", Some("v6")) => &[0xe3a0_0000, 0xe6ef_0070, 0xe3a0_7001, 0xef00_0000],
        // mov x0, #0; mov x8, #93 (exit); svc #0
        ("arm64", None) => &[0xd280_0000, 0xd280_0ba8, 0xd400_0001],
        // xor ebx, ebx; xor eax, eax; inc eax (exit); int 0x80; nops
        ("386", None) => &[0xc031_db31, 0x9080_cd40],
        _ => return None,
    };
    let code: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
    Some(match platform.architecture.as_str() {
        "arm64" => elf64(183, &code),
        // EABI version 5
        "arm" => elf32(40, 0x0500_0000, &code),
        _ => elf32(3, 0, &code),
    })
}

/// The first 20 bytes and the version: little-endian, System V, executable.
fn head(class: u8, machine: u16) -> Vec<u8> {
    let mut out = vec![0x7f, b'E', b'L', b'F', class, 1, 1];
    out.resize(16, 0);
    out.extend(2u16.to_le_bytes());
    out.extend(machine.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    out
}

/// Read and execute.
const SEGMENT_FLAGS: u32 = 5;
/// One loadable segment.
const LOAD: u32 = 1;
const PAGE: u32 = 0x1_0000;

fn elf32(machine: u16, flags: u32, code: &[u8]) -> Vec<u8> {
    const HEADERS: u32 = 52 + 32;
    let size = HEADERS.saturating_add(u32::try_from(code.len()).unwrap_or(0));
    let mut out = head(1, machine);
    out.extend([ADDRESS + HEADERS, 52, 0, flags].into_iter().flat_map(u32::to_le_bytes));
    // sizes of this header, of a program header and their number; no sections
    out.extend([52u16, 32, 1, 0, 0, 0].into_iter().flat_map(u16::to_le_bytes));
    let segment = [LOAD, 0, ADDRESS, ADDRESS, size, size, SEGMENT_FLAGS, PAGE];
    out.extend(segment.into_iter().flat_map(u32::to_le_bytes));
    out.extend(code);
    out
}

fn elf64(machine: u16, code: &[u8]) -> Vec<u8> {
    const HEADERS: u64 = 64 + 56;
    let address = u64::from(ADDRESS);
    let size = HEADERS.saturating_add(u64::try_from(code.len()).unwrap_or(0));
    let mut out = head(2, machine);
    out.extend([address + HEADERS, 64, 0].into_iter().flat_map(u64::to_le_bytes));
    out.extend(0u32.to_le_bytes());
    out.extend([64u16, 56, 1, 0, 0, 0].into_iter().flat_map(u16::to_le_bytes));
    out.extend([LOAD, SEGMENT_FLAGS].into_iter().flat_map(u32::to_le_bytes));
    out.extend([0, address, address, size, size, u64::from(PAGE)].into_iter().flat_map(u64::to_le_bytes));
    out.extend(code);
    out
}

/// Executes a program from memory and says what became of it, within [`DEADLINE`].
pub(super) fn execute(program: &[u8]) -> Outcome {
    let Ok(memory) = memfd_create(c"coracle-probe", MFdFlags::MFD_CLOEXEC) else { return Outcome::Unclear };
    let mut memory = File::from(memory);
    if memory.write_all(program).is_err() {
        return Outcome::Unclear;
    }
    // The kernel opens this before it closes the descriptor on exec.
    let mut command = Command::new(format!("/proc/self/fd/{}", memory.as_raw_fd()));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        Ok(child) => wait(child),
        Err(error) if error.raw_os_error() == Some(Errno::ENOEXEC as i32) => Outcome::NotLoaded,
        Err(_) => Outcome::Unclear,
    }
}

fn wait(mut child: Child) -> Outcome {
    let end = Instant::now() + DEADLINE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Outcome::Ran,
            Ok(Some(status)) if status.signal() == Some(nix::libc::SIGILL) => {
                return Outcome::IllegalInstruction;
            }
            Ok(Some(_)) => return Outcome::Unclear,
            Ok(None) if Instant::now() < end => std::thread::sleep(INTERVAL),
            Ok(None) | Err(_) => break,
        }
    }
    // It hangs, which no kernel should do to it; it must not stay.
    let _ = child.kill();
    let _ = child.wait();
    Outcome::Unclear
}

#[cfg(test)]
mod tests;
