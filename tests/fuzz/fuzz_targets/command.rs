//! Feeds commands of every topic and of the console.
#![cfg_attr(fuzzing, no_main)]

coracle_fuzz::target!("command");
