//! A broker, a registry and an operator's folder with the fleet's file; and boards of that fleet.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use coracle_test_support::agent::{Board, Settings};
use coracle_test_support::broker::{Broker, BrokerOptions};
use coracle_test_support::images::image::Pushed;
use coracle_test_support::images::{Arch, Form, Image, push_index};
use coracle_test_support::process::eventually;
use coracle_test_support::registry::Registry;
use serde_json::Value;

use crate::bench::Desk;

/// What anything may take here: most of it takes a second, but tests share a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The platforms of the fleet, and of its images.
pub(crate) const PLATFORMS: &[(&str, Option<&str>)] =
    &[("amd64", None), ("arm64", None), ("arm", Some("v7"))];

/// The real agent, built where this test's own tool was.
fn agent() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // The features that a test of the whole workspace has: then it is built already.
        let words = ["build", "--quiet", "--workspace", "--bin", "coracle"];
        cargo.args(words).current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(cargo.status().unwrap().success(), "the agent does not build");
    });
    Path::new(env!("CARGO_BIN_EXE_coraclectl")).with_file_name("coracle")
}

/// Where an operator works; alice and root have keys, and `trust.d/trust.json` says so.
pub(crate) struct Bed {
    pub(crate) broker: Broker,
    pub(crate) registry: Registry,
    pub(crate) desk: Desk,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self::with(BrokerOptions::default())
    }

    pub(crate) fn with(options: BrokerOptions) -> Self {
        let (broker, registry, desk) =
            (Broker::start(options).unwrap(), Registry::start().unwrap(), Desk::new());
        desk.key("alice", "ed25519");
        desk.key("root", "p256");
        desk.shell("mkdir trust.d");
        desk.good(&[
            "trust",
            "init",
            "--deploy",
            "alice.pub",
            "--root",
            "root.pub",
            "--out",
            "trust.d/trust.json",
        ]);
        desk.write(
            "coraclectl.toml",
            &format!(
                "platforms = [\"linux/amd64\", \"linux/arm64\", \"linux/arm/v7\"]\ntrust = \"trust.d/trust.json\"\n\
                 keys = [\"alice.key\"]\ndefault_network = \"host\"\n[broker]\nurl = {:?}\n[registry]\ninsecure = [{:?}]\n",
                broker.url(),
                registry.host()
            ),
        );
        Self { broker, registry, desk }
    }

    /// Puts an image that says its tag under `app:TAG`, for these platforms; the digest of its index.
    pub(crate) fn offer(&self, tag: &str, platforms: &[(&str, Option<&str>)]) -> String {
        let host = self.registry.host();
        // A process 1 has no default action for SIGTERM.
        let script = format!("trap 'exit 0' TERM; echo version {tag} $WORD; sleep 100000 & wait");
        let image = Image::busybox(Arch::Amd64, &["sh", "-c", &script]).unwrap();
        let push = |(architecture, variant): &(&str, Option<&str>)| {
            let (architecture, variant) = ((*architecture).to_owned(), variant.map(str::to_owned));
            Image { architecture, variant, ..image.clone() }.push(&host, "app", None, Form::Oci).unwrap()
        };
        let pushed = platforms.iter().map(push).collect::<Vec<Pushed>>();
        push_index(&host, "app", tag, &pushed, Form::Oci).unwrap()
    }

    /// Writes `site/compose.yaml` with these lines below its only service.
    pub(crate) fn compose(&self, image: &str, lines: &str) {
        let text = format!("services:\n  web:\n    image: {}/{image}\n{lines}", self.registry.host());
        self.desk.write("site/compose.yaml", &text);
    }

    /// A board of the fleet, with the keys of `trust.d` in its image; its agent runs.
    pub(crate) fn board(&self, device: &str) -> Board {
        let mut settings = Settings::new(device);
        settings.broker = Some(self.broker.url());
        settings.insecure = vec![self.registry.host()];
        settings.top = "default_network = \"host\"\n".to_owned();
        settings.tables = format!("[trust]\nkeys_dir = {:?}\n", self.desk.path("trust.d"));
        let mut board = Board::new(&agent(), &settings).unwrap();
        board.start().unwrap();
        board
    }

    /// The payload of what the broker keeps for `scope`, without a look at signatures.
    pub(crate) fn kept(&self, scope: &str) -> Option<Value> {
        let topic = format!("coracle/v1/{scope}/desired");
        let bytes = self.broker.retained(&topic).unwrap()?;
        let envelope: Value = serde_json::from_slice(&bytes).unwrap();
        self.desk.write("kept", envelope["payload"].as_str().unwrap());
        Some(serde_json::from_str(&self.desk.shell("base64 -d kept")).unwrap())
    }

    /// Waits for a state of the device that is `wanted`.
    #[track_caller]
    pub(crate) fn until_state(&self, device: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let topic = format!("coracle/v1/d/{device}/state");
        eventually(PATIENCE, || {
            let state = self.broker.retained(&topic).unwrap().unwrap_or_default();
            let state: Value = serde_json::from_slice(&state).unwrap_or_default();
            if wanted(&state) { Ok(state) } else { Err(format!("{state:#}")) }
        })
    }
}

/// Words of a command, those for alice's passphrase among them.
pub(crate) fn deploy<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [&["deploy", "--passphrase-file", "pass"], words].concat()
}
