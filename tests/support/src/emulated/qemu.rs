//! The machine of each architecture, as qemu is told to be it.

use std::path::Path;
use std::process::Command;

use crate::images::Arch;

/// How a machine of an architecture is asked for.
struct Shape {
    program: &'static str,
    /// Machine and processor.
    machine: &'static [&'static str],
    /// The kernel's name of its serial line.
    console: &'static str,
}

fn shape(arch: Arch) -> Shape {
    match arch {
        Arch::Amd64 => {
            let machine = &["-M", "q35", "-cpu", "max"];
            Shape { program: "qemu-system-x86_64", machine, console: "ttyS0" }
        }
        Arch::Arm64 => {
            let machine = &["-M", "virt", "-cpu", "cortex-a57"];
            Shape { program: "qemu-system-aarch64", machine, console: "ttyAMA0" }
        }
        // Its kernel addresses 4 GiB, so everything has to be below.
        Arch::ArmV7 => {
            let machine = &["-M", "virt,highmem=off", "-cpu", "cortex-a15"];
            Shape { program: "qemu-system-arm", machine, console: "ttyAMA0" }
        }
    }
}

/// The kernel's name of the serial line of a machine of `arch`.
pub fn console(arch: Arch) -> &'static str {
    shape(arch).console
}

/// What all machines of `arch` have in common: processor, memory, kernel, ramdisk and the kernel's own words.
pub fn qemu(arch: Arch, mib: u32, kernel: &Path, ramdisk: &Path, words: &str) -> Command {
    let Shape { program, machine, console } = shape(arch);
    let mut command = Command::new(program);
    command.args(machine).args(["-accel", "tcg,thread=multi", "-no-reboot", "-m", &mib.to_string()]);
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(ramdisk);
    command.args(["-append", &format!("console={console} panic=-1 {words}")]);
    command
}
