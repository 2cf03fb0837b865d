//! The sandbox of the agent's unit: that it is closed, that everything works within it, and that nothing of it reaches a
//! workload.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use coracle_test_support::images::sample::{lower, upper};
use serde_json::{Value, json};

use super::bench::{Bench, same, unit};
use super::proofs::{IDLE, Proof, WEB, conditioned};

/// All of them.
pub const ALL: [(&str, Proof); 6] = [
    ("the agent holds no more than unpacking needs, and writes nowhere but in its own directories", closed),
    ("layers with whiteouts, nodes, attributes and special modes unpack within it", unpacks),
    ("workloads inherit none of it", inherits_nothing),
    ("commands, diagnosis and telemetry come out of it as from without", commands),
    ("what a killed shim leaves is cleared away by a unit", cleared),
    ("supervisor \"direct\" is refused within it, and works once it is taken off", direct),
];

const AGENT: &str = "coracle.service";
/// `CAP_CHOWN` `CAP_DAC_OVERRIDE` `CAP_FOWNER` `CAP_FSETID` `CAP_SYS_ADMIN` `CAP_MKNOD` `CAP_SETFCAP` (capability.h).
const AGENT_CAPABILITIES: u64 = 1 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 21 | 1 << 27 | 1 << 31;
/// The fourteen that docker gives (moby, `oci/caps/defaults.go`), as the kernel numbers them.
const WORKLOAD_CAPABILITIES: u64 = 0xa804_25fb;

fn closed(bench: &mut Bench) -> io::Result<String> {
    let pid = bench.property(AGENT, "MainPID")?;
    let status = Status::of(bench, &pid)?;
    same("its bound", &status.hex("CapBnd")?, &AGENT_CAPABILITIES)?;
    same("what it holds", &status.hex("CapEff")?, &AGENT_CAPABILITIES)?;
    same("ambient", &status.hex("CapAmb")?, &0)?;
    same("NoNewPrivs", &status.field("NoNewPrivs")?.as_str(), &"1")?;
    same("Seccomp", &status.field("Seccomp")?.as_str(), &"2")?;
    let mounts = fs::read_to_string(bench.machine()?.path(&format!("/proc/{pid}/mountinfo")))?;
    let writable: BTreeSet<&str> = mounts.lines().filter_map(writable).collect();
    // What else can be written is memory of its own, and devices that hold nothing.
    let own = ["/var/lib/coracle", "/run/coracle", "/run/systemd/system", "/tmp", "/var/tmp"];
    // Below /run/host lies what systemd-nspawn itself brings in.
    let known = |target: &&&str| {
        own.contains(*target)
            || **target == "/proc"
            || target.starts_with("/dev")
            || target.starts_with("/run/host/")
    };
    let others: Vec<&&str> = writable.iter().filter(|target| !known(target)).collect();
    same("other places that can be written", &others, &Vec::new())?;
    let inside = ["nsenter", "-t", pid.as_str(), "-m", "--", "sh", "-c"];
    for target in [
        "/usr/bin/x",
        "/etc/x",
        "/boot/x",
        "/run/x",
        "/var/log/x",
        "/proc/sys/vm/swappiness",
        "/sys/fs/cgroup/x",
    ] {
        let attempt = format!("if echo 1 2>&1 >{target}; then echo written; fi");
        let said = bench.run(&[&inside[..], &[attempt.as_str()]].concat())?;
        if said.contains("written") {
            return Err(io::Error::other(format!("{target} can be written within the sandbox")));
        }
    }
    Ok(format!(
        "bound {AGENT_CAPABILITIES:#x}, 7 capabilities; seven writes elsewhere refused; writable: {}",
        own.join(" ")
    ))
}

/// The place of a mount that can be written and is not the kernel's own.
fn writable(line: &str) -> Option<&str> {
    let (mount, _) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(4);
    let (target, options) = (fields.next()?, fields.next()?);
    options.split(',').any(|option| option == "rw").then_some(target)
}

