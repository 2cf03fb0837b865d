//! Feeds the journal.
#![cfg_attr(fuzzing, no_main)]

coracle_fuzz::target!("journal");
