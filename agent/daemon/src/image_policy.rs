//! What this board demands of images: the policy file of its image, with the keys it names.
//!
//! Invariant: a policy that cannot be read, or not be obeyed to the letter, lets no image in.

use std::path::Path;

use coracle_core::trust::image::{ImagePolicy, Rules};
use coracle_host::trust;

use crate::config::Settings;
use crate::exit::chain;

/// Reads the policy and its keys.
pub(crate) fn load(settings: &Settings) -> Rules {
    let file = &settings.image_policy;
    let bytes = match trust::policy(&file.path) {
        Ok(Some(bytes)) => bytes,
        Ok(None) if file.named => {
            return Rules::Unusable(format!("{} is not there", file.path.display()));
        }
        Ok(None) => return Rules::Nothing,
        Err(error) => return Rules::Unusable(chain(&error)),
    };
    let mut key = |path: &str| trust::policy_key(Path::new(path)).map_err(|error| chain(&error));
    match ImagePolicy::parse(&bytes, &mut key) {
        Ok(policy) => Rules::Policy(Box::new(policy)),
        Err(error) => Rules::Unusable(format!("{}: {error}", file.path.display())),
    }
}
