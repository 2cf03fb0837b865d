//! A machine with Debian's arm64 kernel whose first and only deed is to run our program.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coracle_test_support::emulated::{archive, kernel, qemu};
use coracle_test_support::images::{Arch, busybox::busybox};
use coracle_test_support::process::Running;
use coracle_test_support::scratch::TempDir;

use super::write_program;
use crate::setup;

/// From power to the end; a few seconds on a machine with nothing else to do.
const DEADLINE: Duration = Duration::from_secs(180);
const MEMORY_MIB: u32 = 256;
const INIT: &str = "#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/coracle platform
/bin/busybox date -s 2040-01-01
/coracle why > /why 2>&1; echo in 2040: $?
/bin/busybox poweroff -f
";

/// What `coracle platform` of this 32-bit binary says there, and with what `coracle why` ends where the clock says 2040.
pub fn platform_on_arm64(exe: &Path) -> io::Result<String> {
    setup::install_program("qemu-system-aarch64", "qemu-system-arm", "a machine with a 64-bit kernel")?;
    let dir = TempDir::new("arm64");
    let ramdisk = ramdisk(exe, &dir)?;
    let mut command =
        qemu(Arch::Arm64, MEMORY_MIB, &kernel(Arch::Arm64)?.image, &ramdisk, "quiet loglevel=0");
    command.args(["-nographic", "-nic", "none"]);
    let mut running = Running::start("qemu-system-aarch64", &mut command, &dir.join("console"))?;
    if running.wait(DEADLINE)?.is_none() {
        return Err(io::Error::other(format!("no end within {DEADLINE:?}: {}", running.output())));
    }
    Ok(running.output())
}

fn ramdisk(exe: &Path, dir: &TempDir) -> io::Result<PathBuf> {
    let root = TempDir::new("ramdisk");
    for folder in ["bin", "proc"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::copy(busybox(Arch::Arm64)?, root.join("bin/busybox"))?;
    fs::copy(exe, root.join("coracle"))?;
    write_program(&root.join("init"), INIT)?;
    let ramdisk = dir.join("ramdisk");
    archive(&root, &ramdisk)?;
    Ok(ramdisk)
}
