//! Images pulled and unpacked by each binary, held against what the amd64 binary makes of them, and a session with a broker.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use coracle_test_support::agent::{Board, Settings};
use coracle_test_support::process::run;
use coracle_test_support::scratch::TempDir;
use coracle_test_support::tree::{Look, look};
use serde_json::Value;

use super::servers::{AWKWARD, BY_TOOLS, Servers};
use super::{Guest, Row};

/// Until an emulated agent has said where it stands.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the index has images for.
const OFFERED: [&str; 3] = ["linux/amd64", "linux/arm64", "linux/arm/v7"];
/// One of them, for a board that none of them fits.
const FOREIGN: &str = "linux/arm64";

/// The last second that 32 bits have, in 2038: what becomes of later ones where a C library counts so.
const LAST_OF_32_BITS: i64 = 0x7fff_ffff;

/// Two pulls, one that must not be, and a session.
pub fn rows(guest: &Guest<'_>, native: &Path, servers: &Servers) -> Vec<Row> {
    let over_tls = servers.with_tls.reference(BY_TOOLS);
    let awkward = servers.plain.reference(AWKWARD);
    vec![
        Row::new("pull over TLS", pulled(guest, native, servers, &over_tls)),
        Row::new("pull over a stranger's TLS", strange(guest, servers, &over_tls)),
        Row::new("pull of awkward layers", pulled(guest, native, servers, &awkward)),
        Row::new("session with a broker over TLS", session(guest, servers)),
    ]
}

/// What a pull came to: what it says of itself, and each layer as it lies on the disk.
#[derive(PartialEq)]
struct Pulled {
    manifest: Value,
    platform: Value,
    layers: Value,
    trees: BTreeMap<PathBuf, Look>,
}

fn pulled(guest: &Guest<'_>, native: &Path, servers: &Servers, reference: &str) -> io::Result<String> {
    let own = guest.target.platform.as_str();
    let dir = TempDir::new("guest");
    let script = guest.script(&dir)?;
    let ca = servers.with_tls.ca();
    let (mut ours, mut platform, mut first) = (pull(&script, servers, &ca, reference, &[]), own, "");
    if !OFFERED.contains(&own) {
        match ours {
            Err(error) if error.to_string().contains("no image for this board") => {}
            Err(error) => return Err(error),
            Ok(_) => return Err(io::Error::other("an image for another processor was taken")),
        }
        // It is told to take one that it cannot run: what is fetched and unpacked is its own doing all the same.
        (platform, first) = (FOREIGN, "refused until it is named: ");
        ours = pull(&script, servers, &ca, reference, &["--platform", FOREIGN]);
    }
    let (ours, mut theirs) = (ours?, pull(native, servers, &ca, reference, &["--platform", platform])?);
    let mut late = 0;
    if own.starts_with("linux/arm/") {
        for look in theirs.trees.values_mut().filter(|look| look.mtime.0 > LAST_OF_32_BITS) {
            look.mtime = (LAST_OF_32_BITS, 0);
            late += 1;
        }
    }
    if ours.platform != platform {
        return Err(io::Error::other(format!("the image for {} was taken", ours.platform)));
    }
    if ours.manifest != theirs.manifest || ours.layers != theirs.layers {
        return Err(io::Error::other(format!("{} and {} were taken", ours.manifest, theirs.manifest)));
    }
    let paths = ours.trees.keys().chain(theirs.trees.keys());
    if let Some(path) = paths.into_iter().find(|path| ours.trees.get(*path) != theirs.trees.get(*path)) {
        let [one, other] = [&ours, &theirs].map(|pulled| pulled.trees.get(path));
        return Err(io::Error::other(format!("{} is {one:?}, on amd64 {other:?}", path.display())));
    }
    let layers = ours.layers.as_array().map_or(0, Vec::len);
    let but = if late == 0 { String::new() } else { format!(", but for times after 2038: {late}") };
    Ok(format!(
        "{first}{platform}: {layers} layers, {} entries, as by the amd64 binary{but}",
        ours.trees.len()
    ))
}

/// The same with an authority that did not sign the registry's certificate.
fn strange(guest: &Guest<'_>, servers: &Servers, reference: &str) -> io::Result<String> {
    let dir = TempDir::new("guest");
    match pull(&guest.script(&dir)?, servers, &servers.dir.join("ca.crt"), reference, &[]) {
        Err(error) if error.to_string().contains("certificate") => {
            Ok("refused: nobody it knows signed the certificate".to_owned())
        }
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other("a certificate that nobody signed was taken")),
    }
}

fn pull(exe: &Path, servers: &Servers, ca: &Path, reference: &str, words: &[&str]) -> io::Result<Pulled> {
    let mut settings = Settings::new("emulated");
    settings.tables +=
        &format!("[registry]\nca_file = \"{}\"\ninsecure = [\"{}\"]\n", ca.display(), servers.plain.host());
    let board = Board::new(exe, &settings)?;
    let output = board.command(&[&["pull", "--json", reference], words].concat()).output()?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(io::Error::other(format!("{}: {}", output.status, complaint.trim())));
    }
    let said: Value = serde_json::from_slice(&output.stdout)?;
    let store = board.state_dir().join("layers");
    let mut trees = BTreeMap::new();
    for layer in std::fs::read_dir(&store)? {
        let name = PathBuf::from(layer?.file_name());
        // The folder's own time, and what lies beside the tree, are of the moment of the pull.
        let tree = look(&store.join(&name)).into_iter().filter(|(path, _)| path.components().count() > 1);
        trees.extend(tree.map(|(path, look)| (name.join(path), look)));
    }
    Ok(Pulled {
        manifest: said["manifest"].clone(),
        platform: said["platform"].clone(),
        layers: said["layers"].clone(),
        trees,
    })
}

fn session(guest: &Guest<'_>, servers: &Servers) -> io::Result<String> {
    let device = guest.target.triple.replace('_', "-");
    let (ca, port) = (servers.dir.join("ca.crt"), servers.broker_port);
    let mut settings = Settings::new(&device);
    settings.tables += &format!(
        "[broker]\nurl = \"mqtts://localhost:{port}\"\nca_file = \"{}\"\nfirst_connect_splay_seconds = 0\n",
        ca.display()
    );
    let dir = TempDir::new("guest");
    let mut board = Board::new(&guest.script(&dir)?, &settings)?;
    board.start()?;
    let topic = format!("coracle/v1/d/{device}/state");
    let mut hear = Command::new("mosquitto_sub");
    hear.args(["-V", "5", "-h", "localhost", "-p", &port.to_string(), "--cafile"]).arg(&ca);
    let seconds = PATIENCE.as_secs().to_string();
    hear.args(["-q", "1", "-C", "1", "-W", &seconds, "-t", &topic]);
    let heard = run(&mut hear);
    let complaint = board.agent().map(|agent| agent.output()).unwrap_or_default();
    board.stop()?;
    let heard = heard.map_err(|error| io::Error::other(format!("{error}; the agent said: {complaint}")))?;
    let state: Value = serde_json::from_str(&heard)?;
    // With what the processor has beyond that: `linux/amd64/v3`.
    match state["agent"]["platform"].as_str() {
        Some(said) if said.starts_with(&guest.target.platform) => Ok(format!("the state says {said}")),
        said => Err(io::Error::other(format!("{} says it is {said:?}", guest.target.platform))),
    }
}
