use std::collections::BTreeSet;

use super::*;
use crate::bundle::capability;

const PROFILE: &str = r#"{
    "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "defaultErrno": "ENOSYS",
    "archMap": [{ "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"] },
                { "architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"] }],
    "syscalls": [
        { "names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": [], "includes": {}, "excludes": {} },
        { "name": "close", "action": "SCMP_ACT_ALLOW", "args": null },
        { "names": ["admin"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_SYS_ADMIN", "CAP_KILL"] } },
        { "names": ["nobody"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "excludes": { "caps": ["CAP_SYS_ADMIN"] } },
        { "names": ["arms"], "action": "SCMP_ACT_ALLOW", "includes": { "arches": ["arm", "arm64"] } },
        { "names": ["notarms"], "action": "SCMP_ACT_ALLOW", "excludes": { "arches": ["arm", "arm64"] } },
        { "names": ["x86"], "action": "SCMP_ACT_ALLOW", "includes": { "arches": ["x86"] } },
        { "names": ["recent"], "action": "SCMP_ACT_ALLOW", "includes": { "minKernel": "5.10" } },
        { "names": ["ancient"], "action": "SCMP_ACT_ALLOW", "excludes": { "minKernel": "5.10" } },
        { "names": [], "action": "SCMP_ACT_ALLOW" },
        { "names": ["personality"], "action": "SCMP_ACT_ALLOW",
          "args": [{ "index": 0, "value": 4294967295, "valueTwo": 0, "op": "SCMP_CMP_EQ" }] }
    ] }"#;

fn target<'a>(architecture: &'a str, capabilities: &[&str], kernel: (u32, u32)) -> Target<'a> {
    Target { architecture, capabilities: CapabilitySet::of(capabilities), kernel }
}

/// The names of a resolved filter's rules with this action and no condition on arguments.
fn names<'a>(filter: &'a Value, action: &str) -> BTreeSet<&'a str> {
    let rules = filter["syscalls"].as_array().unwrap();
    let plain = rules.iter().filter(|rule| rule["action"] == action && rule.get("args").is_none());
    plain.flat_map(|rule| rule["names"].as_array().unwrap()).map(|name| name.as_str().unwrap()).collect()
}

#[track_caller]
fn allows(target: Target<'_>, want: &[&str]) {
    let filter = Profile::parse(PROFILE.as_bytes()).unwrap().resolve(&target).unwrap();
    assert_eq!(names(&filter, "SCMP_ACT_ALLOW"), want.iter().copied().collect(), "{target:?}");
}

#[test]
fn rules_are_selected_by_capability_architecture_and_kernel() {
    allows(target("amd64", &[], (5, 10)), &["read", "write", "close", "notarms", "recent"]);
    allows(target("amd64", &[], (4, 19)), &["read", "write", "close", "notarms", "ancient"]);
    allows(target("amd64", &["SYS_ADMIN"], (6, 0)), &["read", "write", "close", "notarms", "recent"]);
    let both = target("arm64", &["SYS_ADMIN", "KILL"], (6, 0));
    allows(both, &["read", "write", "close", "admin", "arms", "recent"]);
    allows(target("386", &[], (6, 0)), &["read", "write", "close", "notarms", "x86", "recent"]);
    let filter = |caps: &[&str]| {
        Profile::parse(PROFILE.as_bytes()).unwrap().resolve(&target("amd64", caps, (6, 0))).unwrap()
    };
    assert!(names(&filter(&[]), "SCMP_ACT_ERRNO").contains("nobody"));
    assert!(!names(&filter(&["SYS_ADMIN"]), "SCMP_ACT_ERRNO").contains("nobody"));
}

#[test]
fn a_filter_has_the_runtimes_form_and_nothing_else() {
    let filter = Profile::parse(PROFILE.as_bytes()).unwrap().resolve(&target("arm64", &[], (6, 0))).unwrap();
    assert_eq!(filter["defaultAction"], "SCMP_ACT_ERRNO");
    assert_eq!(filter["defaultErrnoRet"], 38);
    assert_eq!(filter["architectures"], json!(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]));
    assert_eq!(filter["syscalls"][0], json!({ "names": ["read", "write"], "action": "SCMP_ACT_ALLOW" }));
    let personality = json!({ "names": ["personality"], "action": "SCMP_ACT_ALLOW",
        "args": [{ "index": 0, "value": 4_294_967_295_u64, "valueTwo": 0, "op": "SCMP_CMP_EQ" }] });
    assert!(filter["syscalls"].as_array().unwrap().contains(&personality));
    assert!(!filter.to_string().contains("includes"));
}

