//! A board that is provisioned after its first boot: what it is to have is looked for until it is there.
//!
//! Invariant: what was read before holds until what is new can be obeyed whole.

use std::path::PathBuf;
use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::config::{self, ConfigError, Settings};
use crate::events;
use crate::exit::chain;

/// Between two looks: soon enough for a person who stands beside the board, and a few files read for it.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Ready when the settings name a broker, and all that it takes to reach it is there.
pub(crate) async fn provisioned(config: Option<PathBuf>) {
    let mut told = None;
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        let config = config.clone();
        let Ok(found) = spawn_blocking(move || config::load(config.as_deref())).await else { continue };
        match judge(found) {
            Ok(true) => return,
            Ok(false) => told = None,
            Err(why) if told.as_ref() == Some(&why) => {}
            Err(why) => {
                events::lacking("the configuration cannot be obeyed; what was read before holds", &why);
                told = Some(why);
            }
        }
    }
}

fn judge(found: Result<Settings, ConfigError>) -> Result<bool, String> {
    let settings = found.map_err(|error| chain(&error))?;
    Ok(settings.broker.is_some() && settings.waits.is_none())
}
