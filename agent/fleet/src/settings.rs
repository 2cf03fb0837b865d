//! The fleet's file, `coraclectl.toml`, and what the command line says over it.
//!
//! Paths in it are taken from where it lies.

use std::path::{Path, PathBuf};

use coracle_core::oci::Platform;
use coracle_host::console::exit::{Exit, Failure};
use coracle_host::files;
use serde::Deserialize;

use crate::args::{Boards, BrokerArgs, Network, RegistryArgs, Signing};

/// The file that is looked for where the command runs.
const NAME: &str = "coraclectl.toml";
/// Bytes of it.
const BYTES_MAX: u64 = 64 << 10;
/// Start of every topic, where nobody says another.
const ROOT: &str = "coracle/v1";

/// What a fleet has in common.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Fleet {
    /// What its boards execute.
    pub(crate) platforms: Vec<String>,
    /// Whom its boards believe.
    pub(crate) trust: Option<PathBuf>,
    /// Keys that sign, where the command names none.
    pub(crate) keys: Vec<PathBuf>,
    /// The boards' own setting of this name.
    default_network: Option<Network>,
    /// Its broker.
    broker: BrokerFile,
    /// Its registries.
    registry: RegistryFile,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BrokerFile {
    url: Option<String>,
    root: Option<String>,
    protocol: Option<String>,
    username: Option<String>,
    password_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RegistryFile {
    insecure: Vec<String>,
    auth_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    certs_dir: Option<PathBuf>,
}

impl Fleet {
    /// Reads `asked`, or the file of the usual name where there is one.
    pub(crate) fn load(asked: Option<&Path>) -> Result<Self, Failure> {
        let path = asked.unwrap_or(Path::new(NAME));
        if asked.is_none() && !path.exists() {
            return Ok(Self::default());
        }
        let wrong = |why: &dyn std::fmt::Display| Failure {
            exit: Exit::Configuration,
            message: format!("{}: {why}", path.display()),
        };
        let bytes = files::read_needed(path, BYTES_MAX).map_err(|error| wrong(&error))?;
        let text = String::from_utf8(bytes).map_err(|_| wrong(&"it is not text"))?;
        let mut fleet: Self = toml::from_str(&text).map_err(|error| wrong(&error))?;
        fleet.place(path.parent().unwrap_or(Path::new("")));
        Ok(fleet)
    }

    fn place(&mut self, dir: &Path) {
        let Self { trust, keys, broker, registry, .. } = self;
        let alone = [
            trust,
            &mut broker.password_file,
            &mut broker.ca_file,
            &mut broker.cert_file,
            &mut broker.key_file,
            &mut registry.auth_file,
            &mut registry.ca_file,
            &mut registry.certs_dir,
        ];
        for path in alone.into_iter().flatten().chain(keys) {
            *path = dir.join(&path);
        }
    }

    /// Who signs.
    pub(crate) fn signing(&self, args: &Signing) -> Signing {
        let mut signing = args.clone();
        if signing.keys.is_empty() && signing.signer.is_none() {
            signing.keys.clone_from(&self.keys);
        }
        signing
    }

    /// What the boards say.
    pub(crate) fn boards(&self, args: Boards) -> Boards {
        Boards { default_network: args.default_network.or(self.default_network), ..args }
    }

    /// What the boards execute.
    pub(crate) fn platforms(&self, args: &[String]) -> Result<Vec<Platform>, Failure> {
        let texts = if args.is_empty() { &self.platforms } else { args };
        let parse = |text: &String| Platform::parse(text).map_err(|error| Failure::usage(error.to_string()));
        texts.iter().map(parse).collect()
    }

    /// The broker, where there is one.
    pub(crate) fn broker(&self, args: &BrokerArgs) -> Option<BrokerArgs> {
        let file = &self.broker;
        let url = args.broker.clone().or_else(|| file.url.clone())?;
        Some(BrokerArgs {
            broker: Some(url),
            root: Some(args.root.clone().or_else(|| file.root.clone()).unwrap_or_else(|| ROOT.to_owned())),
            mqtt: args.mqtt.clone().or_else(|| file.protocol.clone()),
            username: args.username.clone().or_else(|| file.username.clone()),
            password_file: args.password_file.clone().or_else(|| file.password_file.clone()),
            ca_file: args.ca_file.clone().or_else(|| file.ca_file.clone()),
            cert_file: args.cert_file.clone().or_else(|| file.cert_file.clone()),
            key_file: args.key_file.clone().or_else(|| file.key_file.clone()),
        })
    }

    /// The registries.
    pub(crate) fn registry(&self, args: &RegistryArgs) -> RegistryArgs {
        let file = &self.registry;
        RegistryArgs {
            insecure: args.insecure.iter().chain(&file.insecure).cloned().collect(),
            auth_file: args.auth_file.clone().or_else(|| file.auth_file.clone()),
            registry_ca: args.registry_ca.clone().or_else(|| file.ca_file.clone()),
            certs_dir: args.certs_dir.clone().or_else(|| file.certs_dir.clone()),
        }
    }
}
