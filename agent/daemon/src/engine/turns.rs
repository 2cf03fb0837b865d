//! The board's turn to update, where a server hands them out: asked for when nothing else holds the update back, and
//! given back once the passage has ended.
//!
//! Nothing of it is kept on disk. After a start nobody knows whether a turn is held, so one that is not needed is given
//! back, which the server takes either way.

use coracle_host::fleet_lock::{FleetLock, Turn};
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant};

use crate::events;
use crate::exit::chain;

/// Before the server is asked again; it is asked by every board that waits.
const AGAIN: Duration = Duration::from_secs(10);

/// What the server said, or why it did not.
pub(crate) enum Said {
    /// To the wish for a turn.
    Taken(Result<Turn, String>),
    /// To its return.
    GivenBack(Result<Turn, String>),
}

/// How the board stands with the server.
#[derive(PartialEq, Eq)]
enum Standing {
    /// It may hold a turn, and why that is not certain.
    Unknown(String),
    /// It holds none, and why.
    Without(String),
    /// It is this board's turn.
    Held,
}

/// The board's turn.
pub(crate) struct Turns {
    server: Option<FleetLock>,
    said: mpsc::Sender<Said>,
    standing: Standing,
    asking: bool,
    again_at: Instant,
}

impl Turns {
    /// Nothing was asked yet; answers come over the channel.
    pub(crate) fn start(server: Option<FleetLock>) -> (Self, mpsc::Receiver<Said>) {
        let (said, heard) = mpsc::channel(1);
        let standing = Standing::Unknown("not asked yet".to_owned());
        let turns = Self { server, said, standing, asking: false, again_at: Instant::now() };
        (turns, heard)
    }

    /// Why it is not this board's turn; `None` where it is, or nobody hands them out.
    pub(crate) fn closed(&self) -> Option<&str> {
        match (&self.server, &self.standing) {
            (None, _) | (Some(_), Standing::Held) => None,
            (Some(_), Standing::Unknown(why) | Standing::Without(why)) => Some(why),
        }
    }

    /// Sees to it that a turn is held while `wanted`, and not otherwise. Says when to come again.
    pub(crate) fn want(&mut self, wanted: bool) -> Option<Instant> {
        let server = self.server.clone()?;
        let settled = match self.standing {
            Standing::Unknown(_) => false,
            Standing::Without(_) => !wanted,
            Standing::Held => wanted,
        };
        if settled || self.asking {
            return None;
        }
        if self.again_at > Instant::now() {
            return Some(self.again_at);
        }
        self.asking = true;
        let said = self.said.clone();
        tokio::spawn(async move {
            let words = |error| chain(&error);
            let answer = match wanted {
                true => Said::Taken(server.take().await.map_err(words)),
                false => Said::GivenBack(server.give_back().await.map_err(words)),
            };
            // The loop has ended: the next start asks anew.
            let _ = said.send(answer).await;
        });
        None
    }

    /// Notes what the server said.
    pub(crate) fn heard(&mut self, said: Said) {
        self.asking = false;
        let helped = matches!(said, Said::Taken(Ok(Turn::Granted)) | Said::GivenBack(Ok(Turn::Granted)));
        let standing = match said {
            Said::Taken(Ok(Turn::Granted)) => Standing::Held,
            Said::Taken(Ok(Turn::Denied(why))) => Standing::Without(why),
            Said::GivenBack(Ok(Turn::Granted)) => Standing::Without("given back".to_owned()),
            // It may have been granted, or taken back, all the same.
            Said::Taken(Err(error)) | Said::GivenBack(Ok(Turn::Denied(error)) | Err(error)) => {
                let standing = Standing::Unknown("no answer from its server".to_owned());
                if self.standing != standing {
                    events::lacking("the server that hands out turns does not help", &error);
                }
                standing
            }
        };
        if helped {
            self.again_at = Instant::now();
        } else {
            self.again_at = Instant::now() + AGAIN;
        }
        self.standing = standing;
    }
}
