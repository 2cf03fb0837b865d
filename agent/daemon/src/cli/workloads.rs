//! `coracle ps`, `stop`, `rm` and `logs`.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use coracle_core::health::State;
use coracle_core::time::Timestamp;
use coracle_host::clock;
use coracle_host::supervise::{Phase, Status, Supervisor, Unit};
use serde_json::json;

use super::args::{Logs, Ps, Rm, Stop};
use super::{context, out};
use crate::config::Settings;
use crate::endings;
use crate::exit::{Exit, Failure};
use crate::local;

/// Between two looks at a log that is followed; the file is in memory.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);
/// Lines that are shown where nobody said how many.
const LINES: usize = 10_000;

/// Lists workloads.
pub(super) fn ps(settings: &Settings, args: &Ps) -> Result<Exit, Failure> {
    let supervisor = context::supervisor(settings)?;
    let shown: Vec<Status> =
        supervisor.list().into_iter().filter(|status| args.all || status.phase.live()).collect();
    if args.json {
        out::json(&shown.iter().map(|status| describe(&supervisor, status)).collect());
        return Ok(Exit::Done);
    }
    let now = clock::wall();
    let row = |status: &Status| {
        let image =
            unit(&supervisor, status).map_or_else(|| "?".to_owned(), |unit| unit.workload.service.image);
        let pid = status.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        vec![status.id.to_string(), phase(status, now), pid, status.restarts.to_string(), short(&image)]
    };
    let rows: Vec<Vec<String>> = shown.iter().map(row).collect();
    out::line(out::table(&["WORKLOAD", "STATE", "PID", "RESTARTS", "IMAGE"], &rows));
    Ok(Exit::Done)
}

/// A pinned reference is too long for a table: the digest's first digits do.
fn short(image: &str) -> String {
    match image.split_once("@sha256:") {
        Some((name, hex)) => format!("{name}@{}", hex.chars().take(12).collect::<String>()),
        None => image.to_owned(),
    }
}

fn unit(supervisor: &Supervisor, status: &Status) -> Option<Unit> {
    let unit = if status.beside { supervisor.unit_beside(&status.id) } else { supervisor.unit(&status.id) };
    unit.ok()
}

/// A status for programs.
pub(super) fn describe(supervisor: &Supervisor, status: &Status) -> serde_json::Value {
    let unit = unit(supervisor, status);
    json!({
        "id": status.id,
        "beside": status.beside,
        "state": status.phase,
        "pid": status.pid,
        "exitCode": status.exit_code,
        "oomKilled": status.oom_killed,
        "oomLimit": status.oom_limit,
        "forksRefused": status.forks_refused,
        "restarts": status.restarts,
        "startedAt": status.started_at,
        "finishedAt": status.finished_at,
        "error": status.error,
        "health": status.health,
        "image": unit.as_ref().map(|unit| unit.workload.service.image.clone()),
        "index": unit.as_ref().map(|unit| unit.workload.image.index),
        "manifest": unit.as_ref().map(|unit| unit.workload.image.manifest),
        "platform": unit.as_ref().map(|unit| unit.workload.image.platform.to_string()),
    })
}

/// A status in words.
pub(super) fn phase(status: &Status, now: Timestamp) -> String {
    let since =
        |at: Option<Timestamp>| at.map_or_else(String::new, |at| format!(" {}", out::ago(now.since(at))));
    let ended = endings::how(status).map_or_else(String::new, |how| format!(", {how}"));
    match status.phase {
        Phase::Starting => "starting".to_owned(),
        Phase::Running => {
            let new = if status.beside { ", the next one" } else { "" };
            format!("running{}{}{new}", since(status.started_at), health(status))
        }
        Phase::BackingOff => format!("restarting{ended}"),
        Phase::Stopping => "stopping".to_owned(),
        Phase::Stopped => "stopped".to_owned(),
        Phase::Exited => match status.exit_code {
            Some(code) if !status.oom_killed && !status.forks_refused => format!("exited with {code}"),
            _ => format!("exited{ended}"),
        },
        Phase::Failed => format!("failed: {}", status.error.as_deref().unwrap_or("no reason known")),
        Phase::Lost => "lost: its supervisor was killed".to_owned(),
    }
}

fn health(status: &Status) -> String {
    match status.health.as_ref().map(|checked| checked.state) {
        None => String::new(),
        Some(State::Starting) => ", health not known yet".to_owned(),
        Some(State::Healthy) => ", healthy".to_owned(),
        Some(State::Unhealthy) => ", unhealthy".to_owned(),
    }
}

