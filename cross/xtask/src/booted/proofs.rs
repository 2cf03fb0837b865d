//! The proofs, in an order: each begins with the board as the one before left it.

use std::io;
use std::time::Instant;

use coracle_test_support::nspawn::Network;
use serde_json::{Value, json};

use super::bench::{Bench, same, unit};

/// A proof: what it shows, and its figure or why it fails.
pub type Proof = fn(&mut Bench) -> io::Result<String>;

/// Those on a board that goes on.
pub const FIRST: [(&str, Proof); 13] = [
    ("a workload is a unit of its own", own_unit),
    ("workloads together have ceilings, and the agent a slice of its own", slices),
    ("policy, order and stop time are systemd's", settings),
    ("the journal has what a workload wrote, and so has `coracle logs`", journal),
    ("workloads outlive the agent: killed, upgraded, restarted", outlive),
    ("an agent that hangs is started again, and workloads go on", hang),
    ("an update with the same settings needs no reload, and moves only what changed", same_settings),
    ("a workload that was started without systemd goes on, and then is a unit", from_direct),
    ("a shim that is killed takes nothing with it for good", shim),
    ("a policy that counts ends where it says", counted),
    ("stopping their slice stops all workloads, and nothing else", slice_stopped),
    ("what was stopped by hand stays stopped until the board boots", by_hand),
    ("a service waits for the health of another one", conditions),
];

/// Those after which it is another one.
pub const LAST: [(&str, Proof); 1] = [("a board without network and agent starts its workloads", offline)];

pub const IDLE: &str = "trap 'exit 0' TERM; echo \"this is $(cat /name)\"; sleep 100000 & wait";
pub const WEB: &str = "site.web";
pub const DB: &str = "site.db";
/// Of the agent alone.
const AGENT_SLICE: &str = "coracle_agent.slice";

fn site(web: &str, db: &str) -> Value {
    json!({
        "web": {"image": web, "restart": "unless-stopped", "depends_on": ["db"], "stop_grace_period": "5s"},
        "db": {"image": db, "restart": "on-failure"},
    })
}

fn own_unit(bench: &mut Bench) -> io::Result<String> {
    let (web, db) = (bench.image("web", IDLE)?, bench.image("db", IDLE)?);
    let began = Instant::now();
    bench.deploy(1, site(&web, &db))?;
    let seconds = began.elapsed().as_secs_f32();
    let (pid, _) = bench.process(WEB)?;
    for id in [WEB, DB] {
        same("state", &bench.property(&unit(id), "ActiveState")?, &"active".to_owned())?;
    }
    let group = bench.run(&["cat", &format!("/proc/{pid}/cgroup")])?;
    let expected = format!("/coracle.slice/{}/container", unit(WEB));
    if !group.lines().any(|line| line.strip_prefix("0::") == Some(expected.as_str())) {
        return Err(io::Error::other(format!("its process is in {group:?}, not in {expected}")));
    }
    let shown = bench.run(&["systemctl", "status", "--no-pager", &unit(WEB)])?;
    if !shown.contains(&format!("{pid} sh -c")) {
        return Err(io::Error::other(format!("systemctl status does not show process {pid}: {shown}")));
    }
    Ok(format!("two services confirmed {seconds:.1} s after the message, processes in {expected}"))
}

/// What systemd was told: within systemd-nspawn nothing keeps to it.
fn slices(bench: &mut Bench) -> io::Result<String> {
    let pid = bench.property("coracle.service", "MainPID")?;
    let group = bench.run(&["cat", &format!("/proc/{pid}/cgroup")])?;
    let expected = format!("/{AGENT_SLICE}/coracle.service");
    if !group.lines().any(|line| line.strip_prefix("0::") == Some(expected.as_str())) {
        return Err(io::Error::other(format!("the agent is in {group:?}, not in {expected}")));
    }
    for (name, expected) in [("CPUWeight", "20"), ("IOWeight", "20"), ("MemoryMax", "67108864")] {
        same(name, &bench.property(AGENT_SLICE, name)?.as_str(), &expected)?;
    }
    same(
        "unit of its clearing",
        &bench.property("coracle-clear@x.service", "Slice")?.as_str(),
        &AGENT_SLICE,
    )?;
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    let total =
        kib.and_then(|kib| kib.parse::<u64>().ok()).ok_or_else(|| io::Error::other("no MemTotal"))? << 10;
    let ceiling: u64 = bench.property("coracle.slice", "MemoryMax")?.parse().map_err(io::Error::other)?;
    let percent = ceiling.saturating_mul(100).div_ceil(total);
    same("percent of the memory for workloads", &percent, &80)?;
    Ok(format!("the agent in {expected}, workloads within {percent} % of the memory"))
}

