//! Feeds image configs.
#![cfg_attr(fuzzing, no_main)]

coracle_fuzz::target!("config");