fn unpacks(bench: &mut Bench) -> io::Result<String> {
    let mut nodes = tar::Builder::new(Vec::new());
    for (path, major, minor) in [("dev/null", 1, 3), ("dev/console", 5, 1), ("srv/chroot/random", 1, 8)] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Char);
        header.set_mode(0o666);
        header.set_size(0);
        header.set_device_major(major)?;
        header.set_device_minor(minor)?;
        nodes.append_data(&mut header, path, io::empty())?;
    }
    let archives = [lower()?, upper()?, nodes.into_inner()?];
    let script = "trap 'exit 0' TERM; stat -c '%n %a %u:%g %t:%T' /setuid /setgid /sticky /owned /srv/chroot/random; \
                  ls /etc /opaque; ls /gone 2>&1; echo told; sleep 100000 & wait";
    let image = bench.image_with("sample", script, &archives)?;
    let mut services = conditioned(bench)?;
    services["sample"] = json!({"image": image, "restart": "always"});
    bench.deploy(4, services)?;
    let told = bench.until("words of the workload", || {
        let said = bench.run(&["coracle", "logs", "sample"])?;
        Ok(said.contains("told").then_some(said))
    })?;
    for line in [
        "/setuid 4755 0:0 0:0",
        "/setgid 2755 0:0 0:0",
        "/sticky 1777 0:0 0:0",
        "/owned 640 1000:70000 0:0",
        "/srv/chroot/random 666 0:0 1:8",
    ] {
        if !told.lines().any(|said| said == line) {
            return Err(io::Error::other(format!("no {line:?} in {told}")));
        }
    }
    if told.lines().any(|line| ["removed", "hidden", "deep"].contains(&line))
        || !told.contains("/gone: No such file")
    {
        return Err(io::Error::other(format!("a whiteout does not hide: {told}")));
    }
    let store = bench.machine()?.path("/var/lib/coracle/layers");
    let capable = "find /var/lib/coracle/layers -name capable | wc -l";
    same("files with a capability", &bench.run(&["sh", "-c", capable])?.trim(), &"1")?;
    let layers = fs::read_dir(store)?.count();
    // The agent reads all of it as well, attributes of overlayfs included, and notes the time where nothing is wrong.
    let scrubbed = bench.machine()?.path("/var/lib/coracle/scrubbed");
    bench.run(&["sh", "-ec", "rm -f /var/lib/coracle/scrubbed; systemctl restart coracle.service"])?;
    bench.until("scrub by the agent", || Ok(scrubbed.exists().then_some(())))?;
    let said = bench.run(&["journalctl", "--no-pager", "-q", "-o", "cat", "-u", AGENT])?;
    if let Some(line) = said.lines().find(|line| line.contains("damaged")) {
        return Err(io::Error::other(format!("the agent finds fault: {line}")));
    }
    let verified = bench.run(&["coracle", "verify"])?;
    Ok(format!("{layers} layers; {}", verified.lines().last().unwrap_or_default()))
}

fn inherits_nothing(bench: &mut Bench) -> io::Result<String> {
    let (pid, _) = bench.process(WEB)?;
    let pid = pid.to_string();
    let status = Status::of(bench, &pid)?;
    same("its bound", &status.hex("CapBnd")?, &WORKLOAD_CAPABILITIES)?;
    same("what it holds", &status.hex("CapEff")?, &WORKLOAD_CAPABILITIES)?;
    same("NoNewPrivs", &status.field("NoNewPrivs")?.as_str(), &"0")?;
    // Its own profile, and not another one on top.
    same("Seccomp", &status.field("Seccomp")?.as_str(), &"2")?;
    same("filters", &status.filters()?, &(Status::of(bench, "1")?.filters()? + 1))?;
    let limits = |pid: &str| fs::read_to_string(bench.machine()?.path(&format!("/proc/{pid}/limits")));
    let plain = bench.run(&["systemd-run", "--quiet", "--wait", "--pipe", "cat", "/proc/self/limits"])?;
    same("limits", &limits(&pid)?, &plain)?;
    let mounts = fs::read_to_string(bench.machine()?.path(&format!("/proc/{pid}/mountinfo")))?;
    let shared: Vec<&str> = mounts.lines().filter(|line| line.contains(" shared:")).collect();
    same("shared mounts", &shared, &Vec::new())?;
    let proc = mounts.lines().find(|line| line.contains(" /proc rw"));
    if proc.is_none_or(|line| line.contains("hidepid")) {
        return Err(io::Error::other(format!("/proc of the workload is not its own: {mounts}")));
    }
    let shim = bench.property(&unit(WEB), "MainPID")?;
    let shim = Status::of(bench, &shim)?;
    same("NoNewPrivs of its shim", &shim.field("NoNewPrivs")?.as_str(), &"0")?;
    // The board itself may have some, as a container has.
    same("filters of its shim", &shim.filters()?, &Status::of(bench, "1")?.filters()?)?;
    let full =
        u64::from_str_radix(bench.run(&["sh", "-c", "sed -n 's/^CapBnd:\t//p' /proc/1/status"])?.trim(), 16);
    same("bound of its shim", &shim.hex("CapBnd")?, &full.map_err(io::Error::other)?)?;
    Ok(format!(
        "CapBnd {WORKLOAD_CAPABILITIES:#x}, NoNewPrivs 0, one filter, limits as of any unit, no shared mount"
    ))
}

