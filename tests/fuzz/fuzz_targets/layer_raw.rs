//! Feeds layers as raw bytes, through the unpacker.
#![cfg_attr(fuzzing, no_main)]

coracle_fuzz::target!("layer_raw");