#[test]
fn a_kernel_of_64_bits_filters_32_bit_programs_too() {
    let architectures = |architecture| {
        let filter = Profile::built_in().resolve(&target(architecture, &[], (6, 1))).unwrap();
        filter["architectures"].to_string()
    };
    assert_eq!(architectures("amd64"), r#"["SCMP_ARCH_X86_64","SCMP_ARCH_X86","SCMP_ARCH_X32"]"#);
    assert_eq!(architectures("arm64"), r#"["SCMP_ARCH_AARCH64","SCMP_ARCH_ARM"]"#);
    assert_eq!(architectures("arm"), r#"["SCMP_ARCH_ARM"]"#);
    let plain = br#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_PPC"],"syscalls":[]}"#;
    let filter = Profile::parse(plain).unwrap().resolve(&target("ppc", &[], (6, 1))).unwrap();
    assert_eq!(filter["architectures"], json!(["SCMP_ARCH_PPC"]));
    let unknown = Profile::built_in().resolve(&target("vax", &[], (6, 1)));
    assert_eq!(unknown, Err(SeccompError::Architecture("vax".to_owned())));
}

#[test]
fn a_broken_profile_is_refused() {
    for bad in
        ["", "{}", "[]", r#"{"defaultAction":1,"syscalls":[]}"#, r#"{"defaultAction":"x","syscalls":[{}]}"#]
    {
        assert!(matches!(Profile::parse(bad.as_bytes()), Err(SeccompError::Form(_))), "{bad}");
    }
    assert_eq!(Profile::parse(&vec![b' '; PROFILE_BYTES_MAX + 1]), Err(SeccompError::TooLong));
    let odd =
        br#"{"defaultAction":"x","syscalls":[{"names":["a"],"action":"x","includes":{"minKernel":"5"}}]}"#;
    let resolved = Profile::parse(odd).unwrap().resolve(&target("amd64", &[], (6, 1)));
    assert_eq!(resolved, Err(SeccompError::Kernel("5".to_owned())));
}

#[test]
fn capabilities_open_calls_of_the_built_in_profile() {
    let filter = |caps: &[&str]| Profile::built_in().resolve(&target("amd64", caps, (6, 1))).unwrap();
    let (plain, admin) = (filter(&capability::DEFAULT), filter(&["SYS_ADMIN"]));
    for name in ["mount", "unshare", "setns", "bpf", "perf_event_open", "clone3"] {
        assert!(!names(&plain, "SCMP_ACT_ALLOW").contains(name), "{name}");
        assert!(names(&plain, "SCMP_ACT_ERRNO").contains(name), "{name}");
        assert!(names(&admin, "SCMP_ACT_ALLOW").contains(name), "{name}");
        assert!(!names(&admin, "SCMP_ACT_ERRNO").contains(name), "{name}");
    }
    let perfmon = filter(&["PERFMON"]);
    assert!(names(&perfmon, "SCMP_ACT_ALLOW").contains("perf_event_open"));
    assert!(!names(&perfmon, "SCMP_ACT_ERRNO").contains("perf_event_open"));
    assert!(names(&plain, "SCMP_ACT_ALLOW").contains("chroot"), "docker's default set has SYS_CHROOT");
    let old = Profile::built_in().resolve(&target("amd64", &[], (4, 4))).unwrap();
    assert!(!names(&old, "SCMP_ACT_ALLOW").contains("ptrace"));
    assert!(names(&plain, "SCMP_ACT_ALLOW").contains("ptrace"));
}

/// What moby's published profile (github.com/moby/profiles, seccomp/default.json) opens by a capability, and what it never
/// opens.
const MOBY: [(&str, &str); 13] = [
    ("DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "SYS_ADMIN",
        "bpf clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount open_tree \
         perf_event_open quotactl quotactl_fd setdomainname sethostname setns umount umount2 unshare",
    ),
    ("SYS_BOOT", "reboot"),
    ("SYS_CHROOT", "chroot"),
    ("SYS_MODULE", "delete_module init_module finit_module"),
    ("SYS_PACCT", "acct"),
    ("SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
    ("SYS_RAWIO", "iopl ioperm"),
    ("SYS_TIME", "settimeofday clock_settime clock_settime64"),
    ("SYS_TTY_CONFIG", "vhangup"),
    ("SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("SYSLOG", "syslog"),
    (
        "",
        "add_key keyctl request_key kexec_load kexec_file_load swapon swapoff userfaultfd io_uring_setup io_uring_enter \
         io_uring_register nfsservctl uselib ustat sysfs vm86 vm86old move_pages migrate_pages",
    ),
];

#[test]
fn what_docker_opens_by_a_capability_is_opened_by_it_and_by_nothing_less() {
    let filter = |caps: &[&str]| Profile::built_in().resolve(&target("amd64", caps, (6, 1))).unwrap();
    let (none, all) = (filter(&[]), filter(&capability::ALL));
    for (capability, calls) in MOBY {
        let with = filter(&[capability]);
        for call in calls.split_whitespace() {
            assert!(!names(&none, "SCMP_ACT_ALLOW").contains(call), "{call} without a capability");
            let opened = !capability.is_empty();
            assert_eq!(names(&with, "SCMP_ACT_ALLOW").contains(call), opened, "{call} with {capability}");
            assert_eq!(names(&all, "SCMP_ACT_ALLOW").contains(call), opened, "{call} with all");
        }
    }
}

#[test]
fn sockets_are_of_the_families_that_docker_lets_through() {
    let filter = Profile::built_in().resolve(&target("arm64", &capability::DEFAULT, (6, 1))).unwrap();
    let rules = filter["syscalls"].as_array().unwrap();
    let allows = |family: u64| {
        rules.iter().filter(|rule| rule["names"] == json!(["socket"])).any(|rule| {
            let value = rule["args"][0]["value"].as_u64().unwrap();
            match rule["args"][0]["op"].as_str().unwrap() {
                "SCMP_CMP_LT" => family < value,
                "SCMP_CMP_EQ" => family == value,
                other => panic!("{other}"),
            }
        })
    };
    // DECnet, LLC's and others' gaps, IrDA, WANPIPE, ISDN, CAIF, AF_ALG, virtual machines.
    let refused = [12, 19, 20, 23, 25, 34, 37, 38, 40];
    for family in 0..=45 {
        assert_eq!(allows(family), !refused.contains(&family), "{family}");
    }
    assert!(!allows(46), "what comes is refused until it is known");
}