fn settings(bench: &mut Bench) -> io::Result<String> {
    let web = unit(WEB);
    for (name, expected) in [
        ("Restart", "always"),
        ("TimeoutStopUSec", "2min 5s"),
        ("TasksMax", "2080"),
        ("Slice", "coracle.slice"),
        ("Delegate", "yes"),
    ] {
        same(name, &bench.property(&web, name)?, &expected.to_owned())?;
    }
    same("Restart", &bench.property(&unit(DB), "Restart")?, &"on-failure".to_owned())?;
    let after = bench.property(&web, "After")?;
    if !after.split(' ').any(|name| name == unit(DB)) {
        return Err(io::Error::other(format!("{web} is only after {after}")));
    }
    let bad = bench.run(&["systemctl", "list-units", "--failed", "--plain", "--no-legend"])?;
    same("failed units", &bad.as_str(), &"")?;
    Ok(format!("Restart, TimeoutStopSec, TasksMax, Slice, after {}", unit(DB)))
}

fn journal(bench: &mut Bench) -> io::Result<String> {
    let line = "this is web";
    same("coracle logs", &bench.run(&["coracle", "logs", "web"])?.trim(), &line)?;
    let words = ["journalctl", "--no-pager", "-q", "-o", "cat", "-t", WEB, "-u", &unit(WEB)];
    bench.until("line in the journal", || {
        Ok(bench.run(&words)?.lines().any(|said| said == line).then_some(()))
    })?;
    Ok(format!("{line:?} under {}", unit(WEB)))
}

fn outlive(bench: &mut Bench) -> io::Result<String> {
    let before = [bench.process(WEB)?, bench.process(DB)?];
    let agent = "coracle.service";
    let old = bench.property(agent, "MainPID")?;
    bench.run(&["systemctl", "kill", "-s", "KILL", agent])?;
    let until_again = |bench: &Bench, old: &str| {
        bench.until("agent that is ready again", || {
            let (state, pid) = (bench.property(agent, "ActiveState")?, bench.property(agent, "MainPID")?);
            Ok((state == "active" && pid != old && pid != "0").then_some(pid))
        })
    };
    let killed = until_again(bench, &old)?;
    same("processes after the kill", &[bench.process(WEB)?, bench.process(DB)?], &before)?;
    // As a package does it: the new file beside the old one, then renamed over it.
    bench.run(&[
        "sh",
        "-ec",
        "cp /usr/bin/coracle /usr/bin/coracle.new; mv /usr/bin/coracle.new /usr/bin/coracle",
    ])?;
    bench.run(&["systemctl", "restart", agent])?;
    until_again(bench, &killed)?;
    same("processes after the upgrade", &[bench.process(WEB)?, bench.process(DB)?], &before)?;
    bench.run(&["systemctl", "stop", agent])?;
    same("processes without an agent", &[bench.process(WEB)?, bench.process(DB)?], &before)?;
    bench.run(&["systemctl", "start", agent])?;
    same("processes in the end", &[bench.process(WEB)?, bench.process(DB)?], &before)?;
    let ticks: Vec<&str> = before.iter().map(|(_, ticks)| ticks.as_str()).collect();
    Ok(format!("start times {} before and after SIGKILL, new binary, stop", ticks.join(" and ")))
}

