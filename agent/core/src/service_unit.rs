//! A workload's unit with systemd: its name, and what of it differs from other workloads'.
//!
//! All workloads are instances of one template that comes with the agent; a drop-in beside it says the rest. Both are
//! functions of what was deployed, so the same deployment always gives the same units (systemd.service(5),
//! systemd.resource-control(5)).

use std::fmt::Write as _;

use crate::bundle::PIDS_DEFAULT;
use crate::compose::{Restart, Service};

/// The template's name before the instance's.
pub const TEMPLATE: &str = "coracle-workload@";
/// Bytes and processes beside the container's own limit: the shim, and the runtime at start and exec. The container's
/// limit is the runtime's to hold; that of the unit around it must not be met before.
const SHIM_MEMORY_BYTES: u64 = 16 << 20;
const SHIM_TASKS: i64 = 32;
/// Seconds beyond the grace period: the kill, the runtime's delete and the unmount.
const STOP_MARGIN_S: u64 = 120;

/// What a drop-in is made of.
#[derive(Debug, Clone, Copy)]
pub struct DropIn<'a> {
    /// The workload, for people: `project.service`.
    pub workload: &'a str,
    /// Its settings.
    pub service: &'a Service,
    /// The places of what it depends on.
    pub after: &'a [String],
    /// The command of its shim, where it is not the template's.
    pub command: Option<&'a [&'a str]>,
}

/// The template that clears away what a killed shim has left, before the instance's name.
const CLEAR: &str = "coracle-clear@";
/// The unit that examines the board.
pub const DOCTOR: &str = "coracle-doctor.service";

/// The unit that clears away what is left in the folder at this absolute path (systemd.unit(5), "string escaping").
#[must_use]
pub fn clear_name(folder: &str) -> String {
    let mut name = CLEAR.to_owned();
    for (at, byte) in folder.trim_matches('/').bytes().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if at == 0 => name.push_str("\\x2e"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b':' => name.push(char::from(byte)),
            other => {
                let _ = write!(name, "\\x{other:02x}");
            }
        }
    }
    name.push_str(".service");
    name
}

/// The unit of the workload whose files are in a folder of this name. Every character of a workload's name may stand in
/// a unit's as it is; what may not is escaped as systemd does (systemd.unit(5), "string escaping").
#[must_use]
pub fn unit_name(place: &str) -> String {
    let mut name = TEMPLATE.to_owned();
    for byte in place.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b':' => {
                name.push(char::from(byte));
            }
            other => {
                let _ = write!(name, "\\x{other:02x}");
            }
        }
    }
    name.push_str(".service");
    name
}

/// The drop-in's text.
#[must_use]
pub fn drop_in(input: &DropIn<'_>) -> String {
    let DropIn { workload, service, after, command } = input;
    let mut text =
        String::from("# Made from the deployment by coracle, and made anew with the next one.\n[Unit]\n");
    let mut say = |name: &str, value: &str| {
        let _ = writeln!(text, "{name}={value}");
    };
    say("Description", &format!("Workload {workload}"));
    for place in *after {
        // Only the order: what one of them does later is no reason to stop or start the others.
        say("After", &unit_name(place));
    }
    say("\n[Service]\nRestart", restart(service.restart));
    say("TimeoutStopSec", &(service.stop_grace_ms.div_ceil(1000) + STOP_MARGIN_S).to_string());
    let limits = &service.resources;
    if let Some(bytes) = limits.memory_bytes {
        say("MemoryMax", &bytes.saturating_add(SHIM_MEMORY_BYTES).to_string());
    }
    if let Some(bytes) = limits.memory_reservation_bytes {
        say("MemoryLow", &bytes.to_string());
    }
    if let Some(milli) = limits.cpu_milli {
        say("CPUQuota", &format!("{}.{}%", milli / 10, milli % 10));
    }
    let tasks = limits.pids.unwrap_or(PIDS_DEFAULT);
    if tasks > 0 {
        say("TasksMax", &tasks.saturating_add(SHIM_TASKS).to_string());
    } else {
        say("TasksMax", "infinity");
    }
    if let Some(words) = command {
        say("ExecStart", "");
        say("ExecStart", &words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "));
    }
    text
}

fn restart(policy: Restart) -> &'static str {
    match policy {
        Restart::No => "no",
        Restart::Always | Restart::UnlessStopped => "always",
        Restart::OnFailure { .. } => "on-failure",
    }
}

