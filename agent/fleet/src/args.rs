//! The words of the command line.
// The words are the console's help, where brackets mean what may be left out.
#![allow(rustdoc::broken_intra_doc_links)]

mod deploy;
mod trust;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use deploy::{BrokerArgs, Deploy, Gen, PolicyArgs, Publish, RegistryArgs};
pub(crate) use trust::{Trust, TrustCommand, TrustInit, TrustRotate, TrustShow};

/// Said here, for the package's own description is another.
const ABOUT: &str = "Signs what boards are to run, and sends it to them.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "coraclectl", version, about = ABOUT, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// The fleet's file; `coraclectl.toml` where the command runs, where there is one.
    #[arg(long, global = true, value_name = "FILE", env = "CORACLECTL_FLEET", hide_env = true)]
    pub(crate) fleet: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a pair of keys: NAME.key under a passphrase, and NAME.pub for boards.
    Keygen(Keygen),
    /// Sign a document, or add a signature to an envelope.
    Sign(Sign),
    /// Say what a board would make of a signed document, and why.
    Verify(Verify),
    /// Sign what Compose files say and have boards run it: tags become digests, every platform is looked for.
    Deploy(Box<Deploy>),
    /// Send an envelope that was signed before.
    Publish(Publish),
    /// Make and replace the document that says whose signatures count.
    Trust(Trust),
    /// Write a completion script for a shell.
    Completions(Completions),
    /// Write the manual page, or all of them into a directory.
    Man(Man),
}

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyType {
    /// Ed25519.
    Ed25519,
    /// ECDSA on the curve P-256, which more hardware knows.
    P256,
}

/// `coraclectl keygen`.
#[derive(Debug, Args)]
pub(crate) struct Keygen {
    /// How the key signs.
    #[arg(long = "type", value_name = "TYPE", default_value = "ed25519")]
    pub(crate) kind: KeyType,
    /// Begin of the two names, NAME.key and NAME.pub; neither may be there.
    #[arg(long, value_name = "NAME")]
    pub(crate) out: PathBuf,
    /// Read the passphrase from the first line of FILE.
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Leave the key without a passphrase: whoever reads the file can sign.
    #[arg(long, conflicts_with = "passphrase_file")]
    pub(crate) no_passphrase: bool,
    /// Write one JSON value instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who signs.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Signing {
    /// Sign with the private key in FILE; several keys sign one after the other.
    #[arg(long = "key", value_name = "FILE")]
    pub(crate) keys: Vec<PathBuf>,
    /// Read the passphrase from the first line of FILE: one for all keys, or one for each `--key` in turn.
    #[arg(long = "passphrase-file", value_name = "FILE")]
    pub(crate) passphrase_files: Vec<PathBuf>,
    /// Have COMMAND sign: a shell runs it, it reads the bytes and writes the signature (raw, DER or base64).
    #[arg(long, value_name = "COMMAND", requires = "public_key")]
    pub(crate) signer: Option<String>,
    /// The public key of the signer's private one; its signature is held against it.
    #[arg(long, value_name = "FILE", requires = "signer")]
    pub(crate) public_key: Option<PathBuf>,
}

/// What the boards' configuration says where a document is silent.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Boards {
    /// The boards' `default_network`; without it, each service has to say its `network_mode`.
    #[arg(long, value_name = "MODE", value_enum)]
    pub(crate) default_network: Option<Network>,
    /// The boards have `accept_tags`: images without a digest are taken.
    #[arg(long)]
    pub(crate) accept_tags: bool,
}

/// A network that needs nothing of the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Network {
    /// The board's own.
    Host,
    /// None.
    None,
}

/// `coraclectl sign`.
#[derive(Debug, Args)]
pub(crate) struct Sign {
    /// A desired or trust document in JSON, or an envelope that is to have one signature more.
    #[arg(value_name = "FILE")]
    pub(crate) document: PathBuf,
    /// Who signs.
    #[command(flatten)]
    pub(crate) signing: Signing,
    /// What the boards say.
    #[command(flatten)]
    pub(crate) boards: Boards,
    /// Where the envelope goes; standard output where absent.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Write one JSON value about what was done instead of text; needs `--out`.
    #[arg(long, requires = "out")]
    pub(crate) json: bool,
}

/// `coraclectl verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The envelope.
    #[arg(value_name = "FILE")]
    pub(crate) envelope: PathBuf,
    /// A trust document, as it lies in the image or as it was signed.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "public_keys",
        required_unless_present = "public_keys"
    )]
    pub(crate) trust: Option<PathBuf>,
    /// A public key that may deploy; several are as several `*.pub` in the image.
    #[arg(long = "key", value_name = "FILE")]
    pub(crate) public_keys: Vec<PathBuf>,
    /// What the board can execute; where absent, whatever the document asks for.
    #[arg(long = "platform", value_name = "PLATFORM")]
    pub(crate) platforms: Vec<String>,
    /// What the boards say.
    #[command(flatten)]
    pub(crate) boards: Boards,
    /// Write one JSON value instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `coraclectl completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell.
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

/// `coraclectl man`.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write a page for each command into DIR; the command's own to standard output where absent.
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}
