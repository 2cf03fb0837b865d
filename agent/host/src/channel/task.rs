//! From one connection to the next, with the waits that `core::retry` decides.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use coracle_core::retry::{Loss, Reconnect, keepalive_s};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::outbox::Shared;
use super::proofs::Look;
use super::session::{End, Memory, Session, asked};
use super::{ChannelConfig, ChannelEvent};
use crate::chance;

pub(super) async fn run(
    config: Arc<ChannelConfig>,
    outbox: Shared,
    events: mpsc::Sender<ChannelEvent>,
    mut stop: watch::Receiver<bool>,
) {
    let shortened = |ms: u64| Duration::from_millis(ms / u64::from(config.reconnect_speedup.max(1)));
    let splay_ms = u64::try_from(config.first_connect_splay.as_millis()).unwrap_or(u64::MAX);
    let mut reconnect = Reconnect::default();
    let mut memory = Memory::new(Arc::clone(&config));
    let mut wait = Duration::from_millis(Reconnect::first_ms(splay_ms, chance()));
    let mut mendable = false;
    loop {
        tokio::select! {
            () = sleep(wait) => {}
            // Credentials that were refused may be mended long before they would be tried again.
            () = renewed(&config, &mut memory), if mendable => {}
            () = asked(&mut stop) => return,
        }
        let sid = session_id();
        let keepalive_s = keepalive_s(config.keepalive_s, chance());
        let session = Session { config: &config, sid: &sid, outbox: &outbox, events: &events, keepalive_s };
        let (lost, since) = match session.run(&mut memory, &mut stop).await {
            End::Left => return,
            // Looks are far enough apart to bound how often that can be.
            End::Renewed => {
                wait = Duration::ZERO;
                continue;
            }
            End::Lost(lost, since) => (lost, since),
        };
        let lasted_ms = since.map(|at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX));
        let (next, delay_ms) = reconnect.lost(lost.loss, lasted_ms, chance());
        reconnect = next;
        wait = shortened(delay_ms);
        mendable = match lost.loss {
            Loss::Network | Loss::Credentials | Loss::Protocol => true,
            Loss::Busy | Loss::TakenOver => false,
        };
        let event = ChannelEvent::Disconnected { loss: lost.loss, cause: lost.cause, retry_in: wait };
        tokio::select! {
            sent = events.send(event) => if sent.is_err() { return },
            () = asked(&mut stop) => return,
        }
    }
}

/// Waits until the files have something new that can be used.
async fn renewed(config: &ChannelConfig, memory: &mut Memory) {
    loop {
        sleep(config.look_every).await;
        if memory.proofs.again() == Look::Renewed {
            return;
        }
    }
}

/// A random number; 0 where the kernel has none yet, which only costs the spreading.
fn chance() -> u64 {
    chance::number().unwrap_or(0)
}

/// 16 hex digits that name a connection.
fn session_id() -> String {
    let mut sid = String::with_capacity(16);
    // Writing to a String cannot fail.
    let _ = write!(sid, "{:016x}", chance());
    sid
}
