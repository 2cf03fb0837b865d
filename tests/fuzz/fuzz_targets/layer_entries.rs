//! Feeds lists of entries, through the unpacker.
#![cfg_attr(fuzzing, no_main)]

coracle_fuzz::target!("layer_entries");
