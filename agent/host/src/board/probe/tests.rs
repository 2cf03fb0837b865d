use std::path::Path;

use super::*;

fn of(word: &str) -> Vec<u8> {
    program(&Platform::parse(word).unwrap()).unwrap()
}

#[test]
fn what_is_no_program_is_not_loaded() {
    assert_eq!(execute(b"\x7fELFnot at all"), Outcome::NotLoaded);
    assert_eq!(execute(b""), Outcome::NotLoaded);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_program_of_another_processor_does_not_run_here() {
    let emulated = |name: &str| Path::new("/proc/sys/fs/binfmt_misc").join(name).exists();
    if !emulated("qemu-aarch64") {
        assert_eq!(execute(&of("arm64")), Outcome::NotLoaded);
    }
    if !emulated("qemu-arm") {
        assert_eq!(execute(&of("arm/v7")), Outcome::NotLoaded);
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn an_illegal_instruction_and_a_hang_are_told_apart() {
    // ud2
    assert_eq!(execute(&elf64(62, &[0x0f, 0x0b])), Outcome::IllegalInstruction);
    // jmp to itself
    let begun = Instant::now();
    assert_eq!(execute(&elf64(62, &[0xeb, 0xfe])), Outcome::Unclear);
    assert!(begun.elapsed() >= DEADLINE && begun.elapsed() < DEADLINE * 5);
    // mov edi, 0; mov eax, 60 (exit); syscall
    assert_eq!(execute(&elf64(62, &[0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05])), Outcome::Ran);
}

#[test]
fn there_is_no_program_for_what_is_never_in_doubt() {
    for word in ["amd64", "riscv64", "arm/v5", "arm64/v9"] {
        assert_eq!(program(&Platform::parse(word).unwrap()), None, "{word}");
    }
}

/// The Pi Zero's case without a Pi Zero: each program on emulated processors.
#[test]
fn on_emulated_processors_each_program_runs_where_it_should() {
    let rows: [(&str, &str, &str, Option<i32>); 7] = [
        ("arm/v7", "qemu-arm-static", "arm1176", Some(nix::libc::SIGILL)),
        ("arm/v7", "qemu-arm-static", "cortex-a7", None),
        ("arm/v7", "qemu-arm-static", "cortex-a9", None),
        ("arm/v6", "qemu-arm-static", "arm1176", None),
        ("arm/v6", "qemu-arm-static", "arm926", Some(nix::libc::SIGILL)),
        ("arm/v6", "qemu-arm-static", "cortex-a15", None),
        ("arm64", "qemu-aarch64-static", "cortex-a53", None),
    ];
    for (word, emulator, processor, signal) in rows {
        let emulator = Path::new("/usr/bin").join(emulator);
        assert!(emulator.exists(), "{} is missing: `cargo xtask setup` installs it", emulator.display());
        let file = std::env::temp_dir().join(format!("coracle-probe-{}-{processor}", std::process::id()));
        std::fs::write(&file, of(word)).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&file, mode).unwrap();
        let mut command = Command::new(&emulator);
        // Where the shell's limit allows a core file, qemu would leave one.
        command.args(["-cpu", processor]).arg(&file).current_dir(std::env::temp_dir());
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(status.signal(), signal, "{word} on {processor}: {status:?}");
        assert!(signal.is_some() || status.success(), "{word} on {processor}: {status:?}");
    }
}