/// Stops workloads; every one is tried.
pub(super) fn stop(settings: &Settings, args: &Stop) -> Result<Exit, Failure> {
    let supervisor = context::supervisor(settings)?;
    each(&args.names, |name| {
        let id = context::workload(&supervisor, name)?.id;
        supervisor.stop(&id).map_err(|error| Failure::new(Exit::Unexpected, &error))?;
        out::line(id);
        Ok(())
    })
}

/// Removes workloads; every one is tried.
pub(super) fn rm(settings: &Settings, args: &Rm) -> Result<Exit, Failure> {
    let supervisor = context::supervisor(settings)?;
    each(&args.names, |name| {
        let status = context::workload(&supervisor, name)?;
        if status.phase.live() && !args.force {
            return Err(Failure::usage(format!("{} runs; stop it first, or say --force", status.id)));
        }
        let wrong = |error| Failure::new(Exit::Unexpected, &error);
        supervisor.stop(&status.id).map_err(wrong)?;
        let forgotten = local::forget(&settings.state_dir, &status.id);
        forgotten.map_err(|error| Failure::new(Exit::Unexpected, &error))?;
        supervisor.remove(&status.id).map_err(wrong)?;
        out::line(status.id);
        Ok(())
    })
}

fn each(names: &[String], mut act: impl FnMut(&str) -> Result<(), Failure>) -> Result<Exit, Failure> {
    let mut last = None;
    for name in names {
        if let Err(failure) = act(name) {
            out::note(format_args!("coracle: {}", failure.message));
            last = Some(failure.exit);
        }
    }
    Ok(last.unwrap_or(Exit::Done))
}

/// Shows what a workload wrote.
pub(super) fn logs(settings: &Settings, args: &Logs) -> Result<Exit, Failure> {
    let supervisor = context::supervisor(settings)?;
    let id = context::workload(&supervisor, &args.name)?.id;
    let wrong = |error| Failure::new(Exit::Unexpected, &error);
    let mut writer = EntryWriter { args };
    let path = supervisor.place(&id).join("log");
    // Where following starts is noted first: what comes meanwhile is shown twice rather than lost.
    let mut tail = Tail::at_end(&path);
    for entry in supervisor.logs(&id, args.tail.unwrap_or(LINES)).map_err(wrong)? {
        writer.write(&entry);
    }
    if !args.follow {
        return Ok(Exit::Done);
    }
    loop {
        for entry in tail.more(&path) {
            writer.write(&entry);
        }
        if !supervisor.status(&id).is_ok_and(|status| status.phase.live()) {
            tail.more(&path).iter().for_each(|entry| writer.write(entry));
            return Ok(Exit::Done);
        }
        std::thread::sleep(FOLLOW_EVERY);
    }
}

/// Reads a log as it grows, over its rotation.
struct Tail {
    file: Option<BufReader<File>>,
    inode: u64,
}

impl Tail {
    fn at_end(path: &std::path::Path) -> Self {
        let mut tail = Self::open(path);
        if let Some(file) = &mut tail.file {
            let _ = file.seek(SeekFrom::End(0));
        }
        tail
    }

    fn open(path: &std::path::Path) -> Self {
        let file = File::open(path).ok();
        let inode = file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |found| found.ino());
        Self { file: file.map(BufReader::new), inode }
    }

    fn more(&mut self, path: &std::path::Path) -> Vec<String> {
        let mut entries = self.rest();
        let now = std::fs::metadata(path).map_or(0, |found| found.ino());
        if now != self.inode {
            *self = Self::open(path);
            entries.extend(self.rest());
        }
        entries
    }

    fn rest(&mut self) -> Vec<String> {
        let mut entries = Vec::new();
        let Some(file) = &mut self.file else { return entries };
        let mut line = Vec::new();
        while file.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            entries.push(String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned());
            line.clear();
        }
        entries
    }
}

/// Writes entries of the form `<time> <stream> <F|P> <text>`.
struct EntryWriter<'a> {
    args: &'a Logs,
}

impl EntryWriter<'_> {
    fn write(&mut self, entry: &str) {
        let mut parts = entry.splitn(4, ' ');
        let (Some(time), Some(stream), Some(_), text) =
            (parts.next(), parts.next(), parts.next(), parts.next().unwrap_or_default())
        else {
            return;
        };
        match (self.args.json, self.args.timestamps, stream) {
            (true, _, _) => out::line(json!({ "time": time, "stream": stream, "text": text })),
            (false, true, "stderr") => out::note(format_args!("{time} {text}")),
            (false, true, _) => out::line(format_args!("{time} {text}")),
            (false, false, "stderr") => out::note(text),
            (false, false, _) => out::line(text),
        }
    }
}
