//! Capabilities by name (capabilities(7)), and which of them a process gets.

/// All that Linux has, in the kernel's order, without `CAP_`.
pub const ALL: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What docker gives a container.
pub const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// A set of capabilities, one bit each in the kernel's order, as `/proc/self/status` prints it in hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CapabilitySet(pub u64);

impl CapabilitySet {
    /// Every capability we know a name for.
    #[must_use]
    pub fn all() -> Self {
        Self::of(&ALL)
    }

    /// The named ones; unknown names are left out.
    #[must_use]
    pub fn of<S: AsRef<str>>(names: &[S]) -> Self {
        let bit = |name: &S| ALL.iter().position(|known| *known == name.as_ref()).map_or(0, |at| 1_u64 << at);
        Self(names.iter().fold(0, |set, name| set | bit(name)))
    }

    /// Whether it holds the named one (without `CAP_`).
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        self.0 & Self::of(&[name]).0 != 0
    }

    /// Their names with `CAP_`, in the kernel's order.
    #[must_use]
    pub fn names(self) -> Vec<String> {
        ALL.iter().filter(|name| self.has(name)).map(|name| format!("CAP_{name}")).collect()
    }

    /// What both hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The default set, or all where privileged; then `add`, then `drop`, `ALL` in either first as docker does:
    /// `drop: [ALL]` with `add: [CHOWN]` leaves CHOWN. Never more than `bound`, which is what the agent has.
    #[must_use]
    pub fn granted(privileged: bool, add: &[String], drop: &[String], bound: Self) -> Self {
        if privileged {
            return Self::all().and(bound);
        }
        let every = |names: &[String]| names.iter().any(|name| name == "ALL");
        let start = if every(add) {
            Self::all()
        } else if every(drop) {
            Self::default()
        } else {
            Self::of(&DEFAULT)
        };
        let dropped = if every(add) || !every(drop) { Self::of(drop) } else { Self::default() };
        let added = if every(add) { Self::default() } else { Self::of(add) };
        Self((start.0 & !dropped.0) | added.0).and(bound)
    }
}
