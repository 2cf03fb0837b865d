//! Feeds lists of layers.
#![cfg_attr(fuzzing, no_main)]

coracle_fuzz::target!("list");
