//! The process of a bundle: words, environment, place, user, capabilities, limits.

use serde_json::{Value, json};

use super::{BundleError, BundleInput, CapabilitySet};
use crate::oci::config::ExecConfig;

/// Where programs are looked for when the image does not say (docker's).
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn process(input: &BundleInput<'_>, granted: CapabilitySet) -> Result<Value, BundleError> {
    let (service, user) = (input.service, input.user);
    let rlimit = |(name, limit): (&String, &crate::compose::Ulimit)| {
        json!({
            "type": format!("RLIMIT_{}", name.to_ascii_uppercase()),
            "soft": rlimit_value(limit.soft),
            "hard": rlimit_value(limit.hard),
        })
    };
    Ok(json!({
        "terminal": service.tty,
        "user": { "uid": user.uid, "gid": user.gid, "additionalGids": user.groups },
        "args": args(service.entrypoint.as_deref(), service.command.as_deref(), input.exec)?,
        "env": environment(input),
        "cwd": working_dir(input),
        "capabilities": capabilities(granted, user.uid),
        "rlimits": service.ulimits.iter().map(rlimit).collect::<Vec<_>>(),
        "noNewPrivileges": service.no_new_privileges,
    }))
}

/// -1 stands for no limit, which the kernel writes as all ones (`RLIM_INFINITY`).
fn rlimit_value(limit: i64) -> u64 {
    u64::try_from(limit).unwrap_or(u64::MAX)
}

/// Entrypoint, then command. An entrypoint of the service's own takes the image's command away with the image's
/// entrypoint, for the two belong together.
fn args(
    entrypoint: Option<&[String]>,
    command: Option<&[String]>,
    exec: &ExecConfig,
) -> Result<Vec<String>, BundleError> {
    let (first, rest): (&[String], &[String]) = match entrypoint {
        Some(own) => (own, command.unwrap_or_default()),
        None => (&exec.entrypoint, command.unwrap_or(&exec.cmd)),
    };
    let args: Vec<String> = first.iter().chain(rest).cloned().collect();
    if args.first().is_none_or(String::is_empty) { Err(BundleError::NoCommand) } else { Ok(args) }
}

/// What docker sets, then the image's, then the service's; a name stands once, with its last value.
fn environment(input: &BundleInput<'_>) -> Vec<String> {
    let mut variables = vec![PATH.to_owned(), format!("HOSTNAME={}", input.host_name)];
    if input.service.tty {
        variables.push("TERM=xterm".to_owned());
    }
    variables.push(format!("HOME={}", input.user.home));
    let own = input.service.environment.iter().map(|(name, value)| format!("{name}={value}"));
    for variable in input.exec.env.iter().cloned().chain(own) {
        let Some((name, _)) = variable.split_once('=').filter(|(name, _)| !name.is_empty()) else { continue };
        let same = |held: &String| held.split_once('=').is_some_and(|(held, _)| held == name);
        match variables.iter_mut().find(|held| same(held)) {
            Some(held) => *held = variable,
            None => variables.push(variable),
        }
    }
    variables
}

fn working_dir(input: &BundleInput<'_>) -> String {
    let dir = input.service.working_dir.as_deref().unwrap_or(&input.exec.working_dir);
    // Images may say it without the slash; docker reads it from the root.
    if dir.starts_with('/') { dir.to_owned() } else { format!("/{dir}") }
}

/// As docker: root has the whole set; another user has it as a bound only, for what it executes may carry file
/// capabilities. Nothing is inheritable or ambient.
fn capabilities(granted: CapabilitySet, uid: u32) -> Value {
    let names = granted.names();
    let held = if uid == 0 { names.clone() } else { Vec::new() };
    let none: [String; 0] = [];
    json!({ "bounding": names, "effective": held, "permitted": held, "inheritable": none, "ambient": none })
}
