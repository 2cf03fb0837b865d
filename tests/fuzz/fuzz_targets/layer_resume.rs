//! Feeds layers that are cut and gone on with.
#![cfg_attr(fuzzing, no_main)]

coracle_fuzz::target!("layer_resume");
