//! The words of the command line.
// The words are the console's help, where brackets mean what may be left out.
#![allow(rustdoc::broken_intra_doc_links)]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

mod run;

pub(super) use run::Run;

/// Said here, for the package's own description is another.
const ABOUT: &str = "Runs and updates containers on this board.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "coracle", version, about = ABOUT, arg_required_else_help = true)]
pub(super) struct Arguments {
    /// Read only FILE, and `config.d/` beside it.
    #[arg(long, global = true, value_name = "FILE", env = "CORACLE_CONFIG", hide_env = true)]
    pub(super) config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the agent: take desired state from the broker, update, report.
    Agent,
    /// Start what this board should run, without network or agent; systemd runs it at boot.
    Boot,
    /// Show what the agent is doing, and what runs.
    Status(Json),
    /// Approve of the update that waits for a person, or keep one that was left as it is.
    Confirm(Passage),
    /// Call the update off; what ran before it runs on, or comes back.
    Cancel(Passage),
    /// Try an update again that failed, was left as it is, rolled back or canceled.
    Retry(Passage),
    /// Bring back the good deployment before this one; images are in the store, no network is needed.
    Rollback(Rollback),
    /// Let no update go on here, or let them go on again.
    Hold(Hold),
    /// Show the updates that this board has seen, with their ends and reasons.
    History(Json),
    /// Have the agent report anew and look for documents again.
    Refresh(Json),
    /// Stop a workload, or all of a project, and start it as it was.
    Restart(Restart),
    /// Show all that the agent knows of the board, as JSON.
    Diag(Json),
    /// Say in plain words what the agent does, why it does not do more, and what helps.
    Why(Json),
    /// Say whether all is well, for programs that update the board's image: exit code 0, or 75 and what is lacking.
    Health(Health),
    /// Have the agent take a signed document from a file, as from the broker.
    Apply(Apply),
    /// Show whose documents this board believes, or replace the keys.
    Trust(Trust),
    /// Fetch, verify and unpack an image.
    Pull(Pull),
    /// Run an image, with docker's words.
    Run(Box<Run>),
    /// List workloads.
    Ps(Ps),
    /// Show what a workload wrote.
    Logs(Logs),
    /// Stop workloads; they stay listed until `rm`.
    Stop(Stop),
    /// Remove stopped workloads and their writable layers; volumes stay.
    Rm(Rm),
    /// Run another command in a running workload.
    Exec(Exec),
    /// Connect to a running workload's streams; ctrl-p ctrl-q leaves.
    Attach(Name),
    /// List images.
    Images(Images),
    /// Remove images and layers that no workload needs.
    Prune(Json),
    /// Check whether the store still holds what was put into it, and fetch again what it does not.
    Verify(Verify),
    /// Check whether this board has what containers need.
    Doctor(Doctor),
    /// Show what this board can execute, and why an image fits or does not.
    Platform(Platform),
    /// Check the configuration; show where each setting is from.
    CheckConfig(Json),
    /// Write a completion script for a shell.
    Completions(Completions),
    /// Write the manual page, or all of them into a directory.
    Man(Man),
}

