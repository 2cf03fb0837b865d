//! What an integrator relies on: a board that is provisioned late, a journal that explains itself, a root that nobody can
//! write.

use std::fs;
use std::io;

use coracle_test_support::nspawn::{Network, Root};
use serde_json::Value;

use super::bench::{Bench, same};
use super::proofs::{Proof, WEB, conditioned};
use crate::setup;

/// On a board that runs; each leaves it as it was.
pub const ALL: [(&str, Proof); 3] = [
    ("a board that lacks what the broker wants waits for it, and goes on by itself", late),
    ("events are found by their id, with facts, and the catalog explains them", ids),
    ("services in the group may hold updates back, and see nothing else", group),
];

/// Those that boot it anew, after the last of the others.
pub const LAST: [(&str, Proof); 2] = [
    ("a root that cannot be written will do, with a file system of its own for the state", read_only),
    ("so will /etc as an overlay, and a device id that will not last is told", etc_overlay),
];

const AGENT: &str = "coracle.service";

fn late(bench: &mut Bench) -> io::Result<String> {
    let (late, password) = ("/etc/coracle/config.d/late.toml", "/etc/coracle/password");
    let before = bench.process(WEB)?;
    let make = format!(
        "mkdir -p /etc/coracle/config.d; printf '[broker]\\nusername = \"late\"\\npassword_file = \"{password}\"\\n' > {late}; \
         systemctl restart {AGENT}"
    );
    bench.run(&["sh", "-ec", &make])?;
    let said = bench.property(AGENT, "StatusText")?;
    if !said.ends_with("waits for its provisioning") {
        return Err(io::Error::other(format!("the agent says {said:?}")));
    }
    let why = bench.run(&["coracle", "why"])?;
    let missing = format!("waits for its provisioning: broker.password_file {password} is not there");
    if !why.contains(&missing) {
        return Err(io::Error::other(format!("no {missing:?} in {why}")));
    }
    let told = event(bench, "WAITS")?;
    same(
        "reason in the journal",
        &told["CORACLE_WHY"].as_str(),
        &missing.split_once(": ").map(|(_, why)| why),
    )?;
    let (pid, restarts) = (bench.property(AGENT, "MainPID")?, bench.property(AGENT, "NRestarts")?);
    // It looks again and again meanwhile: what cannot be obeyed is told, and changes nothing.
    let wrong = "/etc/coracle/config.d/wrong.toml";
    bench.run(&["sh", "-ec", &format!("echo nonsense = 1 > {wrong}")])?;
    bench.until("word on what cannot be obeyed", || {
        let why = event(bench, "LACKING")?["CORACLE_WHY"].as_str().unwrap_or_default().to_owned();
        Ok(why.starts_with(&format!("{wrong}:1: nonsense: unknown key")).then_some(()))
    })?;
    bench.run(&["rm", wrong])?;
    same("process while it waits", &bench.property(AGENT, "MainPID")?, &pid)?;
    same("restarts while it waits", &bench.property(AGENT, "NRestarts")?, &restarts)?;
    same("process of a workload", &bench.process(WEB)?, &before)?;
    let give = format!("umask 077; echo secret > {password}.new; mv {password}.new {password}");
    bench.run(&["sh", "-ec", &give])?;
    bench.until("agent that is connected", || {
        let said = bench.property(AGENT, "StatusText")?;
        let other = bench.property(AGENT, "MainPID")? != pid;
        Ok((other && said.ends_with(" is good")).then_some(()))
    })?;
    event(bench, "PROVISIONED")?;
    same("process of a workload", &bench.process(WEB)?, &before)?;
    bench.run(&["sh", "-ec", &format!("rm {late} {password}; systemctl restart {AGENT}")])?;
    Ok(format!("{said:?}; still the same process after a mistake, connected once the file was there"))
}

fn ids(bench: &mut Bench) -> io::Result<String> {
    let accepted = event(bench, "ACCEPTED")?;
    for (name, expected) in [
        ("PRIORITY", "6"),
        ("_SYSTEMD_UNIT", AGENT),
        ("SYSLOG_IDENTIFIER", "coracle"),
        ("CORACLE_SCOPE", "d/booted"),
    ] {
        same(name, &accepted[name].as_str(), &Some(expected))?;
    }
    // The agent was refused a setting before, when it was told to do without its sandbox.
    same("priority of a mistake", &event(bench, "MISCONFIGURED")?["PRIORITY"].as_str(), &Some("3"))?;
    bench.run(&["journalctl", "--update-catalog"])?;
    let id = id("ACCEPTED")?;
    let shown = bench.run(&[
        "journalctl",
        "--no-pager",
        "-q",
        "--catalog",
        "-n",
        "1",
        &format!("MESSAGE_ID={id}"),
    ])?;
    let generation = accepted["CORACLE_GEN"].as_str().unwrap_or_default();
    for line in ["Subject: A document was accepted", &format!("generation {generation}, revision")] {
        if !shown.contains(line) {
            return Err(io::Error::other(format!("no {line:?} in {shown}")));
        }
    }
    Ok(format!("generation {generation} under {id}, with its entry of the catalog"))
}

