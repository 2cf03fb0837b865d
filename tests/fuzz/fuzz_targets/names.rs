//! Feeds names, paths and platforms.
#![cfg_attr(fuzzing, no_main)]

coracle_fuzz::target!("names");