fn hang(bench: &mut Bench) -> io::Result<String> {
    let before = bench.process(WEB)?;
    let agent = "coracle.service";
    let restarts: u32 = bench.property(agent, "NRestarts")?.parse().map_err(io::Error::other)?;
    let began = Instant::now();
    bench.run(&["systemctl", "kill", "-s", "STOP", "--kill-whom=main", agent])?;
    bench.until("agent after its hang", || {
        let now: u32 = bench.property(agent, "NRestarts")?.parse().map_err(io::Error::other)?;
        Ok((now > restarts && bench.property(agent, "ActiveState")? == "active").then_some(()))
    })?;
    let seconds = began.elapsed().as_secs_f32();
    same("process", &bench.process(WEB)?, &before)?;
    let said = bench.property(agent, "StatusText")?;
    if !said.starts_with("generation 1 is good") {
        return Err(io::Error::other(format!("the agent says {said:?}")));
    }
    Ok(format!("ready again after {seconds:.1} s with a watchdog of 5 s; it says {said:?}"))
}

fn same_settings(bench: &mut Bench) -> io::Result<String> {
    let reloads = |bench: &Bench| {
        let said = bench.run(&["journalctl", "--no-pager", "-q", "-o", "cat", "_PID=1"])?;
        io::Result::Ok(said.lines().filter(|line| line.starts_with("Reloading")).count())
    };
    let (before, db) = (reloads(bench)?, bench.process(DB)?);
    let (web, old) = (bench.image("web2", IDLE)?, bench.process(WEB)?);
    bench.deploy(2, site(&web, &bench.image("db", IDLE)?))?;
    if bench.process(WEB)? == old {
        return Err(io::Error::other("the old one still runs"));
    }
    same("the other one's process", &bench.process(DB)?, &db)?;
    same("reloads", &reloads(bench)?, &before)?;
    Ok("no reload between generation 1 and 2; the other service runs on".to_owned())
}

fn from_direct(bench: &mut Bench) -> io::Result<String> {
    let config = "/etc/coracle/config.d/direct.toml";
    let image = bench.image("old", IDLE)?;
    let make = format!("mkdir -p /etc/coracle/config.d; echo 'supervisor = \"direct\"' > {config}");
    bench.run(&["sh", "-ec", &make])?;
    // From within the board, not from beside it: what a shim may do is what its starter may.
    let run = ["coracle", "run", "-d", "--restart", "always", "--name", "old", &image];
    bench.run(&[&["systemd-run", "--quiet", "--wait", "--pipe"], &run[..]].concat())?;
    let id = "local.old";
    let before = bench.process(id)?;
    // The other way around: it ends what systemd had started, for good.
    bench.run(&["coracle", "stop", "db"])?;
    same("state", &bench.property(&unit(DB), "ActiveState")?, &"inactive".to_owned())?;
    bench.run(&["rm", config])?;
    bench.run(&["coracle", "restart", "db"])?;
    bench.until_workload(DB, "running")?;
    bench.run(&["systemctl", "restart", "coracle.service"])?;
    same("process", &bench.process(id)?, &before)?;
    same("its unit", &bench.property(&unit(id), "ActiveState")?, &"inactive".to_owned())?;
    bench.run(&["coracle", "restart", "old"])?;
    bench.until_workload(id, "running")?;
    same("its unit", &bench.property(&unit(id), "ActiveState")?, &"active".to_owned())?;
    bench.run(&["coracle", "rm", "-f", "old"])?;
    Ok("the same process over the change, a unit after `coracle restart`".to_owned())
}

fn conditions(bench: &mut Bench) -> io::Result<String> {
    bench.deploy(3, conditioned(bench)?)?;
    bench.process(WEB)?;
    Ok("started once it was healthy; the next boot does the same".to_owned())
}

/// Two services, of which one waits for the health of the other.
pub fn conditioned(bench: &Bench) -> io::Result<Value> {
    let (image, db) = (bench.image("web", IDLE)?, bench.image("db", "sleep 1; touch /tmp/up; sleep 100000")?);
    let health = json!({"test": ["CMD", "ls", "/tmp/up"], "interval": "100ms", "start_period": "30s"});
    Ok(json!({
        "web": {"image": image, "restart": "always", "depends_on": {"db": {"condition": "service_healthy"}}},
        "db": {"image": db, "restart": "always", "healthcheck": health, "tmpfs": ["/tmp"]},
    }))
}

