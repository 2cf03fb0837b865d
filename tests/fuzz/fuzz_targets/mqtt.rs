//! Feeds packets of a broker.
#![cfg_attr(fuzzing, no_main)]

coracle_fuzz::target!("mqtt");
