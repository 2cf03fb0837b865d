//! The tables of what is signed: documents and images, what a board makes of each, and why.

use std::io;
use std::process::Command;

use coracle_test_support::process::run;

use crate::table;

/// Tests that print a table, with how its last line begins.
const TABLES: [(&str, &str); 2] = [
    ("trust::a_board_takes_what_its_keys_signed_and_nothing_else", "signed only: "),
    ("images_signed::a_board_takes_images_that_its_policy_wants_and_no_others", "images: "),
];

/// Prints the tables; ends with how many documents and images were taken and refused.
pub fn command(_: &[String]) -> io::Result<()> {
    // Keys and signatures are openssl's, and skopeo is asked for a second opinion.
    for (tool, word) in [("openssl", "version"), ("skopeo", "--version")] {
        run(Command::new(tool).arg(word)).map_err(|error| {
            io::Error::other(format!("{tool} is needed, see `cargo xtask setup`: {error}"))
        })?;
    }
    let mut counts = Vec::new();
    for (test, last) in TABLES {
        let (rows, count) = table::of(test, last)?;
        println!("{}\n", rows.join("\n"));
        counts.push(count);
    }
    println!("{}", counts.join("; "));
    Ok(())
}