fn shim(bench: &mut Bench) -> io::Result<String> {
    let before = bench.process(WEB)?;
    let began = Instant::now();
    bench.run(&["systemctl", "kill", "-s", "KILL", "--kill-whom=main", &unit(WEB)])?;
    let after = bench.until("another process", || {
        let workload = bench.workload(WEB)?;
        let other = workload["state"] == "running" && workload["pid"] != before.0;
        Ok(other.then_some(workload))
    })?;
    let seconds = began.elapsed().as_secs_f32();
    same("restarts", &after["restarts"].as_u64(), &Some(1))?;
    Ok(format!("running again after {seconds:.1} s, one restart counted"))
}

fn counted(bench: &mut Bench) -> io::Result<String> {
    let image = bench.image("bad", "exit 7")?;
    bench.run(&["coracle", "run", "-d", "--restart", "on-failure:2", "--name", "bad", &image])?;
    let id = "local.bad";
    let workload = bench.until_workload(id, "exited")?;
    same("restarts", &workload["restarts"].as_u64(), &Some(2))?;
    same("exit code", &workload["exitCode"].as_i64(), &Some(7))?;
    same("state", &bench.property(&unit(id), "ActiveState")?, &"failed".to_owned())?;
    // In the foreground nothing that it writes is lost, and its exit code is the command's.
    let words = ["coracle", "run", "--rm", "--name", "said", &image, "sh", "-c", "echo first; echo last"];
    same("output", &bench.run(&words)?.as_str(), &"first\nlast\n")?;
    bench.run(&["coracle", "rm", "bad"])?;
    same(
        "units left",
        &bench.run(&["systemctl", "list-units", "--failed", "--plain", "--no-legend"])?.as_str(),
        &"",
    )?;
    Ok("two restarts, exit code 7; removed without a trace".to_owned())
}

fn slice_stopped(bench: &mut Bench) -> io::Result<String> {
    let agent = bench.property("coracle.service", "MainPID")?;
    bench.run(&["systemctl", "stop", "coracle.slice"])?;
    for id in [WEB, DB] {
        bench.until_workload(id, "stopped")?;
        same("state", &bench.property(&unit(id), "ActiveState")?, &"inactive".to_owned())?;
    }
    bench.run(&["coracle", "restart", "site"])?;
    for id in [WEB, DB] {
        bench.until_workload(id, "running")?;
    }
    same("agent", &bench.property("coracle.service", "MainPID")?, &agent)?;
    Ok("both stopped, the agent went on, `coracle restart` brought both back".to_owned())
}

fn by_hand(bench: &mut Bench) -> io::Result<String> {
    bench.run(&["coracle", "stop", "web"])?;
    bench.until_workload(WEB, "stopped")?;
    same("state", &bench.property(&unit(WEB), "ActiveState")?, &"inactive".to_owned())?;
    // The agent looks after what runs when it starts: this is none of it.
    bench.run(&["systemctl", "restart", "coracle.service"])?;
    bench.until("agent that reports", || {
        Ok(bench.property("coracle.service", "StatusText")?.ends_with(" is good").then_some(()))
    })?;
    bench.until_workload(WEB, "stopped")?;
    let mine = bench.image("mine", IDLE)?;
    bench.run(&["coracle", "run", "-d", "--restart", "always", "--name", "mine", &mine])?;
    Ok("stopped, also over a restart of the agent".to_owned())
}

fn offline(bench: &mut Bench) -> io::Result<String> {
    bench.cut()?;
    bench.board.disable("coracle.service")?;
    let began = bench.boot(Network::None)?;
    let status = bench.machine()?.path("/run/coracle/workloads/site.db/status.json");
    bench.until("running workload", || {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        Ok(text.contains("\"phase\":\"running\"").then_some(()))
    })?;
    let seconds = began.elapsed().as_secs_f32();
    for id in [WEB, DB, "local.mine"] {
        bench.until_workload(id, "running")?;
    }
    same("agent", &bench.property("coracle.service", "ActiveState")?, &"inactive".to_owned())?;
    let links = std::fs::read_to_string(bench.machine()?.path("/proc/1/net/dev"))?;
    let others = links.lines().skip(2).filter(|line| !line.trim_start().starts_with("lo:")).count();
    same("links besides loopback", &others, &0)?;
    Ok(format!(
        "{seconds:.1} s from power to the first running workload; then two more, no link but loopback"
    ))
}
