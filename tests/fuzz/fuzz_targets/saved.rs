//! Feeds saved records and checkpoints.
#![cfg_attr(fuzzing, no_main)]

coracle_fuzz::target!("saved");