fn group(bench: &mut Bench) -> io::Result<String> {
    bench.run(&["sh", "-ec", "systemd-sysusers coracle.conf; systemd-tmpfiles --create coracle.conf"])?;
    let attempt = |groups: &str, script: &str| {
        let all = format!(
            "setpriv --reuid 65534 --regid 65534 {groups} sh -c '{script}' > /dev/null 2>&1 && echo done || echo refused"
        );
        bench.run(&["sh", "-c", &all]).map(|said| said.trim().to_owned())
    };
    let (member, stranger) = ("--groups coracle", "--clear-groups");
    for (groups, script, expected) in [
        (member, "echo > /run/coracle/inhibit.d/busy", "done"),
        (stranger, "echo > /run/coracle/inhibit.d/idle", "refused"),
        (member, "ls /run/coracle", "refused"),
        (member, "ls /run/coracle/workloads", "refused"),
        (member, "cat /run/coracle/state.json", "refused"),
        (member, "ls /var/lib/coracle", "refused"),
        (member, "rm /run/coracle/inhibit.d/busy", "done"),
    ] {
        same(&format!("{script} as {groups}"), &attempt(groups, script)?.as_str(), &expected)?;
    }
    Ok("a file made and taken away by a member; five other attempts refused".to_owned())
}

fn read_only(bench: &mut Bench) -> io::Result<String> {
    bench.cut()?;
    bench.board.enable(AGENT)?;
    bench.boot_as(Network::Loopback, Root::ReadOnly)?;
    let generation = works(bench, 20)?;
    for place in ["/x", "/etc/x", "/usr/x", "/var/x"] {
        let attempt = format!("if echo 2>/dev/null > {place}; then echo written; fi");
        same(place, &bench.run(&["sh", "-c", &attempt])?.as_str(), &"")?;
    }
    Ok(format!("generation {generation} deployed; four writes elsewhere refused"))
}

fn etc_overlay(bench: &mut Bench) -> io::Result<String> {
    bench.cut()?;
    bench.board.write("etc/machine-id", "")?;
    bench.boot_as(Network::Loopback, Root::EtcOverlay)?;
    let generation = works(bench, 21)?;
    let kept = bench.run(&["sh", "-ec", "echo > /etc/coracle/written; ls /etc/coracle/written"])?;
    same("a file in /etc", &kept.trim(), &"/etc/coracle/written")?;
    // What systemd makes of a machine-id where /etc cannot be written, as a mount of its own.
    let mount = "echo 00112233445566778899aabbccddeeff > /run/machine-id; mount --bind /run/machine-id /etc/machine-id; \
                 echo > /run/empty.toml; coracle --config /run/empty.toml check-config; umount /etc/machine-id";
    let said = bench.run(&["sh", "-ec", mount])?;
    if !said.contains("(from machine-id)") || !said.contains("/etc/machine-id lies in memory") {
        return Err(io::Error::other(format!("nothing is said of a machine-id in memory: {said}")));
    }
    Ok(format!("generation {generation} deployed; \"/etc/machine-id lies in memory\""))
}

/// What was deployed runs, and another generation comes.
fn works(bench: &mut Bench, generation: u64) -> io::Result<u64> {
    bench.until_workload(WEB, "running")?;
    bench.until("agent that is ready", || {
        Ok((bench.property(AGENT, "ActiveState")? == "active").then_some(()))
    })?;
    bench.deploy(generation, conditioned(bench)?)?;
    let failed = bench.run(&["systemctl", "list-units", "--failed", "--plain", "--no-legend", "coracle*"])?;
    same("failed units", &failed.as_str(), &"")?;
    Ok(generation)
}

/// The last event of this kind, as the board's journal has it.
fn event(bench: &Bench, name: &str) -> io::Result<Value> {
    let words = format!("MESSAGE_ID={}", id(name)?);
    let found = bench.until(&format!("event {name} in the journal"), || {
        let said = bench.run(&["journalctl", "--no-pager", "-q", "-o", "json", "-n", "1", &words])?;
        Ok(said.lines().next().map(str::to_owned))
    })?;
    serde_json::from_str(&found).map_err(io::Error::other)
}

/// The id of an event, from the catalog.
fn id(name: &str) -> io::Result<String> {
    let catalog = setup::root()?.join("systemd/usr/lib/systemd/catalog/coracle.catalog");
    let text = fs::read_to_string(catalog)?;
    let found = text.split_once(&format!("\n# {name}\n-- ")).and_then(|(_, rest)| rest.lines().next());
    found.map(str::to_owned).ok_or_else(|| io::Error::other(format!("the catalog has no {name}")))
}
