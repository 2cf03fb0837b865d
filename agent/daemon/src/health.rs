//! The health check of a workload on trial: one run of its test inside the container (compose-spec, "healthcheck";
//! the image's own where the service has none).
//!
//! Only a trial asks: what was healthy once is watched by its restart policy alone.

use std::process::Stdio;
use std::time::Duration;

use coracle_core::compose::Healthcheck;
use coracle_core::fault::{Code, Fault};
use coracle_host::process;
use coracle_host::runtime::{Execution, Runtime};
use coracle_host::supervise::{Supervisor, Unit};

use crate::exit::chain;

/// What one look may take, whatever the image says: meanwhile a newer document waits.
const LOOK_MAX: Duration = Duration::from_secs(300);

/// What one look at a workload found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Look {
    /// There is no test, or it passed.
    Healthy,
    /// It did not pass; it may at the next look.
    NotYet(Fault),
}

/// Runs the test of a workload that runs. Blocks for as long as the test may take.
pub(crate) fn look(supervisor: &Supervisor, unit: &Unit) -> Look {
    let check = unit.workload.service.healthcheck.as_ref().or(unit.exec.healthcheck.as_ref());
    let Some((check, args)) = check.and_then(|check| Some((check, words(&check.test)?))) else {
        return Look::Healthy;
    };
    match run(supervisor, unit, check, args) {
        Ok(()) => Look::Healthy,
        Err(why) => {
            let message = format!("the health check of {} {why}", unit.id);
            let id = &unit.id;
            Look::NotYet(Fault::new(Code::Unhealthy, &message).of(&id.project, &id.service))
        }
    }
}

/// The command of a test; `None` where there is nothing to run.
fn words(test: &[String]) -> Option<Vec<String>> {
    let (kind, rest) = test.split_first()?;
    match (kind.as_str(), rest) {
        ("CMD", [_, ..]) => Some(rest.to_vec()),
        ("CMD-SHELL", [line]) => Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()]),
        _ => None,
    }
}

fn run(supervisor: &Supervisor, unit: &Unit, check: &Healthcheck, args: Vec<String>) -> Result<(), String> {
    let place = supervisor.place(&unit.id);
    let log = place.join("health.log");
    let runtime = Runtime::new(&unit.runtime, &place.runtime_root(), &log);
    let execution = Execution { args, ..Execution::default() };
    let unable = |error: &dyn std::error::Error| format!("could not be run: {}", chain(error));
    let mut executing =
        runtime.execution(&unit.id.to_string(), place.dir(), &execution).map_err(|error| unable(&error))?;
    let command = executing.command();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = process::spawn(command).map_err(|error| unable(&error))?;
    let limit = Duration::from_millis(check.timeout_ms).min(LOOK_MAX);
    match process::wait(&mut child, limit).map_err(|error| unable(&error))? {
        Some(ended) if ended.success() => Ok(()),
        Some(ended) => Err(format!("failed: {ended}")),
        None => Err(format!("took longer than {} ms", limit.as_millis())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(test: &[&str], command: Option<&[&str]>) {
        let test: Vec<String> = test.iter().map(|word| (*word).to_owned()).collect();
        let expected = command.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
        assert_eq!(words(&test), expected);
    }

    #[test]
    fn a_test_is_a_command_a_shell_line_or_nothing() {
        check(&[], None);
        check(&["NONE"], None);
        check(&["CMD"], None);
        check(&["CMD", "/app", "health"], Some(&["/app", "health"]));
        check(&["CMD-SHELL", "test -e /ok"], Some(&["/bin/sh", "-c", "test -e /ok"]));
    }
}
