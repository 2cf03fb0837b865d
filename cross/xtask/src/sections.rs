//! What a binary's bytes are for: its sections, as `readelf` reads them.

use std::io;
use std::path::Path;
use std::process::Command;

use coracle_test_support::process::run;

use crate::setup;

/// Bytes of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sections {
    /// Instructions: `.text`, `.plt`, `.init`.
    pub code: u64,
    /// What is only read: `.rodata`, relocations, tables for unwinding.
    pub read: u64,
    /// What may be written, with what begins as zero and takes no room in the file: `.data.rel.ro`, `.data`, `.bss`.
    pub written: u64,
    /// What no program needs to run: names, comments, attributes.
    pub beside: u64,
}

impl Sections {
    /// Those of the binary.
    pub fn of(binary: &Path) -> io::Result<Self> {
        setup::install_program("readelf", "binutils", "says what a binary's bytes are for")?;
        let mut command = Command::new("readelf");
        run(command.env("LC_ALL", "C").args(["--wide", "--section-headers"]).arg(binary))
            .map(|said| read(&said))
    }
}

/// `[ 4] .text PROGBITS 00097180 077180 2c1884 00  AX  0   0 128`: after the number name, type, address, offset, size, the
/// size of an entry, and the flags, where there are any.
fn read(said: &str) -> Sections {
    let mut sections = Sections::default();
    for line in said.lines().filter_map(|line| line.trim_start().strip_prefix('[')) {
        let Some((_, line)) = line.split_once("] ") else { continue };
        let words = line.split_whitespace().collect::<Vec<_>>();
        let [name, _, _, _, size, _, flags, ..] = words[..] else { continue };
        let Ok(size) = u64::from_str_radix(size, 16) else { continue };
        // It is a hole between two pages, and each thread's own are copied from `.tdata`.
        if [".relro_padding", ".tbss"].contains(&name) {
            continue;
        }
        let kind = match flags {
            flags if !flags.contains('A') => &mut sections.beside,
            flags if flags.contains('W') => &mut sections.written,
            flags if flags.contains('X') => &mut sections.code,
            _ => &mut sections.read,
        };
        *kind += size;
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_section_is_of_one_kind() {
        let said = "Section Headers:
  [Nr] Name              Type            Addr     Off    Size   ES Flg Lk Inf Al
  [ 0]                   NULL            00000000 000000 000000 00      0   0  0
  [ 1] .ARM.exidx        ARM_EXIDX       00010154 000154 000b50 00  AL  4   0  4
  [ 2] .rodata           PROGBITS        00010cc0 000cc0 0759a0 00 AMS  0   0 64
  [ 4] .text             PROGBITS        00097180 077180 2c1884 00  AX  0   0 128
  [ 6] .tbss             NOBITS          00368a78 338a74 000070 00 WAT  0   0  8
  [ 7] .data.rel.ro      PROGBITS        00368a78 338a78 0156dc 00  WA  0   0  8
  [ 9] .relro_padding    NOBITS          0037e198 34e198 000e68 00  WA  0   0  1
  [11] .bss              NOBITS          0038e840 34e828 004704 00  WA  0   0 32
  [12] .comment          PROGBITS        00000000 34e828 000055 01  MS  0   0  1
  [14] .shstrtab         STRTAB          00000000 34e8b7 000081 00      0   0  1
Key to Flags:
  W (write), A (alloc), X (execute), M (merge), S (strings), I (info),";
        let expected = Sections {
            code: 0x002c_1884,
            read: 0xb50 + 0x7_59a0,
            written: 0x1_56dc + 0x4704,
            beside: 0x55 + 0x81,
        };
        assert_eq!(read(said), expected);
    }
}
