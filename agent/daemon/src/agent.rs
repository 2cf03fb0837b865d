//! `coracle agent`: the loop with everything it joins. What is missing on the board is said and done without.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coracle_host::channel::{Channel, ChannelHandle};
use coracle_host::clock;
use coracle_host::control::{self, Asked, Control};
use coracle_host::files::Lock;
use coracle_host::fleet_lock::{FleetLock, FleetLockConfig};
use coracle_host::runtime::probe;
use coracle_host::store::Store;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::cli::context;
use crate::config::{Settings, Trust};
use crate::engine::{
    Beside, Clock, Engine, Hands, Have, Heartbeat, Journal, Outbox, Parts, Turns, Workers, channel_config,
    describe_agent,
};
use crate::events;
use crate::exit::{Exit, Failure, chain};
use crate::room::{self, Keeper};
use crate::scrub::Scrubber;
use crate::{local, provisioning, restarts, saved, trust};

/// Answers of workers that may wait for the loop.
const ANSWERS: usize = 8;
/// Bundles hold environments, and these hold secrets.
const RUN_DIR_MODE: u32 = 0o700;

/// Runs the agent until it is asked to end; `config` is where its settings are from, if not from the usual files.
pub(crate) fn agent(mut settings: Settings, config: Option<&Path>) -> Result<Exit, Failure> {
    events::start();
    if settings.unsteady {
        events::unsteady(settings.device_id.as_str());
    }
    if let Some(why) = &settings.waits {
        events::waits(why);
        // Everything else goes on without it.
        settings.broker = None;
    }
    context::run(run(settings, config.map(Path::to_owned)))
}

async fn run(settings: Settings, config: Option<PathBuf>) -> Result<Exit, Failure> {
    context::frees_workloads(&context::supervisor(&settings)?, &settings)?;
    let store = context::store(&settings)?;
    let _only_agent = only_agent(&store)?;
    // Before the first workload makes its place there: people at the board may ask for the state at once.
    let made = DirBuilder::new().recursive(true).mode(RUN_DIR_MODE).create(&settings.run_dir);
    if let Err(error) = made {
        events::lacking("the run directory cannot be made", &error.to_string());
    }
    let opened =
        Journal::open(&settings.state_dir).map_err(|error| Failure::new(Exit::Unexpected, &error))?;
    // After the journal: an agent that is older than it touches nothing.
    for form in saved::newer(&settings) {
        events::lacking("a newer agent wrote what this one cannot read, and leaves alone", &form.to_string());
    }
    // What a power cut left behind; a pull by hand that is under way keeps its own.
    if let Err(error) = store.collect_leftovers() {
        events::lacking("leftovers of an earlier run were not removed", &chain(&error));
    }
    if let Some((aside, error)) = &opened.damaged {
        events::no_journal(&format!("{error}; it was put aside as {}", aside.display()));
    }
    if settings.trust == Trust::Signed {
        // Certificates are judged by no earlier time than that of the newest document that was believed.
        clock::at_least(opened.record.newest_iat);
    }
    let board = context::board(&settings, None)?;
    let images = Arc::new(context::images(&settings, &store, None)?);
    let units = context::units(&settings, &store)?;
    let (state_dir, run_dir, hands) = (settings.state_dir.clone(), settings.run_dir.clone(), units.clone());
    tokio::task::spawn_blocking(move || {
        local::bring_back(&state_dir, &hands);
        restarts::finish(&run_dir, &hands.supervisor);
    });
    tokio::spawn(room::watch(Keeper::clone(&images.keeper), Arc::clone(&store)));
    let (answer, answers) = mpsc::channel(ANSWERS);
    let have = Have::default();
    let (handle, channel) = match &settings.broker {
        Some(broker) => {
            let (handle, channel) = Channel::start(channel_config(&settings, broker, &have));
            (Some(handle), Some(channel))
        }
        None => (None, None),
    };
    on_hang_up(handle.as_ref())?;
    let platforms = board.platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let broker = settings.broker.as_ref().map_or_else(|| "none".to_owned(), |broker| broker.url.to_string());
    events::started(settings.device_id.as_str(), &platforms, &broker);
    let runtime = runtime(&settings);
    let believed = trust::load(&settings);
    if let Some(trouble) = &believed.trouble {
        events::keys_unusable(trouble);
    }
    if let Err(error) = believed.remember(&settings.state_dir) {
        events::lacking("the counter of the image's keys was not written down", &error.to_string());
    }
    let trust = believed.policy;
    events::believes(&trust);
    events::demands(&images.rules, &settings.image_policy.path);
    let about = describe_agent(&trust, &board.platforms, runtime);
    let hands = Hands {
        settings: settings.clone(),
        units: units.clone(),
        agent: serde_json::to_value(&about).unwrap_or_default(),
    };
    let epoch = opened.record.epoch.saturating_add(1);
    let outbox = Outbox::new(&settings, about, handle, have, Arc::clone(&store), epoch);
    let (scrubber, news) = Scrubber::start(&settings, Arc::clone(&images), units.clone());
    let workers = Workers::new(images, units, answer, outbox.watch());
    let (turns, said) = Turns::start(fleet_lock(&settings));
    let end = ended(settings.broker.is_some(), config)?;
    let (clock, heartbeat) = (Clock::start(), Heartbeat::from_environment());
    let (_socket, console) = console(&settings).unzip();
    let platforms = board.platforms;
    let parts = Parts {
        settings,
        platforms,
        trust,
        workers,
        outbox,
        clock,
        turns,
        heartbeat,
        hands,
        console,
        scrubber,
    };
    Engine::new(parts, opened).run(channel, answers, Beside { said, news }, end).await;
    events::ended();
    Ok(Exit::Done)
}

