//! The operator of the demonstration: a key, a Compose file, and `coraclectl`, as the README shows them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use coracle_test_support::images::Arch;
use coracle_test_support::process::run;
use coracle_test_support::scratch::TempDir;

/// Who has the key that the board believes.
const NAME: &str = "alice";

/// An operator's folder, and what is the same in all of the operator's commands.
pub struct Operator {
    tool: PathBuf,
    /// Ends with this value, and the key with it.
    dir: TempDir,
    scope: String,
    broker: String,
    registry: String,
}

impl Operator {
    /// Makes a pair of keys for whoever deploys to `device`.
    pub fn new(tool: &Path, device: &str, broker: &str, registry: &str) -> io::Result<Self> {
        let dir = TempDir::new("operator");
        fs::create_dir(dir.join("site"))?;
        fs::create_dir(dir.join("trust.d"))?;
        let operator = Self {
            tool: tool.into(),
            dir,
            scope: format!("d/{device}"),
            broker: broker.into(),
            registry: registry.into(),
        };
        // On a machine of yours it has a passphrase; nobody is here to be asked for one.
        operator.run(&["keygen", "--out", NAME, "--no-passphrase"])?;
        let public = format!("{NAME}.pub");
        fs::rename(operator.dir.join(&public), operator.keys().join(&public))?;
        Ok(operator)
    }

    /// The folder of public keys, as it belongs into a board's image.
    pub fn keys(&self) -> PathBuf {
        self.dir.join("trust.d")
    }

    /// Signs and sends: run this image, by its tag.
    pub fn deploy(&self, generation: u64, image: &str) -> io::Result<String> {
        let compose =
            format!("services:\n  web:\n    image: {}/{image}\n    restart: unless-stopped\n", self.registry);
        fs::write(self.dir.join("site/compose.yaml"), compose)?;
        self.send(&["site/compose.yaml"], generation)
    }

    /// Signs and sends: run nothing.
    pub fn deploy_nothing(&self, generation: u64) -> io::Result<String> {
        self.send(&["--nothing"], generation)
    }

    /// Hands back the words that were new, as a person would write them.
    fn send(&self, what: &[&str], generation: u64) -> io::Result<String> {
        let generation = generation.to_string();
        let key = format!("{NAME}.key");
        let shown =
            [&["deploy"], what, &["--scope", &self.scope, "--gen", &generation, "--key", &key]].concat();
        let mut words = shown.clone();
        let platforms = Arch::ALL.map(Arch::platform);
        words.extend(platforms.iter().flat_map(|platform| ["--platform", platform.as_str()]));
        words.extend(["--default-network", "host", "--broker", &self.broker]);
        words.extend(["--insecure-registry", &self.registry]);
        // Short: whoever watches wants to see the end.
        words.extend(["--health", "30s", "--soak", "1s"]);
        self.run(&words)?;
        Ok(format!("coraclectl {}", shown.join(" ")))
    }

    fn run(&self, words: &[&str]) -> io::Result<String> {
        run(Command::new(&self.tool).args(words).current_dir(&*self.dir))
    }
}