fn commands(bench: &mut Bench) -> io::Result<String> {
    let told: Value = serde_json::from_str(&bench.run(&["coracle", "diag", "--json"])?)?;
    let found = |pointer: &str| {
        told.pointer(pointer)
            .or_else(|| told.pointer(&format!("/result{pointer}")))
            .cloned()
            .unwrap_or_default()
    };
    let checks = found("/checks");
    let checks = checks.as_array().filter(|checks| checks.len() > 10);
    let checks = checks.ok_or_else(|| io::Error::other(format!("no checks: {told}")))?;
    for name in ["overlayfs", "xattr", "namespaces", "seccomp", "runtime", "agent"] {
        let check = checks.iter().find(|check| check["name"] == name).cloned().unwrap_or_default();
        same(name, &check["verdict"], &json!("ok"))?;
    }
    if found("/board/mem/total").as_u64().is_none_or(|bytes| bytes == 0)
        || found("/disk/total").as_u64().is_none()
    {
        return Err(io::Error::other(format!("no telemetry: {told}")));
    }
    let agent = bench.property(AGENT, "MainPID")?;
    bench.run(&["systemctl", "reload", "coracle"])?;
    same("process after a reload", &bench.property(AGENT, "MainPID")?, &agent)?;
    let before = bench.process(WEB)?;
    bench.run(&["coracle", "restart", "web"])?;
    bench.until_workload(WEB, "running")?;
    if bench.process(WEB)? == before {
        return Err(io::Error::other("coracle restart changed nothing"));
    }
    same("exec", &bench.run(&["coracle", "exec", "web", "cat", "/name"])?.trim(), &"web")?;
    let board: Value =
        serde_json::from_str(&fs::read_to_string(bench.machine()?.path("/run/coracle/board.json"))?)?;
    let without: Value = serde_json::from_str(&bench.run(&["coracle", "platform", "--json"])?)?;
    let agent = found("/agent/platform");
    same("platform", &agent, &without["platforms"][0])?;
    let tried = &board["facts"]["probes"][0];
    same("what was tried", &tried["outcome"], &json!("ran"))?;
    same("for", &tried["platform"]["architecture"], &json!("386"))?;
    bench.run(&["coracle", "rollback", "--yes"])?;
    bench.until("board without what came with generation 4", || {
        let good = bench.property(AGENT, "StatusText")?.starts_with("generation 3 is good");
        Ok((good && bench.workload("site.sample")?.is_null()).then_some(()))
    })?;
    Ok(format!("{} checks, {agent} as from without, reload, restart, exec, roll back", checks.len()))
}

fn cleared(bench: &mut Bench) -> io::Result<String> {
    let mut services = conditioned(bench)?;
    services["once"] = json!({"image": bench.image("once", IDLE)?, "restart": "no"});
    bench.deploy(5, services)?;
    let id = "site.once";
    bench.run(&["systemctl", "kill", "-s", "KILL", "--kill-whom=main", &unit(id)])?;
    bench.until("end of its unit", || {
        Ok((bench.property(&unit(id), "ActiveState")? == "failed").then_some(()))
    })?;
    bench.deploy(6, conditioned(bench)?)?;
    same("its place", &bench.machine()?.path("/run/coracle/workloads/site.once").exists(), &false)?;
    same("its records", &bench.machine()?.path("/run/coracle/runtime/site.once").exists(), &false)?;
    let said = bench.run(&["journalctl", "--no-pager", "-q", "-o", "cat", "-u", "coracle-clear@*"])?;
    if !said.contains("Finished") {
        return Err(io::Error::other(format!("no unit cleared anything: {said:?}")));
    }
    Ok(said.lines().last().unwrap_or_default().to_owned())
}

