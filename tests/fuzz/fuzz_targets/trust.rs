//! Feeds trust documents and saved lineages.
#![cfg_attr(fuzzing, no_main)]

coracle_fuzz::target!("trust");