/// `--json` alone.
#[derive(Debug, Args)]
pub(super) struct Json {
    /// Write one JSON value instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// A word on the update that is under way.
#[derive(Debug, Args)]
pub(super) struct Passage {
    /// Only if it is this generation's.
    #[arg(long, value_name = "NUMBER")]
    pub(super) generation: Option<u64>,
    /// Write one JSON value instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// `coracle rollback`.
#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// Do not ask.
    #[arg(short, long)]
    pub(super) yes: bool,
    /// Write one JSON value instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// `coracle hold`.
#[derive(Debug, Args)]
pub(super) struct Hold {
    /// Let updates go on again.
    #[arg(long, conflicts_with = "reason")]
    pub(super) release: bool,
    /// Why, for whoever asks what an update waits for.
    pub(super) reason: Option<String>,
    /// Write one JSON value instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// `coracle restart`.
#[derive(Debug, Args)]
pub(super) struct Restart {
    /// The workload, or the project.
    pub(super) name: String,
    /// Write one JSON value instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// `coracle health`.
#[derive(Debug, Args)]
pub(super) struct Health {
    /// Look again for so many seconds until all is well.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 0)]
    pub(super) wait: u64,
    /// Ask only whether no update is under way that a reboot would cut.
    #[arg(long, conflicts_with = "offline")]
    pub(super) settled: bool,
    /// Do not ask for the broker: the board may be offline.
    #[arg(long)]
    pub(super) offline: bool,
    /// Write one JSON value instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// `coracle apply`.
#[derive(Debug, Args)]
pub(super) struct Apply {
    /// The document in its envelope, as it would be published.
    pub(super) document: PathBuf,
    /// Stay until the update has succeeded or failed.
    #[arg(short, long)]
    pub(super) wait: bool,
    /// Write one JSON value instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// `coracle trust`.
#[derive(Debug, Args)]
pub(super) struct Trust {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: TrustCommand,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(super) enum TrustCommand {
    /// Show the keys, what each may sign, and where it is from.
    Show(Json),
    /// Have the agent take a trust document from a file, as from the broker.
    Install(Install),
    /// Show what the policy for images makes of an image: which requirement of which scope, and which key signed.
    Image(TrustImage),
}

/// `coracle trust image`.
#[derive(Debug, Args)]
pub(super) struct TrustImage {
    /// The image, e.g. `registry.example.com/app:1.4` or `…@sha256:…`.
    pub(super) reference: String,
    /// Write one JSON value instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// `coracle trust install`.
#[derive(Debug, Args)]
pub(super) struct Install {
    /// The trust document in its envelope.
    pub(super) document: PathBuf,
    /// Write one JSON value instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// `coracle pull`.
#[derive(Debug, Args)]
pub(super) struct Pull {
    /// The image, e.g. `nginx`, `registry.example.com/app:1.4` or `…@sha256:…`.
    pub(super) reference: String,
    /// Take the image for this OS/ARCH[/VARIANT].
    #[arg(long)]
    pub(super) platform: Option<String>,
    /// Only show what would be fetched and written, and whether the disk has room for it.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Take at most so many bytes a second over the link, for all layers together.
    #[arg(long, value_name = "BYTES")]
    pub(super) max_bps: Option<u64>,
    /// Do not slow down when workloads wait for processor, disk or memory.
    #[arg(long)]
    pub(super) full_speed: bool,
    /// Show no progress.
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Write one JSON value instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// `coracle ps`.
#[derive(Debug, Args)]
pub(super) struct Ps {
    /// Those that ended too.
    #[arg(short, long)]
    pub(super) all: bool,
    /// Write one JSON value instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// `coracle logs`.
#[derive(Debug, Args)]
pub(super) struct Logs {
    /// The workload.
    pub(super) name: String,
    /// Keep showing what comes.
    #[arg(short, long)]
    pub(super) follow: bool,
    /// Only the last lines.
    #[arg(short = 'n', long, value_name = "LINES")]
    pub(super) tail: Option<usize>,
    /// With the time of each line.
    #[arg(short, long)]
    pub(super) timestamps: bool,
    /// One JSON value a line, with time and stream.
    #[arg(long)]
    pub(super) json: bool,
}

/// `coracle stop`.
#[derive(Debug, Args)]
pub(super) struct Stop {
    /// The workloads.
    #[arg(required = true)]
    pub(super) names: Vec<String>,
}

/// `coracle rm`.
#[derive(Debug, Args)]
pub(super) struct Rm {
    /// The workloads.
    #[arg(required = true)]
    pub(super) names: Vec<String>,
    /// Stop running ones first.
    #[arg(short, long)]
    pub(super) force: bool,
}

/// `coracle exec`.
#[derive(Debug, Args)]
pub(super) struct Exec {
    /// Give it a terminal.
    #[arg(short, long)]
    pub(super) tty: bool,
    /// Keep standard input open.
    #[arg(short, long)]
    pub(super) interactive: bool,
    /// The workload.
    pub(super) name: String,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) command: Vec<String>,
}

/// One workload.
#[derive(Debug, Args)]
pub(super) struct Name {
    /// The workload.
    pub(super) name: String,
}

/// `coracle verify`.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Only these images, or layers by the first digits of their diff IDs.
    #[arg(value_name = "REF|LAYER")]
    pub(super) names: Vec<String>,
    /// Fetch what is damaged again, and nothing else.
    #[arg(long)]
    pub(super) repair: bool,
    /// Take layers that have no list, unpacked by earlier versions, for damaged.
    #[arg(long)]
    pub(super) unlisted: bool,
    /// Restart workloads that still run on a damaged copy of what was repaired.
    #[arg(long)]
    pub(super) restart: bool,
    /// Write one JSON value instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// `coracle images`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Images {
    /// What to do with one; lists them all without it.
    #[command(subcommand)]
    pub(super) change: Option<ChangeImage>,
    /// Write one JSON value instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// What people say of an image.
#[derive(Debug, Subcommand)]
pub(super) enum ChangeImage {
    /// Keep an image although nothing runs it, whatever is removed to make room.
    Pin(ImageName),
    /// Let a pinned image go with the others once nothing needs it.
    Unpin(ImageName),
}

/// An image.
#[derive(Debug, Args)]
pub(super) struct ImageName {
    /// Its reference, as `coracle images` shows it or as it was pulled.
    pub(super) reference: String,
}

/// `coracle doctor`.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Registries to reach for, beside those that the configuration names.
    #[arg(long, value_name = "HOST")]
    pub(super) registry: Vec<String>,
    /// Write one JSON value instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// `coracle platform`.
#[derive(Debug, Args)]
pub(super) struct Platform {
    /// Show each entry of this image's index and why it was taken or passed over.
    #[arg(long, value_name = "REFERENCE")]
    pub(super) explain: Option<String>,
    /// Write one JSON value instead of text.
    #[arg(long)]
    pub(super) json: bool,
    /// Keep what was found out for the agent, whose sandbox would hide some of it.
    #[arg(long, hide = true, conflicts_with_all = ["explain", "json"])]
    pub(super) save: bool,
}

/// `coracle completions`.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// bash, elvish, fish, powershell or zsh.
    pub(super) shell: clap_complete::Shell,
}

/// `coracle man`.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// Write a page for each command into this directory.
    pub(super) directory: Option<PathBuf>,
}

#[cfg(test)]
mod tests;
