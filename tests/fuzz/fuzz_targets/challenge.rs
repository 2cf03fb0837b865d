//! Feeds what registries ask for.
#![cfg_attr(fuzzing, no_main)]

coracle_fuzz::target!("challenge");
