//! Completions and manual pages, made from the definition of the command line.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Command;

/// Writes the completion script of a shell.
pub(crate) fn completions(
    shell: clap_complete::Shell,
    mut command: Command,
    out: &mut dyn Write,
) -> io::Result<()> {
    let name = command.get_name().to_owned();
    // The generator panics where writing fails (a closed pipe), so it writes into memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    out.write_all(&script)
}

/// Writes the page of the command itself.
pub(crate) fn page(command: Command, out: &mut dyn Write) -> io::Result<()> {
    clap_mangen::Man::new(command).render(out)
}

/// Writes a page for the command and one for each of its visible subcommands into `directory`; gives their paths.
pub(crate) fn pages(mut command: Command, directory: &Path) -> io::Result<Vec<PathBuf>> {
    command.build();
    std::fs::create_dir_all(directory)?;
    let name = command.get_name().to_owned();
    let mut written = Vec::new();
    let subcommands = command.get_subcommands().filter(|it| !it.is_hide_set() && it.get_name() != "help");
    let named = subcommands.map(|it| (format!("{name}-{}", it.get_name()), it.clone()));
    for (name, command) in std::iter::once((name.clone(), command.clone())).chain(named) {
        let path = directory.join(format!("{name}.1"));
        let mut text = Vec::new();
        // clap keeps names for the whole life of the program; a dozen short ones are no leak to speak of.
        let name: &str = String::leak(name);
        page(command.name(name), &mut text)?;
        std::fs::write(&path, text)?;
        written.push(path);
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap_complete::Shell;

    fn command() -> Command {
        Command::new("coracle")
            .about("Runs containers")
            .subcommand(Command::new("pull").about("Fetch an image").arg(clap::Arg::new("REF")))
            .subcommand(Command::new("shim").hide(true))
    }

    #[test]
    fn each_shell_gets_a_script_that_knows_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            completions(shell, command(), &mut script).unwrap();
            assert!(String::from_utf8(script).unwrap().contains("pull"), "{shell}");
        }
    }

    #[test]
    fn each_visible_command_gets_a_page() {
        let directory = std::env::temp_dir().join(format!("coracle-man-{}", std::process::id()));
        let pages = pages(command(), &directory).unwrap();
        let names: Vec<_> = pages.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["coracle.1", "coracle-pull.1"]);
        let text = std::fs::read_to_string(&pages[1]).unwrap();
        assert!(text.contains("Fetch an image") && text.contains("coracle\\-pull"), "{text}");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
