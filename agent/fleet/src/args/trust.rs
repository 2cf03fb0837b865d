//! The words of `trust`.
// The words are the console's help, where brackets mean what may be left out.
#![allow(rustdoc::broken_intra_doc_links)]

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{BrokerArgs, Signing};

/// `coraclectl trust`.
#[derive(Debug, Args)]
pub(crate) struct Trust {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: TrustCommand,
}

/// What can be done about trust.
#[derive(Debug, Subcommand)]
pub(crate) enum TrustCommand {
    /// Make the first trust document of an image from public keys.
    Init(TrustInit),
    /// Make, sign and send the next trust document: keys come, keys go.
    Rotate(Box<TrustRotate>),
    /// Show who may sign what by a trust document.
    Show(TrustShow),
}

/// `coraclectl trust init`.
#[derive(Debug, Args)]
pub(crate) struct TrustInit {
    /// A public key that may deploy.
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) deploy: Vec<PathBuf>,
    /// A public key that may replace keys.
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) root: Vec<PathBuf>,
    /// How many keys have to sign a desired document.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) deploy_threshold: usize,
    /// How many keys have to sign a trust document.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) root_threshold: usize,
    /// Counts trust documents.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) counter: u64,
    /// Where it goes, for the image's `/usr/share/coracle/trust.d/trust.json`.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Write one JSON value instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `coraclectl trust rotate`.
#[derive(Debug, Args)]
pub(crate) struct TrustRotate {
    /// The trust document that counts now, as it lies in the image or as it was signed; the fleet file's where absent.
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
    /// A public key that may deploy from now on.
    #[arg(long, value_name = "FILE")]
    pub(crate) add_deploy: Vec<PathBuf>,
    /// A key that may no longer deploy: its id, the first digits of it, or its file.
    #[arg(long, value_name = "KEY")]
    pub(crate) remove_deploy: Vec<String>,
    /// A public key that may replace keys from now on.
    #[arg(long, value_name = "FILE")]
    pub(crate) add_root: Vec<PathBuf>,
    /// A key that may no longer replace keys.
    #[arg(long, value_name = "KEY")]
    pub(crate) remove_root: Vec<String>,
    /// How many keys have to sign a desired document; as before where absent.
    #[arg(long, value_name = "N")]
    pub(crate) deploy_threshold: Option<usize>,
    /// How many keys have to sign a trust document; as before where absent.
    #[arg(long, value_name = "N")]
    pub(crate) root_threshold: Option<usize>,
    /// Roots that sign, old and new.
    #[command(flatten)]
    pub(crate) signing: Signing,
    /// The broker.
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,
    /// Write the envelope to FILE; it is sent as well where a broker is given and enough have signed.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Write one JSON value instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `coraclectl trust show`.
#[derive(Debug, Args)]
pub(crate) struct TrustShow {
    /// The trust document, in its envelope or without one.
    #[arg(value_name = "FILE")]
    pub(crate) document: PathBuf,
    /// Write one JSON value instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}
