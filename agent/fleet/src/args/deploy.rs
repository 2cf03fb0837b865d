//! The words of `deploy` and `publish`, and those that say where a broker and registries are.
// The words are the console's help, where brackets mean what may be left out.
#![allow(rustdoc::broken_intra_doc_links)]

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Network, Signing};
use crate::policy::seconds;

/// How a broker is reached.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Broker")]
pub(crate) struct BrokerArgs {
    /// The broker, `mqtt://host[:port]` or `mqtts://host[:port]`.
    #[arg(long, value_name = "URL")]
    pub(crate) broker: Option<String>,
    /// Start of every topic; `coracle/v1` where nobody says another.
    #[arg(long, value_name = "ROOT")]
    pub(crate) root: Option<String>,
    /// Which MQTT: 5, or 3.1.1.
    #[arg(long, value_name = "VERSION")]
    pub(crate) mqtt: Option<String>,
    /// User name.
    #[arg(long, value_name = "NAME")]
    pub(crate) username: Option<String>,
    /// Holds the password, on one line.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// The authorities that may vouch for the broker, in PEM; the system's where absent.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// This client's certificate, in PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) cert_file: Option<PathBuf>,
    /// Its private key, in PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

/// How registries are reached.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Registry")]
pub(crate) struct RegistryArgs {
    /// A registry (`host[:port]`) reached over plain HTTP.
    #[arg(long = "insecure-registry", value_name = "HOST")]
    pub(crate) insecure: Vec<String>,
    /// The only file credentials come from; those of podman and docker where absent.
    #[arg(long = "registry-auth-file", value_name = "FILE")]
    pub(crate) auth_file: Option<PathBuf>,
    /// The authorities that may vouch for registries, in PEM; the system's where absent.
    #[arg(long, value_name = "FILE")]
    pub(crate) registry_ca: Option<PathBuf>,
    /// A folder `host[:port]/` for each registry, with its authority.
    #[arg(long = "registry-certs-dir", value_name = "DIR")]
    pub(crate) certs_dir: Option<PathBuf>,
}

/// When boards may take it, and what a failure calls for; where nothing is said, the boards' own defaults hold.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Policy")]
pub(crate) struct PolicyArgs {
    /// How boards pass: soft obeys gates, force ignores them, download stages only, confirm waits for a person.
    #[arg(long, value_enum)]
    pub(crate) mode: Option<Mode>,
    /// Rank among the groups of a device.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) priority: Option<i64>,
    /// Share of the devices, 0 to 100 with two decimals at most.
    #[arg(long, value_name = "N")]
    pub(crate) percent: Option<String>,
    /// What orders the devices; the document's id, and with `--gen same` that of before.
    #[arg(long, value_name = "TEXT")]
    pub(crate) seed: Option<String>,
    /// Devices begin spread over this long.
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    pub(crate) spread: Option<u64>,
    /// A window in which boards may switch: "[Sat,Sun] 23:30 60m [Europe/Berlin]"; several are alternatives.
    #[arg(long = "window", value_name = "WINDOW")]
    pub(crate) windows: Vec<String>,
    /// Images may be fetched outside windows.
    #[arg(long)]
    pub(crate) download_any_time: bool,
    /// Bytes a second that a board's download may take.
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_bps: Option<u64>,
    /// Nothing begins before that long from now.
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    pub(crate) not_before: Option<u64>,
    /// After that long from now no gate holds it back.
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    pub(crate) deadline: Option<u64>,
    /// How long services may take to become healthy.
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    pub(crate) health: Option<u64>,
    /// How long they have to stay healthy before it counts.
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    pub(crate) soak: Option<u64>,
    /// How often a board tries.
    #[arg(long, value_name = "N")]
    pub(crate) attempts: Option<u64>,
    /// What a failure calls for.
    #[arg(long, value_enum)]
    pub(crate) on_failure: Option<OnFailure>,
    /// Everything waits until a later revision lets it go.
    #[arg(long)]
    pub(crate) hold: bool,
}

/// See [`PolicyArgs::mode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Obeys gates.
    Soft,
    /// Ignores windows, percent and spread.
    Force,
    /// Stages, and does not switch.
    Download,
    /// Waits for a person's word.
    Confirm,
}

