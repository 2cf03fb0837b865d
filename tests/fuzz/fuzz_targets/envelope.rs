//! Feeds envelopes.
#![cfg_attr(fuzzing, no_main)]

coracle_fuzz::target!("envelope");
