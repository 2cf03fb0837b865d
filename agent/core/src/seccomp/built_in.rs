//! The profile for boards without a file of their own, as tables of system call names.

use super::{Argument, Condition, Profile, Rule};

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
/// Flags of clone(2) that make namespaces: mount, cgroup, UTS, IPC, user, PID, network.
const NAMESPACE_FLAGS: [u64; 7] =
    [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];
/// The families of sockets that any program may make, beside all below [`FAMILIES_BELOW`], as docker has them. Missing are
/// those that no network namespace holds (virtual machines'), the kernel's cryptography (AF_ALG), which was a way to
/// root more than once, and what no kernel has any more.
const FAMILIES: [u64; 25] =
    [13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 39, 41, 42, 43, 44, 45];
const FAMILIES_BELOW: u64 = 12;
/// Personalities that change how a program looks, not what it may: Linux, Linux32, both with the old `uname`, and
/// the question which is set.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xFFFF_FFFF];

/// What any program may call.
const ALLOWED: &str = "
    _llseek _newselect accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32
    clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
    clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1
    epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit
    exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2
    fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat
    fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait
    futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid
    getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid
    getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname
    getsockopt gettid gettimeofday getuid getuid32 getxattr inotify_add_watch inotify_init inotify_init1
    inotify_rm_watch io_cancel io_destroy io_getevents io_setup io_submit ioctl ioprio_get ioprio_set ipc kill
    landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listen
    listxattr llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create
    memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify
    mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl
    msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat open openat openat2
    pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl
    pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read
    readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr
    rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
    rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
    sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp
    select semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto
    set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups
    setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid
    setreuid32 setrlimit setsid setsockopt setuid setuid32 setxattr shmat shmctl shmdt shmget shutdown sigaltstack
    signal signalfd signalfd4 sigpending sigprocmask sigreturn sigsuspend sigaction socketcall socketpair splice stat
    stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create
    timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create
    timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit
    umask uname unlink unlinkat utime utimensat utimensat_time64 utimes vfork wait4 waitid waitpid write writev";

/// What one architecture has beside.
const BY_ARCHITECTURE: [(&[&str], &str); 4] = [
    (
        &["arm", "arm64"],
        "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2",
    ),
    (&["amd64", "x32"], "arch_prctl"),
    (&["amd64", "x32", "x86"], "modify_ldt"),
    (&["riscv64"], "riscv_flush_icache riscv_hwprobe"),
];

/// What a capability opens; without it the call is answered with EPERM, as the kernel itself would.
const BY_CAPABILITY: [(&str, &str); 14] = [
    ("CAP_BPF", "bpf"),
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    ("CAP_PERFMON", "perf_event_open"),
    (
        "CAP_SYS_ADMIN",
        "bpf fanotify_init fsconfig fsmount fsopen fspick listmount lookup_dcookie mount mount_setattr move_mount
        open_tree perf_event_open pivot_root quotactl quotactl_fd setdomainname sethostname setns statmount umount
        umount2 unshare",
    ),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module finit_module init_module"),
    ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("CAP_SYS_PACCT", "acct"),
    ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
    ("CAP_SYS_RAWIO", "ioperm iopl"),
    ("CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYSLOG", "syslog"),
];

/// What nobody gets: keys and swap are not kept apart by namespaces, the rest is the board's or long dead. io_uring
/// does what filters cannot see.
const DENIED: &str = "
    add_key io_uring_enter io_uring_register io_uring_setup kexec_file_load kexec_load keyctl migrate_pages move_pages
    nfsservctl request_key swapoff swapon sysfs _sysctl uselib userfaultfd ustat vm86 vm86old vmsplice";

/// From this kernel on a filter holds for traced programs too (Linux 4.8), so tracing cannot slip past it.
const TRACING: &str = "process_vm_readv process_vm_writev ptrace";

pub(super) fn profile() -> Profile {
    let mut rules = vec![allow(ALLOWED), deny(DENIED)];
    rules.extend(BY_ARCHITECTURE.map(|(arches, names)| Rule {
        includes: Some(Condition { arches: Some(owned(arches)), ..Condition::default() }),
        ..allow(names)
    }));
    for (capability, names) in BY_CAPABILITY {
        rules.push(Rule { includes: Some(needs(capability)), ..allow(names) });
    }
    for (name, capabilities) in guarded() {
        let excludes = Condition { caps: Some(owned(&capabilities)), ..Condition::default() };
        rules.push(Rule { excludes: Some(excludes), ..deny(name) });
    }
    let since = |version: &str| Condition { min_kernel: Some(version.to_owned()), ..Condition::default() };
    rules.push(Rule { includes: Some(since("4.8")), ..allow(TRACING) });
    let socket = |value, op| Rule { args: Some(vec![argument(0, value, 0, op)]), ..allow("socket") };
    rules.push(socket(FAMILIES_BELOW, "SCMP_CMP_LT"));
    rules.extend(FAMILIES.map(|family| socket(family, "SCMP_CMP_EQ")));
    for personality in PERSONALITIES {
        rules.push(Rule {
            args: Some(vec![argument(0, personality, 0, "SCMP_CMP_EQ")]),
            ..allow("personality")
        });
    }
    rules.extend(clones());
    Profile {
        default_action: "SCMP_ACT_ERRNO".to_owned(),
        default_errno_ret: Some(ENOSYS),
        architectures: None,
        arch_map: None,
        flags: None,
        syscalls: rules,
    }
}

/// Threads and processes for all; new namespaces only with CAP_SYS_ADMIN. The flags of clone3 lie in memory, where
/// no filter looks, so it is answered with ENOSYS and programs take clone.
fn clones() -> Vec<Rule> {
    let admin = || Some(needs("CAP_SYS_ADMIN"));
    let flags = |mask: u64, value: u64| Some(vec![argument(0, mask, value, "SCMP_CMP_MASKED_EQ")]);
    let all = NAMESPACE_FLAGS.iter().fold(0, |all, flag| all | flag);
    let mut rules = vec![
        Rule { includes: admin(), ..allow("clone clone3") },
        Rule { excludes: admin(), args: flags(all, 0), ..allow("clone") },
        Rule { excludes: admin(), errno_ret: Some(ENOSYS), ..deny("clone3") },
    ];
    // Asking for a namespace is refused as the kernel would refuse it, not as if clone did not exist.
    let refused = |flag| Rule { excludes: admin(), args: flags(flag, flag), ..deny("clone") };
    rules.extend(NAMESPACE_FLAGS.map(refused));
    rules
}

/// Each call that a capability opens, with all capabilities that do.
fn guarded() -> std::collections::BTreeMap<&'static str, Vec<&'static str>> {
    let mut guarded = std::collections::BTreeMap::<_, Vec<_>>::new();
    for (capability, names) in BY_CAPABILITY {
        for name in names.split_whitespace() {
            guarded.entry(name).or_default().push(capability);
        }
    }
    guarded
}

fn allow(names: &str) -> Rule {
    Rule {
        names: Some(names.split_whitespace().map(str::to_owned).collect()),
        action: "SCMP_ACT_ALLOW".to_owned(),
        ..Rule::default()
    }
}

fn deny(names: &str) -> Rule {
    Rule { action: "SCMP_ACT_ERRNO".to_owned(), errno_ret: Some(EPERM), ..allow(names) }
}

fn needs(capability: &str) -> Condition {
    Condition { caps: Some(vec![capability.to_owned()]), ..Condition::default() }
}

fn argument(index: u32, value: u64, value_two: u64, op: &str) -> Argument {
    Argument { index, value, value_two, op: op.to_owned() }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}
