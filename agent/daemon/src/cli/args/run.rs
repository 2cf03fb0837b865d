//! `coracle run`: docker's words, one by one.

use std::path::PathBuf;

use clap::Args;

/// `coracle run`; the words are docker's, so that a line written for it works here.
#[derive(Debug, Default, Args)]
#[command(
    disable_help_flag = true,
    override_usage = "coracle run [OPTIONS] --network <host|none> IMAGE [COMMAND [ARGUMENT]...]"
)]
pub(in crate::cli) struct Run {
    /// Leave it in the background and print its name.
    #[arg(short, long)]
    pub(in crate::cli) detach: bool,
    /// Keep standard input open.
    #[arg(short, long)]
    pub(in crate::cli) interactive: bool,
    /// Give it a terminal.
    #[arg(short, long)]
    pub(in crate::cli) tty: bool,
    /// Name of the workload; else made from the image's.
    #[arg(long)]
    pub(in crate::cli) name: Option<String>,
    /// `host` (the board's) or `none`; or set default_network.
    #[arg(long, visible_alias = "net", value_name = "MODE")]
    pub(in crate::cli) network: Option<String>,
    /// The root file system cannot be written.
    #[arg(long)]
    pub(in crate::cli) read_only: bool,
    /// Mount memory: PATH[:OPTIONS].
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) tmpfs: Vec<String>,
    /// Mount a path or a volume: SOURCE:TARGET[:ro].
    #[arg(short, long, value_name = "MOUNT")]
    pub(in crate::cli) volume: Vec<String>,
    /// Add a line to /etc/hosts: NAME:ADDRESS.
    #[arg(long, value_name = "NAME:ADDRESS")]
    pub(in crate::cli) add_host: Vec<String>,
    /// Name servers.
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) dns: Vec<String>,
    /// Set a variable; NAME alone passes this shell's.
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(in crate::cli) env: Vec<String>,
    /// Read variables from a file, one NAME=VALUE a line.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) env_file: Vec<PathBuf>,
    /// Working directory.
    #[arg(short, long, value_name = "PATH")]
    pub(in crate::cli) workdir: Option<String>,
    /// USER[:GROUP], names or numbers.
    #[arg(short, long)]
    pub(in crate::cli) user: Option<String>,
    /// Host name.
    #[arg(short = 'h', long, value_name = "NAME")]
    pub(in crate::cli) hostname: Option<String>,
    /// Replace the image's entry point.
    #[arg(long, value_name = "COMMAND")]
    pub(in crate::cli) entrypoint: Option<String>,
    /// no, always, unless-stopped or on-failure[:N].
    #[arg(long, value_name = "POLICY")]
    pub(in crate::cli) restart: Option<String>,
    /// Limit of memory, e.g. 64m.
    #[arg(short, long, value_name = "BYTES")]
    pub(in crate::cli) memory: Option<String>,
    /// Limit of processors, e.g. 0.5.
    #[arg(long, value_name = "NUMBER")]
    pub(in crate::cli) cpus: Option<String>,
    /// Limit of processes and threads; -1 for none.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(in crate::cli) pids_limit: Option<i64>,
    /// Add a capability.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) cap_add: Vec<String>,
    /// Take a capability away.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) cap_drop: Vec<String>,
    /// All capabilities and devices, no seccomp.
    #[arg(long)]
    pub(in crate::cli) privileged: bool,
    /// no-new-privileges or seccomp=unconfined.
    #[arg(long, value_name = "OPTION")]
    pub(in crate::cli) security_opt: Vec<String>,
    /// A device of the board: PATH[:TARGET[:rwm]].
    #[arg(long, value_name = "DEVICE")]
    pub(in crate::cli) device: Vec<String>,
    /// A resource limit: NAME=SOFT[:HARD].
    #[arg(long, value_name = "LIMIT")]
    pub(in crate::cli) ulimit: Vec<String>,
    /// A kernel setting: NAME=VALUE.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(in crate::cli) sysctl: Vec<String>,
    /// A label: NAME=VALUE.
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(in crate::cli) label: Vec<String>,
    /// Signal that asks it to end.
    #[arg(long, value_name = "SIGNAL")]
    pub(in crate::cli) stop_signal: Option<String>,
    /// Seconds from that signal to SIGKILL.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub(in crate::cli) stop_timeout: Option<u64>,
    /// Remove it when it ends; only in the foreground.
    #[arg(long)]
    pub(in crate::cli) rm: bool,
    /// Take the image for this OS/ARCH[/VARIANT].
    #[arg(long)]
    pub(in crate::cli) platform: Option<String>,
    /// always, missing (the default) or never.
    #[arg(long, value_name = "WHEN")]
    pub(in crate::cli) pull: Option<String>,
    /// Publish a port: not built yet, refused with a hint.
    #[arg(short, long, value_name = "PORT", hide = true)]
    pub(in crate::cli) publish: Vec<String>,
    /// Show this help.
    #[arg(long, action = clap::ArgAction::Help)]
    pub(in crate::cli) help: Option<bool>,
    /// The image, then the command and its arguments.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "IMAGE [COMMAND]"
    )]
    pub(in crate::cli) words: Vec<String>,
}
