//! The files of a release, as they lie on a board: the binary, all that is below `systemd/`, manual pages and completions
//! as the program itself writes them, documents. Modes are set here, whatever this machine's umask is.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use coracle_test_support::process::run;

use super::Release;
use crate::setup;

const MAN: &str = "usr/share/man/man1";
const DOCS: &str = "usr/share/doc/coracle";
/// Shells, and where each looks for completions.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/coracle"),
    ("zsh", "usr/share/zsh/vendor-completions/_coracle"),
    ("fish", "usr/share/fish/vendor_completions.d/coracle.fish"),
];

/// Makes the tree in `root`.
pub fn gather(release: &Release<'_>, root: &Path) -> io::Result<()> {
    let source = setup::root()?;
    for folder in ["usr/bin", MAN, DOCS] {
        fs::create_dir_all(root.join(folder))?;
    }
    run(Command::new("cp").arg("-rT").arg(source.join("systemd")).arg(root))?;
    fs::copy(release.exe, root.join("usr/bin/coracle"))?;
    // Of this machine's own build: the words are the same for every target.
    let host = setup::agent()?;
    run(Command::new(&host).arg("man").arg(root.join(MAN)))?;
    for (shell, place) in COMPLETIONS {
        let path = root.join(place);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(path, run(Command::new(&host).args(["completions", shell]))?)?;
    }
    for page in setup::files(&source.join("agent/docs"), ".md")? {
        let name = page.file_name().unwrap_or_default();
        // Decisions are for people who change the agent.
        if page.parent().is_some_and(|folder| folder.ends_with("docs")) {
            fs::copy(&page, root.join(DOCS).join(name))?;
        }
    }
    fs::copy(source.join("CHANGELOG.md"), root.join(DOCS).join("CHANGELOG.md"))?;
    fs::write(root.join(DOCS).join("copyright"), copyright(&source)?)?;
    compress(root)?;
    modes(root)
}

/// The licenses, in Debian's form.
fn copyright(source: &Path) -> io::Result<String> {
    let form = fs::read_to_string(source.join("cross/package/deb/copyright"))?;
    let mit = fs::read_to_string(source.join("LICENSE-MIT"))?;
    let lines = mit.lines().map(|line| if line.is_empty() { " .".to_owned() } else { format!(" {line}") });
    Ok(form.replace("@MIT@", &lines.collect::<Vec<_>>().join("\n")))
}

/// Pages and documents are compressed, without their times.
fn compress(root: &Path) -> io::Result<()> {
    let mut gzip = Command::new("gzip");
    gzip.arg("-9n").args(setup::files(&root.join(MAN), ".1")?).args(setup::files(&root.join(DOCS), ".md")?);
    run(&mut gzip).map(drop)
}

/// Programs can be run, everything else be read; nobody but root writes.
pub fn modes(root: &Path) -> io::Result<()> {
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let mode = if folder.ends_with("usr/bin") { 0o755 } else { 0o644 };
                fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
            }
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}