/// One word of a command line, with nothing in it that systemd would expand.
fn quoted(word: &str) -> String {
    let mut text = String::from("\"");
    for c in word.chars() {
        match c {
            '%' | '$' => text.extend([c, c]),
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::{NetworkMode, Resources};

    /// The lines of a drop-in besides those that all have, with the settings that `change` makes.
    #[track_caller]
    fn check(change: impl FnOnce(&mut Service), lines: &[&str]) {
        let mut service = Service::new("x", NetworkMode::None);
        change(&mut service);
        let text = drop_in(&DropIn { workload: "a.b", service: &service, after: &[], command: None });
        let usual = drop_in(&DropIn {
            workload: "a.b",
            service: &Service::new("x", NetworkMode::None),
            after: &[],
            command: None,
        });
        let other: Vec<&str> =
            text.lines().filter(|line| !usual.lines().any(|known| known == *line)).collect();
        assert_eq!(other, lines);
    }

    #[test]
    fn a_plain_workload_has_a_plain_drop_in() {
        let service = Service::new("x", NetworkMode::None);
        let text = drop_in(&DropIn { workload: "a.b", service: &service, after: &[], command: None });
        let expected =
            "[Unit]\nDescription=Workload a.b\n\n[Service]\nRestart=no\nTimeoutStopSec=130\nTasksMax=2080\n";
        assert_eq!(text.split_once('\n').map(|(_, rest)| rest), Some(expected));
    }

    #[test]
    fn settings_become_those_of_systemd() {
        check(|service| service.restart = Restart::Always, &["Restart=always"]);
        check(|service| service.restart = Restart::UnlessStopped, &["Restart=always"]);
        check(|service| service.restart = Restart::OnFailure { max: Some(3) }, &["Restart=on-failure"]);
        check(|service| service.stop_grace_ms = 1500, &["TimeoutStopSec=122"]);
        let limits = |limits: Resources| move |service: &mut Service| service.resources = limits;
        let memory = Resources { memory_bytes: Some(64 << 20), ..Resources::default() };
        check(limits(memory), &["MemoryMax=83886080"]);
        let low = Resources { memory_reservation_bytes: Some(1 << 20), ..Resources::default() };
        check(limits(low), &["MemoryLow=1048576"]);
        check(limits(Resources { cpu_milli: Some(1505), ..Resources::default() }), &["CPUQuota=150.5%"]);
        check(limits(Resources { pids: Some(10), ..Resources::default() }), &["TasksMax=42"]);
        check(limits(Resources { pids: Some(-1), ..Resources::default() }), &["TasksMax=infinity"]);
    }

    #[test]
    fn a_workload_starts_after_what_it_depends_on_and_by_the_shim_it_was_given() {
        let service = Service::new("x", NetworkMode::None);
        let (after, command) = (["a.db".to_owned()], ["/opt/50%/coracle", "shim", "/run/a b/$x"]);
        let text =
            drop_in(&DropIn { workload: "a.b", service: &service, after: &after, command: Some(&command) });
        assert!(text.contains("\nAfter=coracle-workload@a.db.service\n\n[Service]\n"), "{text}");
        let line = "\nExecStart=\nExecStart=\"/opt/50%%/coracle\" \"shim\" \"/run/a b/$$x\"\n";
        assert!(text.ends_with(line), "{text}");
    }

    #[test]
    fn what_clears_a_folder_away_has_its_path_in_its_name() {
        // As `systemd-escape --path` writes them.
        for (folder, instance) in [
            ("/run/coracle/workloads/site.web-1", "run-coracle-workloads-site.web\\x2d1"),
            ("/.odd/a~b/", "\\x2eodd-a\\x7eb"),
        ] {
            assert_eq!(clear_name(folder), format!("coracle-clear@{instance}.service"));
        }
    }

    #[test]
    fn the_name_of_a_unit_is_the_workloads_own() {
        assert_eq!(unit_name("site.web-1"), "coracle-workload@site.web-1.service");
        assert_eq!(unit_name("a~b"), "coracle-workload@a\\x7eb.service");
    }
}
