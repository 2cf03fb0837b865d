//! What the binaries speak with: a registry and a broker with TLS, and a registry with awkward layers.

use std::fs;
use std::io;
use std::process::Command;

use coracle_test_support::images::image::{Form, push_index};
use coracle_test_support::images::layer::{Layer, Packing, header};
use coracle_test_support::images::tools::{Content, publish};
use coracle_test_support::images::{Arch, Image, sample};
use coracle_test_support::process::{Running, free_port};
use coracle_test_support::registry::{Asks, Registry, certificate};
use coracle_test_support::scratch::TempDir;

/// An image of foreign tools for three platforms, on the registry with TLS.
pub const BY_TOOLS: &str = "emulated/by-tools:1";
/// An image whose layers have everything that unpacking has to get right, on the one without.
pub const AWKWARD: &str = "emulated/awkward:1";
/// A file's time in 2100: more seconds than 32 bits have.
const LATE: u64 = 4_102_444_800;

/// All of them; they end with this value.
pub struct Servers {
    pub with_tls: Registry,
    pub plain: Registry,
    pub broker_port: u16,
    _broker: Running,
    pub dir: TempDir,
}

impl Servers {
    /// Starts them and pushes the images.
    pub fn start() -> io::Result<Self> {
        let with_tls = Registry::start_asking(Asks { tls: true, ..Asks::default() })?;
        let content = |arch: Arch| Content {
            command: vec!["uname".into(), "-m".into()],
            files: vec![("/etc/platform".into(), arch.platform())],
        };
        publish(&with_tls.host(), BY_TOOLS, Form::Oci, &Arch::ALL, content)?;
        let plain = Registry::start()?;
        push_awkward(&plain.host())?;
        let dir = TempDir::new("emulated");
        certificate(&dir)?;
        let (at, broker_port) = (dir.display(), free_port());
        let settings = format!(
            "listener {broker_port} 127.0.0.1\nuser root\npersistence false\nallow_anonymous true\n\
             cafile {at}/ca.crt\ncertfile {at}/server.crt\nkeyfile {at}/server.key\n"
        );
        fs::write(dir.join("mosquitto.conf"), settings)?;
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(dir.join("mosquitto.conf"));
        let mut broker = Running::start("mosquitto", &mut command, &dir.join("mosquitto.log"))?;
        broker.until_answering(([127, 0, 0, 1], broker_port).into())?;
        Ok(Self { with_tls, plain, broker_port, _broker: broker, dir })
    }
}

fn push_awkward(host: &str) -> io::Result<()> {
    let (repository, tag) = AWKWARD.split_once(':').unwrap_or((AWKWARD, "latest"));
    let mut images = Vec::new();
    for arch in Arch::ALL {
        let mut late = tar::Builder::new(Vec::new());
        let text = arch.platform();
        let mut of_2100 = header(tar::EntryType::Regular, 0o644);
        of_2100.set_mtime(LATE);
        of_2100.set_size(text.len() as u64);
        late.append_data(&mut of_2100, "of-2100", text.as_bytes())?;
        let archives = [sample::lower()?, sample::upper()?, late.into_inner()?];
        let layers = archives.iter().map(|archive| Layer::pack(archive, Packing::Gzip));
        let image = Image::new(arch, layers.collect::<io::Result<_>>()?, &["true"]);
        images.push(image.push(host, repository, None, Form::Oci)?);
    }
    push_index(host, repository, tag, &images, Form::Oci).map(drop)
}
