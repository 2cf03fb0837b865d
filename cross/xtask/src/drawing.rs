//! Writes the page on the rollout machine anew, `agent/docs/rollout.md`: `cargo xtask drawing`.

use std::{fs, io};

use crate::setup;

const PAGE: &str = "agent/docs/rollout.md";

/// Has it drawn by `tests/sim`, from the machine itself.
pub fn command(_: &[String]) -> io::Result<()> {
    let mut cargo = setup::cargo(&["run", "--quiet", "--package", "coracle-sim", "--", "--drawing"])?;
    let drawn = cargo.stderr(std::process::Stdio::inherit()).output()?;
    if !drawn.status.success() {
        return Err(io::Error::other(format!("{PAGE} could not be drawn: {}", drawn.status)));
    }
    let page = String::from_utf8(drawn.stdout).map_err(io::Error::other)?;
    let path = setup::root()?.join(PAGE);
    let changed = fs::read_to_string(&path)? != page;
    fs::write(&path, &page)?;
    let arrows = page.lines().filter(|line| line.contains(" --> ")).count();
    let state = if changed { "written anew" } else { "as it was" };
    println!("drawing: {arrows} arrows, {} lines, {PAGE} {state}", page.lines().count());
    Ok(())
}