impl Mode {
    /// As a document has it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Soft => "soft",
            Self::Force => "force",
            Self::Download => "download",
            Self::Confirm => "confirm",
        }
    }
}

/// See [`PolicyArgs::on_failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnFailure {
    /// What was good before comes back.
    Rollback,
    /// What failed is left for a person to look at.
    Pause,
}

impl OnFailure {
    /// As a document has it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Pause => "pause",
        }
    }
}

/// The generation of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gen {
    /// The one after what is retained.
    Auto,
    /// The retained one, in a later revision: other policy, the same content.
    Same,
    /// This one.
    Number(u64),
}

fn generation(text: &str) -> Result<Gen, String> {
    match text {
        "auto" => Ok(Gen::Auto),
        "same" => Ok(Gen::Same),
        number => {
            number.parse().map(Gen::Number).map_err(|_| "a generation is a number, auto or same".to_owned())
        }
    }
}

/// `coraclectl deploy`.
#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// Compose files, each a project of its own.
    #[arg(value_name = "COMPOSE", required_unless_present = "nothing")]
    pub(crate) files: Vec<PathBuf>,
    /// Have boards run nothing: everything that documents brought goes.
    #[arg(long, conflicts_with = "files")]
    pub(crate) nothing: bool,
    /// Whom it is for: `d/DEVICE` or `g/GROUP`.
    #[arg(long, value_name = "SCOPE")]
    pub(crate) scope: String,
    /// Counts content: a number, `auto` for the one after what the broker keeps, `same` for a change of policy alone.
    #[arg(long = "gen", value_name = "N", default_value = "auto", value_parser = generation)]
    pub(crate) generation: Gen,
    /// Counts policy; 0 for a new generation, one more with `--gen same`.
    #[arg(long, value_name = "N")]
    pub(crate) rev: Option<u64>,
    /// The project's name; the file's own or its folder's where absent.
    #[arg(long, value_name = "NAME")]
    pub(crate) project: Option<String>,
    /// Variables for the Compose files, instead of the `.env` beside each.
    #[arg(long = "env-file", value_name = "FILE")]
    pub(crate) env_files: Vec<PathBuf>,
    /// A platform that every image has to be there for; the fleet file's where absent.
    #[arg(long = "platform", value_name = "PLATFORM")]
    pub(crate) platforms: Vec<String>,
    /// The boards' `default_network`; without it, each service has to say its `network_mode`.
    #[arg(long, value_name = "MODE", value_enum)]
    pub(crate) default_network: Option<Network>,
    /// From when on it is no longer begun, as 30d from now; never where absent.
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    pub(crate) exp: Option<u64>,
    /// Agents that take it, as `>=0.1, <2`.
    #[arg(long = "requires-agent", value_name = "VERSIONS")]
    pub(crate) agent: Option<String>,
    /// Bytes that a board's disk needs free.
    #[arg(long = "requires-free-bytes", value_name = "BYTES")]
    pub(crate) free_bytes: Option<u64>,
    /// When boards may take it.
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
    /// Who signs.
    #[command(flatten)]
    pub(crate) signing: Signing,
    /// The trust document of the boards: what is retained is held against it, and what is to be sent.
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
    /// The broker.
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,
    /// The registries.
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// Write the envelope to FILE instead of sending it.
    #[arg(long, value_name = "FILE", conflicts_with = "wait")]
    pub(crate) out: Option<PathBuf>,
    /// Show the document and what it changes; nothing is signed or sent.
    #[arg(long, conflicts_with_all = ["out", "wait"])]
    pub(crate) dry_run: bool,
    /// Stay until the device says how it ended; for a scope `d/DEVICE`.
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to stay.
    #[arg(long, value_name = "DURATION", value_parser = seconds, default_value = "30m")]
    pub(crate) patience: u64,
    /// Write one JSON value instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `coraclectl publish`.
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The envelope, of a desired or a trust document.
    #[arg(value_name = "FILE")]
    pub(crate) envelope: PathBuf,
    /// The trust document of the boards; the fleet file's where absent.
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
    /// The broker.
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,
    /// Write one JSON value instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}
