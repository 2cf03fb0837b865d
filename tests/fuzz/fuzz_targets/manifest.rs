//! Feeds manifests, indexes and the choice among their entries.
#![cfg_attr(fuzzing, no_main)]

coracle_fuzz::target!("manifest");
