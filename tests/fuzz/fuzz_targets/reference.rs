//! Feeds image references.
#![cfg_attr(fuzzing, no_main)]

coracle_fuzz::target!("reference");
