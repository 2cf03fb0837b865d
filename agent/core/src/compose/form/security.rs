//! Capabilities, devices, security options, kernel settings, ulimits, users, signals, restart policies.

use super::{FormError, parse_path};
use crate::bundle::capability;
use crate::compose::{Device, Restart, Ulimit};

/// What `security_opt` may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityOption {
    /// Whether the process may gain privileges by executing a file.
    NoNewPrivileges(bool),
    /// `seccomp=unconfined`.
    SeccompUnconfined,
}

/// `NET_ADMIN`, `cap_net_admin` or `ALL`; gives upper case without `CAP_`.
///
/// # Errors
/// A name no kernel we know has.
pub fn parse_capability(text: &str) -> Result<String, FormError> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if name == "ALL" || capability::ALL.contains(&name) {
        return Ok(name.to_owned());
    }
    Err(FormError::new(text, "not a capability"))
}

/// `no-new-privileges[:true|:false]` or `seccomp=unconfined`; `:` and `=` are the same.
///
/// # Errors
/// Any other option; profiles come from the board's configuration, not from a document.
pub fn parse_security_option(text: &str) -> Result<SecurityOption, FormError> {
    match text.split_once([':', '=']).unwrap_or((text, "")) {
        ("no-new-privileges", "" | "true") => Ok(SecurityOption::NoNewPrivileges(true)),
        ("no-new-privileges", "false") => Ok(SecurityOption::NoNewPrivileges(false)),
        ("seccomp", "unconfined") => Ok(SecurityOption::SeccompUnconfined),
        _ => Err(FormError::new(text, "want no-new-privileges or seccomp=unconfined")),
    }
}

/// `SOURCE[:TARGET][:PERMISSIONS]`, permissions some of `rwm`.
///
/// # Errors
/// Relative paths, `..`, other permissions.
pub fn parse_device(text: &str) -> Result<Device, FormError> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, permissions) = match parts.as_slice() {
        [source] => (*source, *source, "rwm"),
        [source, second] if second.starts_with('/') => (*source, *second, "rwm"),
        [source, second] => (*source, *source, *second),
        [source, target, permissions] => (*source, *target, *permissions),
        _ => return Err(FormError::new(text, "want SOURCE[:TARGET][:rwm]")),
    };
    device(source, target, permissions)
}

/// The three parts of a device.
pub(in crate::compose) fn device(source: &str, target: &str, permissions: &str) -> Result<Device, FormError> {
    let once = |c: char| permissions.matches(c).count() <= 1;
    if permissions.is_empty() || !permissions.chars().all(|c| "rwm".contains(c) && once(c)) {
        return Err(FormError::new(permissions, "want some of r, w and m as a device's permissions"));
    }
    let target = parse_path(target)?;
    if target == "/" {
        return Err(FormError::new(&target, "not a place for a device"));
    }
    Ok(Device { source: parse_path(source)?, target, permissions: permissions.to_owned() })
}

/// Kernel settings that belong to the container's own IPC namespace.
const IPC_SYSCTLS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// A kernel setting that a namespace keeps for itself: `net.…`, `fs.mqueue.…` and the IPC ones.
///
/// # Errors
/// Any other: it would change the whole board.
pub fn parse_sysctl_name(text: &str) -> Result<String, FormError> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let own = IPC_SYSCTLS.contains(&text) || text.starts_with("net.") || text.starts_with("fs.mqueue.");
    if own && text.bytes().all(legal) && text.split('.').all(|part| !part.is_empty()) {
        return Ok(text.to_owned());
    }
    Err(FormError::new(text, "not a setting of the container's own: it would change the whole board"))
}

/// Resource limits of Linux by their Compose names (setrlimit(2)).
const ULIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// The name of a resource limit.
///
/// # Errors
/// A name Linux does not have.
pub fn parse_ulimit_name(text: &str) -> Result<String, FormError> {
    if ULIMITS.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(FormError::new(text, format!("not a resource limit; want one of {}", ULIMITS.join(" "))))
}

/// Both halves of a limit; the soft one may not pass the hard one.
pub(in crate::compose) fn ulimit(text: &str, soft: i64, hard: i64) -> Result<Ulimit, FormError> {
    let within = hard == -1 || (soft != -1 && soft <= hard);
    if soft < -1 || hard < -1 || !within {
        return Err(FormError::new(text, "want a soft limit up to the hard one; -1 for none"));
    }
    Ok(Ulimit { soft, hard })
}

/// `NAME=SOFT[:HARD]`.
///
/// # Errors
/// An unknown name, or limits out of order.
pub fn parse_ulimit(text: &str) -> Result<(String, Ulimit), FormError> {
    let form = || FormError::new(text, "want NAME=SOFT[:HARD]");
    let (name, limits) = text.split_once('=').ok_or_else(form)?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let number = |part: &str| part.parse::<i64>().map_err(|_| form());
    Ok((parse_ulimit_name(name)?, ulimit(text, number(soft)?, number(hard)?)?))
}

/// `user[:group]`, names or numbers; they are resolved inside the image later.
///
/// # Errors
/// Empty parts, blanks, control characters.
pub fn parse_user(text: &str) -> Result<String, FormError> {
    let legal =
        |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control());
    if text.split(':').count() <= 2 && text.split(':').all(legal) && text.len() <= 128 {
        return Ok(text.to_owned());
    }
    Err(FormError::new(text, "want user[:group], names or numbers"))
}

/// Signals 1 to 31 in the order of arm and x86.
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// `SIGTERM`, `term` or `15`; gives the name with `SIG`.
///
/// # Errors
/// A signal Linux does not have. Real-time signals are `SIGRTMIN+n` with n up to 30.
pub fn parse_signal(text: &str) -> Result<String, FormError> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if SIGNALS.contains(&name) {
        return Ok(format!("SIG{name}"));
    }
    if let Some(offset) = name.strip_prefix("RTMIN") {
        let above = offset.strip_prefix('+').and_then(|n| n.parse::<u8>().ok()).filter(|n| *n <= 30);
        if offset.is_empty() || above.is_some() {
            return Ok(format!("SIG{name}"));
        }
    }
    let numbered = name.parse::<usize>().ok().and_then(|number| SIGNALS.get(number.checked_sub(1)?));
    numbered.map(|name| format!("SIG{name}")).ok_or_else(|| FormError::new(text, "not a signal"))
}

/// `no`, `always`, `unless-stopped` or `on-failure[:MAX]`.
///
/// # Errors
/// Anything else.
pub fn parse_restart(text: &str) -> Result<Restart, FormError> {
    let refuse = || FormError::new(text, "want no, always, unless-stopped or on-failure[:MAX]");
    match text.split_once(':') {
        None => match text {
            "no" => Ok(Restart::No),
            "always" => Ok(Restart::Always),
            "unless-stopped" => Ok(Restart::UnlessStopped),
            "on-failure" => Ok(Restart::OnFailure { max: None }),
            _ => Err(refuse()),
        },
        Some(("on-failure", max)) => {
            let max = max.parse().ok().filter(|max: &u32| *max > 0).ok_or_else(refuse)?;
            Ok(Restart::OnFailure { max: Some(max) })
        }
        Some(_) => Err(refuse()),
    }
}