/// The way in for people at the board; without it the agent does all the rest.
fn console(settings: &Settings) -> Option<(Control, mpsc::Receiver<Asked>)> {
    let path = settings.run_dir.join(control::FILE);
    let started = Control::start(&path);
    let refused = |error: &std::io::Error| {
        let why = format!("{}: {error}", path.display());
        events::lacking("commands of the console are not heard", &why);
    };
    started.inspect_err(refused).ok()
}

/// Proof that no other agent runs.
fn only_agent(store: &Store) -> Result<Lock, Failure> {
    store.agent_lock().map_err(|error| Failure::new(Exit::TryAgain, &error))
}

/// Who hands out turns to update, if anybody does.
fn fleet_lock(settings: &Settings) -> Option<FleetLock> {
    let lock = settings.lock.as_ref()?;
    Some(FleetLock::new(FleetLockConfig {
        url: lock.url.clone(),
        ca_file: lock.ca_file.clone(),
        id: settings.device_id.to_string(),
        group: lock.group.clone(),
    }))
}

/// The runtime and its version; without one the agent still reports, and keeps what runs.
fn runtime(settings: &Settings) -> String {
    match probe(&settings.runtime.path) {
        Ok(found) => format!("{} {}", found.name, found.version),
        Err(error) => {
            events::no_runtime(&chain(&error));
            "none".to_owned()
        }
    }
}

/// On SIGHUP, by which services are told to read their files again: the credentials are looked at, and all is said anew.
fn on_hang_up(channel: Option<&ChannelHandle>) -> Result<(), Failure> {
    let mut hang_up = listen(SignalKind::hangup())?;
    let refresh = channel.map(ChannelHandle::refresher);
    tokio::spawn(async move {
        while hang_up.recv().await.is_some() {
            if let Some(refresh) = &refresh {
                refresh();
            }
        }
    });
    Ok(())
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::unexpected(format!("failed to listen for signals: {error}")))
}

/// Ready when the agent is to end: somebody asks for it, or a board without a broker was provisioned with one. Whoever
/// started the agent starts it again then.
fn ended(broker: bool, config: Option<PathBuf>) -> Result<impl Future<Output = ()>, Failure> {
    let asked = asked_to_end()?;
    Ok(async move {
        tokio::select! {
            () = asked => {}
            () = provisioning::provisioned(config), if !broker => events::provisioned(),
        }
    })
}

/// Ready when somebody asks the agent to end.
fn asked_to_end() -> Result<impl Future<Output = ()>, Failure> {
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
