//! The access list of the documentation as a table: who can say and hear what at the broker.

use std::io;

use crate::{setup, table};

/// Prints the table; ends with how much was allowed and refused.
pub fn command(_: &[String]) -> io::Result<()> {
    setup::for_tests()?;
    let (rows, count) = table::of("acl::each_may_say_and_hear_what_is_its_own", "acl: ")?;
    println!("{}\n{count}", rows.join("\n"));
    Ok(())
}
