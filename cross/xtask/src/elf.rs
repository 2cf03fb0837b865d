//! Whether a binary is what a board needs: for its processor, complete in itself, and without names. `readelf` is the judge.

use std::io;
use std::path::Path;
use std::process::Command;

use coracle_test_support::process::run;

use crate::setup;
use crate::target::Target;

/// What is wrong with the release binary of `target`, in words; nothing where it is good.
pub fn complaints(binary: &Path, target: &Target) -> io::Result<Vec<String>> {
    setup::install_program("readelf", "binutils", "says what a binary needs")?;
    let words =
        ["--wide", "--file-header", "--program-headers", "--sections", "--dynamic", "--arch-specific"];
    // Not in the language of whoever runs it.
    let said = run(Command::new("readelf").env("LC_ALL", "C").args(words).arg(binary))?;
    Ok(judge(&said, target))
}

fn judge(said: &str, target: &Target) -> Vec<String> {
    let lines = || said.lines().map(str::trim);
    let mut found = Vec::new();
    if !lines().any(|line| line.strip_prefix("Machine:").map(str::trim) == Some(&target.elf_machine)) {
        found.push(format!("not for {}", target.elf_machine));
    }
    let kind =
        lines().find_map(|line| line.strip_prefix("Type:")).and_then(|kind| kind.split_whitespace().next());
    if kind != Some(target.elf_type.as_str()) {
        found.push(format!("of type {}, not {}", kind.unwrap_or("none"), target.elf_type));
    }
    if lines().any(|line| line.starts_with("INTERP ")) {
        found.push("wants an interpreter".to_owned());
    }
    if let Some(needed) = lines().find(|line| line.contains("(NEEDED)")) {
        found.push(format!("wants a library: {needed}"));
    }
    if !lines().any(|line| line.starts_with("LOAD ")) {
        found.push("has nothing to load".to_owned());
    }
    if lines().any(|line| line.contains(" .symtab ") || line.contains(" .debug_")) {
        found.push("not stripped".to_owned());
    }
    let stack = lines().find(|line| line.starts_with("GNU_STACK "));
    if !stack.is_some_and(|line| line.contains(" RW ")) {
        found.push("its stack may be executed".to_owned());
    }
    for attribute in &target.elf_attributes {
        if !lines().any(|line| line == attribute) {
            found.push(format!("no {attribute:?}"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target;

    /// The lines that count of a good binary for armv7.
    const GOOD: &str = "  Type:                              DYN (Position-Independent Executable file)
  Machine:                           ARM
  LOAD           0x000000 0x00010000 0x00010000 0x7a800 0x7a800 R   0x10000
  GNU_STACK      0x000000 0x00000000 0x00000000 0x00000 0x1000000 RW  0
  [ 4] .text             PROGBITS        0009a800 07a800 407d4c 00  AX  0   0 128
There is no dynamic section in this file.
  Tag_CPU_arch: v7
  Tag_ABI_VFP_args: VFP registers";

    #[track_caller]
    fn check(said: &str, complaint: Option<&str>) {
        let found = judge(said, &target::of("armv7-unknown-linux-musleabihf").unwrap());
        match complaint {
            None => assert_eq!(found, Vec::<String>::new()),
            Some(words) => assert!(found.len() == 1 && found[0].contains(words), "{found:?}"),
        }
    }

    #[test]
    fn whatever_keeps_a_binary_from_running_on_its_board_is_found() {
        check(GOOD, None);
        check(&GOOD.replace("ARM\n", "AArch64\n"), Some("not for ARM"));
        check(&GOOD.replace("DYN", "EXEC"), Some("of type EXEC, not DYN"));
        check(&GOOD.replace("v7", "v7E-M"), Some("Tag_CPU_arch: v7"));
        check(&GOOD.replace(": VFP registers", ": compatible"), Some("Tag_ABI_VFP_args"));
        check(&GOOD.replace(" RW ", " RWE "), Some("stack"));
        check(&format!("{GOOD}\n  INTERP         0x000174 0x00000174 0x19 R 0x1"), Some("interpreter"));
        check(&format!("{GOOD}\n 0x00000001 (NEEDED) Shared library: [libc.so.6]"), Some("libc.so.6"));
        check(&format!("{GOOD}\n  [12] .symtab           SYMTAB          00000000"), Some("not stripped"));
        check(&GOOD.replace("LOAD", "NOTE"), Some("nothing to load"));
    }

    #[test]
    fn this_very_program_is_refused_as_a_release() {
        let amd64 = target::of(target::AMD64).unwrap();
        let found = complaints(&std::env::current_exe().unwrap(), &amd64).unwrap().join(", ");
        for word in ["interpreter", "library", "not stripped"] {
            assert!(found.contains(word), "{found}");
        }
    }
}
