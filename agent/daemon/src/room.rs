//! Keeps the disk within its bounds while the agent runs: the reserve in place, and below the high mark.

use std::sync::Arc;
use std::time::Duration;

use coracle_core::retention::Watermarks;
use coracle_host::disk;
use coracle_host::reserve::Reserve;
use coracle_host::store::{Collected, Store};
use coracle_host::supervise::Supervisor;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::config::Settings;
use crate::events;
use crate::exit::chain;
use crate::retain::{self, CollectError, Goal};

/// Between two looks at how full the disk is; a look writes nothing.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Before it is tried again to remove something, after nothing could be.
const AGAIN: Duration = Duration::from_secs(600);

/// What is needed to say what may go.
#[derive(Clone)]
pub(crate) struct Keeper {
    /// The board's settings.
    pub(crate) settings: Settings,
    /// Who knows what runs.
    pub(crate) supervisor: Supervisor,
}

impl Keeper {
    /// Removes images that nothing needs until the goal is reached.
    ///
    /// # Errors
    /// [`CollectError`]; what is needed is there in any case.
    pub(crate) fn make_room(&self, store: &Store, goal: &Goal) -> Result<Collected, CollectError> {
        retain::make_room(&self.settings, &self.supervisor, store, goal)
    }

    fn marks(&self) -> Watermarks {
        self.settings.disk
    }

    /// Whether the reserve stands or cannot stand; an error once it could and was refused.
    fn hold(&self, free_bytes: u64) -> std::io::Result<()> {
        Reserve::of(&self.settings.state_dir).hold(free_bytes)
    }
}

/// Looks for as long as the agent runs.
pub(crate) async fn watch(keeper: Keeper, store: Arc<Store>) {
    let keeper = Arc::new(keeper);
    let (mut told, mut quiet_until) = (false, Instant::now());
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let Ok(space) = disk::space(&keeper.settings.state_dir) else { continue };
        if let (Err(error), false) = (keeper.hold(space.free_bytes), told) {
            events::lacking("no reserve is held on the disk", &error.to_string());
            told = true;
        }
        let excess = keeper.marks().excess(space.total_bytes, space.free_bytes);
        let Some(excess) = excess.filter(|_| Instant::now() >= quiet_until) else { continue };
        let (hands, images) = (Arc::clone(&keeper), Arc::clone(&store));
        let goal = Goal::bytes(excess);
        match spawn_blocking(move || hands.make_room(&images, &goal)).await {
            Ok(Ok(collected)) if collected != Collected::default() => events::collected(&collected),
            // Somebody pulls: the next look will see.
            Ok(Err(CollectError::Store(coracle_host::store::StoreError::Lock(_)))) => {}
            Ok(Ok(_)) => quiet_until = Instant::now() + AGAIN,
            Ok(Err(error)) => {
                events::not_collected(&chain(&error));
                quiet_until = Instant::now() + AGAIN;
            }
            Err(error) => events::not_collected(&error.to_string()),
        }
    }
}