fn direct(bench: &mut Bench) -> io::Result<String> {
    let config = "/etc/coracle/config.d/direct.toml";
    let make = format!("mkdir -p /etc/coracle/config.d; echo 'supervisor = \"direct\"' > {config}");
    let before = bench.process(WEB)?;
    bench.run(&["sh", "-ec", &make])?;
    bench.run(&["sh", "-c", "systemctl restart coracle.service || true"])?;
    let said = bench.run(&["journalctl", "--no-pager", "-q", "-o", "cat", "-u", AGENT, "-n", "20"])?;
    let line = said.lines().find(|line| line.contains("but this process is sandboxed"));
    let line = line.ok_or_else(|| io::Error::other(format!("no refusal in {said}")))?.to_owned();
    same("exit", &bench.property(AGENT, "ExecMainStatus")?.as_str(), &"78")?;
    let doctor: Value = serde_json::from_str(&bench.run(&["sh", "-c", "coracle doctor --json || true"])?)?;
    let check = doctor["checks"].as_array().into_iter().flatten().find(|check| check["name"] == "supervisor");
    same("doctor", &check.cloned().unwrap_or_default()["verdict"], &json!("fail"))?;
    let home = "/etc/systemd/system";
    let off = format!(
        "for unit in coracle coracle-boot; do mkdir -p {home}/$unit.service.d; \
         cp /usr/share/coracle/direct.conf {home}/$unit.service.d/; done; systemctl daemon-reload; \
         systemctl restart coracle.service"
    );
    bench.run(&["sh", "-ec", &off])?;
    let pid = bench.property(AGENT, "MainPID")?;
    let status = Status::of(bench, &pid)?;
    same("NoNewPrivs", &status.field("NoNewPrivs")?.as_str(), &"0")?;
    same("filters", &status.filters()?, &Status::of(bench, "1")?.filters()?)?;
    let full = Status::of(bench, "1")?.hex("CapBnd")?;
    same("bound", &status.hex("CapBnd")?, &full)?;
    let mut services = conditioned(bench)?;
    services["own"] = json!({"image": bench.image("own", IDLE)?, "restart": "no"});
    bench.deploy(7, services)?;
    let (pid, _) = bench.process("site.own")?;
    let workload = Status::of(bench, &pid.to_string())?;
    same("its bound", &workload.hex("CapBnd")?, &WORKLOAD_CAPABILITIES)?;
    same("its NoNewPrivs", &workload.field("NoNewPrivs")?.as_str(), &"0")?;
    same("filters", &workload.filters()?, &(Status::of(bench, "1")?.filters()? + 1))?;
    same("processes of the others", &bench.process(WEB)?, &before)?;
    // Back into the sandbox: it ends what it started without.
    let on = format!(
        "rm {config} {home}/coracle.service.d/direct.conf {home}/coracle-boot.service.d/direct.conf; \
                      systemctl daemon-reload; systemctl restart coracle.service"
    );
    bench.run(&["sh", "-ec", &on])?;
    bench.deploy(8, conditioned(bench)?)?;
    same("its place", &bench.machine()?.path("/run/coracle/workloads/site.own").exists(), &false)?;
    Ok(line.chars().take(120).collect())
}

/// A process's own account of itself.
struct Status(String);

impl Status {
    fn of(bench: &Bench, pid: &str) -> io::Result<Self> {
        fs::read_to_string(bench.machine()?.path(&format!("/proc/{pid}/status"))).map(Self)
    }

    fn field(&self, name: &str) -> io::Result<String> {
        let found = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        found.map(str::to_owned).ok_or_else(|| io::Error::other(format!("no {name} in {}", self.0)))
    }

    fn filters(&self) -> io::Result<u32> {
        self.field("Seccomp_filters")?.parse().map_err(io::Error::other)
    }

    fn hex(&self, name: &str) -> io::Result<u64> {
        u64::from_str_radix(&self.field(name)?, 16).map_err(io::Error::other)
    }
}
