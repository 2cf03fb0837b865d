//! Feeds policies for images, keys and signatures.
#![cfg_attr(fuzzing, no_main)]

coracle_fuzz::target!("signed");
