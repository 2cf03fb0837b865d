//! Feeds users and groups of images.
#![cfg_attr(fuzzing, no_main)]

coracle_fuzz::target!("user");
