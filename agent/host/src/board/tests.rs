use coracle_core::board::detect;
use coracle_core::oci::Platform;

use super::*;

#[test]
fn this_machine_runs_what_this_test_is_built_for() {
    let facts = gather();
    let board = detect(&facts, &[]);
    let own = Platform::parse(std::env::consts::ARCH).unwrap();
    assert!(board.platforms.iter().any(|p| p.architecture == own.architecture), "{facts:?} {board:?}");
    assert!(board.evidence.len() >= 2, "{board:?}");
}

#[test]
fn the_features_of_cpuid_are_those_that_the_kernel_shows() {
    let facts = gather_from(&Sources::default());
    let text = fs::read_to_string("/proc/cpuinfo").unwrap();
    let Some(line) = text.lines().find(|line| line.starts_with("flags")) else { return };
    let shown: Vec<&str> = line.split_whitespace().collect();
    for feature in &facts.cpuid {
        // The kernel hides what it was told to ignore; so does XCR0, which gates the same levels.
        let gated = feature.starts_with("avx") || feature == "fma" || feature == "f16c";
        assert!(
            gated || shown.contains(&feature.as_str()),
            "{feature} of {:?} not in {shown:?}",
            facts.cpuid
        );
    }
    for feature in ["pni", "ssse3", "sse4_2", "avx2", "bmi2", "abm", "movbe", "lahf_lm", "avx512vl"] {
        let ours = facts.cpuid.iter().any(|own| own == feature);
        assert!(ours || !shown.contains(&feature), "{feature} is shown by the kernel only");
    }
}

#[test]
fn other_roots_are_read_and_missing_files_are_absent_facts() {
    let empty = Sources { proc: "/nonexistent".into(), sys: "/nonexistent".into() };
    let facts = gather_from(&empty);
    assert_eq!((facts.cpuinfo.as_str(), facts.aarch32_cores, facts.ia32), ("", None, None));

    let root = std::env::temp_dir().join(format!("coracle-board-{}", std::process::id()));
    let (proc, sys) = (root.join("proc"), root.join("sys"));
    fs::create_dir_all(proc.join("sys/fs/binfmt_misc")).unwrap();
    fs::create_dir_all(sys.join("devices/system/cpu")).unwrap();
    fs::write(proc.join("cpuinfo"), "x".repeat(100_000)).unwrap();
    fs::write(proc.join("sys/fs/binfmt_misc/qemu-arm"), "enabled").unwrap();
    fs::write(proc.join("sys/fs/binfmt_misc/status"), "enabled").unwrap();
    fs::write(sys.join("devices/system/cpu/aarch32_el0"), "0-3\n").unwrap();
    let facts = gather_from(&Sources { proc, sys });
    fs::remove_dir_all(&root).unwrap();
    assert_eq!(facts.cpuinfo.len(), 4096);
    assert_eq!(facts.emulators, ["qemu-arm"]);
    assert_eq!(facts.aarch32_cores.as_deref(), Some("0-3\n"));
}
