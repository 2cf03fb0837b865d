//! The service that a `run` line describes: docker's words, read by the same functions as a Compose document's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use coracle_core::compose::form::{self, SecurityOption};
use coracle_core::compose::{Mount, NetworkMode, Resources, Restart, Service};

use crate::cli::args::Run;
use crate::exit::Failure;

/// The service that `args` describe; `default` is the network of one that names none.
pub(super) fn service(args: &Run, default: Option<NetworkMode>) -> Result<Service, Failure> {
    if !args.publish.is_empty() {
        return Err(Failure::usage(
            "--publish: there are no bridge networks yet; with --net=host the container's ports are the board's",
        ));
    }
    let mut words = args.words.iter();
    let image = words.next().map(String::as_str).unwrap_or_default();
    // The parser takes the first word it does not know for the image.
    if image.starts_with('-') {
        return Err(Failure::usage(format!("run has no option {image}; `coracle run --help` lists them")));
    }
    if args.rm && args.detach {
        return Err(Failure::usage(
            "--rm works in the foreground only; leave --detach out, or end it with `coracle rm -f NAME`",
        ));
    }
    let mut service = Service::new(image, network(args.network.as_deref(), default)?);
    let command: Vec<String> = words.cloned().collect();
    service.command = (!command.is_empty()).then_some(command);
    // An empty entry point clears the image's.
    let words = |entry: &String| if entry.is_empty() { Vec::new() } else { vec![entry.clone()] };
    service.entrypoint = args.entrypoint.as_ref().map(words);
    service.environment = environment(args)?;
    service.working_dir = one("--workdir", args.workdir.as_ref(), form::parse_path)?;
    service.user = one("--user", args.user.as_ref(), form::parse_user)?;
    service.hostname = one("--hostname", args.hostname.as_ref(), form::parse_hostname)?;
    service.stop_signal = one("--stop-signal", args.stop_signal.as_ref(), form::parse_signal)?;
    service.restart = one("--restart", args.restart.as_ref(), form::parse_restart)?.unwrap_or(Restart::No);
    service.read_only = args.read_only;
    service.tty = args.tty;
    service.stdin_open = args.interactive;
    if let Some(seconds) = args.stop_timeout {
        service.stop_grace_ms = seconds.saturating_mul(1000);
    }
    service.labels = pairs("--label", &args.label)?;
    service.mounts = each("--volume", &args.volume, form::parse_volume)?;
    service.mounts.extend(each("--tmpfs", &args.tmpfs, form::parse_tmpfs)?);
    let mut targets = BTreeSet::new();
    if let Some(twice) = service.mounts.iter().map(Mount::target).find(|target| !targets.insert(*target)) {
        return Err(Failure::usage(format!(
            "--volume, --tmpfs: something else is already mounted at {twice:?}"
        )));
    }
    service.extra_hosts = each("--add-host", &args.add_host, form::parse_extra_host)?;
    service.dns = each("--dns", &args.dns, str::parse)?;
    service.devices = each("--device", &args.device, form::parse_device)?;
    service.ulimits = each("--ulimit", &args.ulimit, form::parse_ulimit)?.into_iter().collect();
    service.resources = Resources {
        memory_bytes: one("--memory", args.memory.as_ref(), form::parse_bytes)?,
        memory_reservation_bytes: None,
        cpu_milli: one("--cpus", args.cpus.as_ref(), form::parse_cpu_milli)?,
        pids: args.pids_limit,
    };
    security(args, &mut service)?;
    Ok(service)
}

fn security(args: &Run, service: &mut Service) -> Result<(), Failure> {
    service.privileged = args.privileged;
    service.cap_add = each("--cap-add", &args.cap_add, form::parse_capability)?;
    service.cap_drop = each("--cap-drop", &args.cap_drop, form::parse_capability)?;
    for option in each("--security-opt", &args.security_opt, form::parse_security_option)? {
        match option {
            SecurityOption::NoNewPrivileges(on) => service.no_new_privileges = on,
            SecurityOption::SeccompUnconfined => service.seccomp_unconfined = true,
        }
    }
    service.sysctls = pairs("--sysctl", &args.sysctl)?;
    for name in service.sysctls.keys() {
        form::parse_sysctl_name(name).map_err(|why| wrong("--sysctl", name, why))?;
    }
    Ok(())
}

fn wrong(flag: &str, text: &str, why: impl Display) -> Failure {
    // Some parsers name the text themselves.
    let why = why.to_string();
    let why = why.strip_prefix(&format!("{text:?}: ")).unwrap_or(&why);
    Failure::usage(format!("{flag} {text}: {why}"))
}

fn one<T, E: Display>(
    flag: &str,
    text: Option<&String>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<T>, Failure> {
    text.map(|text| parse(text).map_err(|why| wrong(flag, text, why))).transpose()
}

fn each<T, E: Display>(
    flag: &str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, Failure> {
    texts.iter().map(|text| parse(text).map_err(|why| wrong(flag, text, why))).collect()
}

fn network(asked: Option<&str>, default: Option<NetworkMode>) -> Result<NetworkMode, Failure> {
    match (asked, default) {
        (Some(text), _) => form::parse_network_mode(text).map_err(|why| wrong("--network", text, why)),
        (None, Some(default)) => Ok(default),
        (None, None) => Err(Failure::usage(
            "there are no bridge networks yet; say --net=host (the board's network) or --net=none, \
             or set default_network in the configuration",
        )),
    }
}

fn environment(args: &Run) -> Result<BTreeMap<String, String>, Failure> {
    let mut variables = BTreeMap::new();
    for path in &args.env_file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("--env-file {}: {error}", path.display())))?;
        let lines = text.lines().map(str::trim_start);
        lines.filter(|line| !line.is_empty() && !line.starts_with('#')).for_each(|line| {
            variable(line, &mut variables);
        });
    }
    for line in &args.env {
        variable(line, &mut variables);
    }
    if variables.contains_key("") {
        return Err(Failure::usage("--env: a variable needs a name"));
    }
    Ok(variables)
}

/// `NAME=VALUE`, or `NAME` for this shell's value, if it has one.
fn variable(line: &str, variables: &mut BTreeMap<String, String>) {
    let (name, value) = match line.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (line, std::env::var(line).ok()),
    };
    if let Some(value) = value {
        variables.insert(name.to_owned(), value);
    }
}

fn pairs(flag: &str, lines: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |line: &String| match line.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err(wrong(flag, line, "write NAME=VALUE")),
    };
    lines.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::args::{Arguments, Command};

    #[test]
    fn lines_that_would_be_half_obeyed_are_refused() {
        #[track_caller]
        fn check(line: &str, said: &str) {
            let words = ["coracle", "run"].into_iter().chain(line.split_whitespace());
            let Command::Run(run) = Arguments::try_parse_from(words).unwrap().command else {
                panic!("{line} is not a run line")
            };
            let message = service(&run, Some(NetworkMode::Host)).unwrap_err().message;
            assert!(message.contains(said), "{line}: {message}");
        }
        check("--frobnicate nginx", "run has no option --frobnicate");
        check("-v /a:/x --tmpfs /x/ nginx", "already mounted at \"/x\"");
        check("-d --rm nginx", "in the foreground only");
        check("-p 80:80 nginx", "--publish");
        check("--net=bridge nginx", "--network bridge: want host or none");
    }
}
