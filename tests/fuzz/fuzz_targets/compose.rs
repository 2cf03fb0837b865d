//! Feeds Compose documents.
#![cfg_attr(fuzzing, no_main)]

coracle_fuzz::target!("compose");
