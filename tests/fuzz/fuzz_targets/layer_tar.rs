//! Feeds archives whose sums are right, through the unpacker.
#![cfg_attr(fuzzing, no_main)]

coracle_fuzz::target!("layer_tar");
