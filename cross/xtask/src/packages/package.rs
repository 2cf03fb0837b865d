//! The Debian package, by dpkg.

use std::io;

use super::{AGENT, EXE, KIT, Proof, gone, is_of, ready};
use crate::booted::bench::{Bench, same, unit};

/// In this order, each on what the one before left.
pub const ALL: [(&str, Proof); 7] = [
    ("dpkg installs it, and the agent takes a document", install),
    ("an upgrade restarts the agent alone", upgrade),
    ("an upgrade in the middle of a trial ends it well, with the same process", midway),
    ("what the administrator switched off stays off over an upgrade", disabled),
    ("removing it ends what it ran, and keeps data and configuration", remove),
    ("installed again, it starts what ran before", again),
    ("purging it leaves the volumes, and nothing else", purge),
];

const WEB: &str = "site.web";
const VOLUME: &str = "/var/lib/coracle/volumes/site.data/kept";
const WANTS: &str = "/etc/systemd/system/multi-user.target.wants/coracle.service";
const SCRIPT: &str = "trap 'exit 0' TERM; sleep 100000 & wait";

fn dpkg(bench: &Bench, words: &[&str]) -> io::Result<()> {
    bench.run(&[&["env", "DEBIAN_FRONTEND=noninteractive", "dpkg"], words].concat()).map(drop)
}

fn package(folder: &str) -> String {
    format!("{KIT}/{folder}/coracle.deb")
}

/// One service, with a restart policy.
pub fn deploy(bench: &mut Bench, generation: u64) -> io::Result<()> {
    let image = bench.image("web", SCRIPT)?;
    let services = serde_json::json!({"web": {"image": image, "restart": "always"}});
    bench.deploy(generation, services)
}

fn install(bench: &mut Bench) -> io::Result<String> {
    dpkg(bench, &["--install", &package("old")])?;
    let pid = ready(bench)?;
    is_of(bench, &pid, "old")?;
    same("enabled", &bench.property(AGENT, "UnitFileState")?, &"enabled".to_owned())?;
    deploy(bench, 1)?;
    bench.run(&["test", "-s", "/usr/share/man/man1/coracle.1.gz"])?;
    Ok(format!("agent {pid}, {WEB} confirmed"))
}

fn upgrade(bench: &mut Bench) -> io::Result<String> {
    let (before, old) = (bench.process(WEB)?, ready(bench)?);
    let shim = bench.property(&unit(WEB), "MainPID")?;
    dpkg(bench, &["--install", &package("new")])?;
    let new = ready(bench)?;
    same("process of the workload", &bench.process(WEB)?, &before)?;
    same("its shim", &bench.property(&unit(WEB), "MainPID")?, &shim)?;
    if new == old {
        return Err(io::Error::other("the old agent still runs"));
    }
    is_of(bench, &new, "new")?;
    same("what dpkg has to say of its files", &bench.run(&["dpkg", "--verify", "coracle"])?, &String::new())?;
    // The shim runs on from a file that has no name any more, and the next start is the new one's.
    bench.run(&["coracle", "restart", WEB])?;
    bench.until_workload(WEB, "running")?;
    Ok(format!(
        "process {} of the workload and its shim {shim} before and after; agent {old}, then {new}",
        before.0
    ))
}

fn midway(bench: &mut Bench) -> io::Result<String> {
    // Its check passes once somebody says so.
    let check = serde_json::json!({"test": ["CMD-SHELL", "test -e /ready"], "interval": "1s", "start_period": "300s"});
    let image = bench.image("slow", SCRIPT)?;
    let web = serde_json::json!({"image": image, "restart": "always", "healthcheck": check});
    bench.send(2, serde_json::json!({"web": web}), 600)?;
    let settled = ["sh", "-c", "coracle health --settled; test $? = 75"];
    bench.until("trial", || {
        Ok(bench.run(&settled).is_ok_and(|said| said.contains("generation 2 is on trial")).then_some(()))
    })?;
    let before = bench.until_workload(WEB, "running").and_then(|_| bench.process(WEB))?;
    let old = ready(bench)?;
    dpkg(bench, &["--install", &package("old")])?;
    let new = ready(bench)?;
    same("process of the candidate", &bench.process(WEB)?, &before)?;
    bench.run(&["coracle", "exec", WEB, "sh", "-c", "echo > /ready"])?;
    bench.until_confirmed(2)?;
    same("process of the candidate", &bench.process(WEB)?, &before)?;
    let said = bench.run(&["coracle", "health", "--wait", "30"])?;
    same("what an updater of the image hears", &said.trim(), &"well")?;
    dpkg(bench, &["--install", &package("new")])?;
    ready(bench)?;
    Ok(format!(
        "generation 2 on trial under agent {old}, confirmed by {new}; process {} throughout",
        before.0
    ))
}

fn disabled(bench: &mut Bench) -> io::Result<String> {
    let before = bench.process(WEB)?;
    bench.run(&["systemctl", "disable", "--now", AGENT])?;
    dpkg(bench, &["--install", &package("old")])?;
    same("state", &bench.property(AGENT, "ActiveState")?, &"inactive".to_owned())?;
    same("enabled", &bench.property(AGENT, "UnitFileState")?, &"disabled".to_owned())?;
    same("process of the workload", &bench.process(WEB)?, &before)?;
    bench.run(&["systemctl", "enable", "--now", AGENT])?;
    ready(bench)?;
    Ok("neither enabled nor started by a package of another version; the workload goes on".to_owned())
}

fn remove(bench: &mut Bench) -> io::Result<String> {
    bench.run(&["sh", "-ec", &format!("mkdir -p $(dirname {VOLUME}); echo kept > {VOLUME}")])?;
    dpkg(bench, &["--remove", "coracle"])?;
    gone(bench, &[EXE, "/run/coracle", "/usr/lib/systemd/system/coracle.service"])?;
    bench.run(&["ls", "/var/lib/coracle/journal", "/etc/coracle/config.toml", VOLUME])?;
    Ok("no process of ours, no program; journal, volume and configuration are there".to_owned())
}

fn again(bench: &mut Bench) -> io::Result<String> {
    dpkg(bench, &["--install", &package("new")])?;
    is_of(bench, &ready(bench)?, "new")?;
    bench.until_workload(WEB, "running")?;
    same("enabled", &bench.property(AGENT, "UnitFileState")?, &"enabled".to_owned())?;
    Ok(format!("{WEB} runs"))
}

fn purge(bench: &mut Bench) -> io::Result<String> {
    dpkg(bench, &["--purge", "coracle"])?;
    gone(bench, &[EXE, "/run/coracle", WANTS, "/var/lib/coracle/journal", "/var/lib/coracle/layers"])?;
    let left = bench.run(&["find", "/var/lib/coracle", "-type", "f"])?;
    same("files", &left.trim(), &VOLUME)?;
    bench.run(&["ls", "/etc/coracle/config.toml"])?;
    // A stranger's next installation begins with none of it.
    bench.run(&["rm", "-r", "/var/lib/coracle/volumes"])?;
    Ok(format!("{VOLUME} and what the administrator wrote"))
}
