//! `badupdate [--rounds N]`: new versions that are bad in every way, one after the other, on a board whose old version
//! answers all the time. Each has to be taken back; how long nobody answered and how long that took is printed.

use std::io;
use std::time::{Duration, Instant};

use coracle_test_support::agent::{Board, Settings};
use coracle_test_support::caller::Caller;
use coracle_test_support::desired::{Desired, site};
use coracle_test_support::images::{Arch, Form, Image};
use coracle_test_support::process::free_port;
use coracle_test_support::registry::Registry;
use serde_json::{Value, json};

use crate::broker::{Broker, Publisher, ROOT, Watch};
use crate::{interrupt, namespace, setup, words};

const DEVICE: &str = "badupdate";
const PATIENCE: Duration = Duration::from_secs(60);
/// Seconds that a new version has to become healthy, and then to stay so.
const TERM_S: u64 = 4;
/// What the old version answers.
const OLD: &str = "old";

/// A new version that is bad.
struct Bad {
    what: &'static str,
    /// The codes of which the board has to report one.
    codes: &'static str,
    /// What its shell does, in which `$serve` answers the callers from then on.
    script: &'static str,
    /// The rest of its service.
    keys: Value,
}

/// What one of them came to.
struct Outcome {
    code: String,
    silent: Duration,
    answers: Duration,
    told: Duration,
}

/// All the ways; `free` is a port that nobody listens on, `port` the one that callers use.
fn bad(port: u16, free: u16) -> Vec<Bad> {
    let row = |what, codes, script, keys| Bad { what, codes, script, keys };
    let probe =
        |port: u16, retries: u32| json!({"tcp": {"port": port}, "interval": "500ms", "retries": retries});
    let count = "n=$(cat /n || echo 0); echo $((n + 1)) > /n; exit $((n % 2))";
    let flaps = json!({"test": count, "interval": "250ms", "retries": 3});
    let beside = json!({"update_config": {"order": "start-first"}});
    vec![
        row("program missing", "START", "", json!({"command": ["/nowhere"]})),
        row("ends at once", "EXITED", "exit 1", json!({"restart": "no"})),
        row("crash loop", "EXITED or UNHEALTHY", "exit 1", json!({})),
        row(
            "serves, then crashes, again and again",
            "EXITED or UNHEALTHY",
            "$serve; sleep 0.3; exit 1",
            json!({}),
        ),
        row(
            "never healthy, by its retries",
            "UNHEALTHY",
            "$stay",
            json!({"x-coracle-probe": probe(free, 2)}),
        ),
        row(
            "never healthy, in its time",
            "HEALTH_TIMEOUT",
            "$stay",
            json!({"x-coracle-probe": probe(free, 900)}),
        ),
        row("healthy, then dies", "EXITED", "$serve; sleep 2; exit 9", json!({"restart": "no"})),
        row(
            "healthy, then ill",
            "UNHEALTHY",
            "$serve; sleep 2; kill $p; $stay",
            json!({"x-coracle-probe": probe(port, 2)}),
        ),
        row("flapping", "UNHEALTHY", "$serve; $stay", json!({"healthcheck": flaps})),
        row(
            "start-first, never healthy",
            "UNHEALTHY",
            "$stay",
            json!({"x-coracle-probe": probe(free, 2), "deploy": beside}),
        ),
        row("start-first, crash loop", "EXITED", "exit 1", json!({"deploy": beside})),
    ]
}

/// Deploys them all as often as it is told.
pub fn command(given: &[String]) -> io::Result<()> {
    words::only(given, &["--rounds"], &[])?;
    let rounds = words::number(given, "--rounds", 1)?;
    setup::for_tests()?;
    let exe = setup::agent()?;
    namespace::enter()?;
    interrupt::watch()?;
    let began = Instant::now();
    let (broker, registry) = (Broker::start()?, Registry::start()?);
    let (port, free) = (free_port(), free_port());
    let mut settings = Settings::new(DEVICE);
    settings.broker = Some(broker.url());
    settings.insecure = vec![registry.host()];
    let mut board = Board::new(&exe, &settings)?;
    let watch = broker.watch(DEVICE)?;
    let operator = broker.publisher(&format!("{ROOT}/d/{DEVICE}/desired"))?;
    board.start()?;
    let mut scene = Scene { port, operator, watch, generation: 0, new: String::new(), since: Value::Null };
    let old = publish(&registry, port, OLD)?;
    scene.new = publish(&registry, port, "new")?;
    scene.begin(&old)?;

    let (mut tried, mut failed) = (0_u64, None);
    let (mut silent, mut told) = (Duration::ZERO, Duration::ZERO);
    'rounds: for _ in 0..rounds {
        for bad in bad(port, free) {
            interrupt::check()?;
            tried += 1;
            match scene.take_back(&bad) {
                Ok(outcome) => {
                    let ms = |time: Duration| time.as_millis();
                    println!(
                        "{:<38} {:<15} nobody answered for {:>4} ms, the old one answers after {:>5} ms, told after {:>5} ms",
                        bad.what,
                        outcome.code,
                        ms(outcome.silent),
                        ms(outcome.answers),
                        ms(outcome.told)
                    );
                    (silent, told) = (silent.max(outcome.silent), told.max(outcome.told));
                }
                Err(error) => {
                    println!("{:<38} {error}", bad.what);
                    // What runs now is not what the others begin with.
                    failed = Some(bad.what);
                    break 'rounds;
                }
            }
        }
    }
    board.stop()?;
    let lost = u64::from(failed.is_some());
    println!(
        "badupdate: {tried} bad versions, {} taken back, {} not; at most {} ms without an answer, {} ms until rolled back; {} s",
        tried - lost,
        lost,
        silent.as_millis(),
        told.as_millis(),
        began.elapsed().as_secs()
    );
    failed.map_or(Ok(()), |what| Err(io::Error::other(format!("not taken back: {what}"))))
}

/// Publishes a version that answers `text`; hands back its pinned reference.
fn publish(registry: &Registry, port: u16, text: &str) -> io::Result<String> {
    let image = Image::telling(Arch::Amd64, port, text)?;
    let pushed = image.push(&registry.host(), DEVICE, Some(text), Form::Oci)?;
    Ok(format!("{}@{}", registry.reference(&format!("{DEVICE}:{text}")), pushed.digest))
}

/// The board and its operator.
struct Scene {
    port: u16,
    operator: Publisher,
    watch: Watch,
    generation: u64,
    /// The image of every new version.
    new: String,
    /// Since when the old version ran, as it was reported last.
    since: Value,
}

impl Scene {
    /// Deploys the old version.
    fn begin(&mut self, image: &str) -> io::Result<()> {
        self.send(site(image))?;
        self.until(&["SUCCEEDED"]).map(drop)
    }

    fn send(&mut self, projects: Value) -> io::Result<Instant> {
        self.generation += 1;
        let desired = Desired { device: DEVICE, generation: self.generation, projects };
        self.operator.send(&desired.envelope_under(&json!({"health": TERM_S, "soak": TERM_S})))
    }

    /// Waits until the generation has ended in one of these ways; hands back the state.
    fn until(&self, statuses: &[&str]) -> io::Result<Value> {
        let generation = self.generation;
        self.watch.until(&statuses.join(" or "), PATIENCE, |said| {
            let state = &said.payload;
            let ended = statuses.iter().any(|status| state["deployment"]["status"] == *status);
            (said.kind == "state" && state["desired"]["gen"] == generation && ended).then(|| state.clone())
        })
    }

    /// Deploys a bad version, and waits until it is taken back and the old one answers.
    fn take_back(&mut self, bad: &Bad) -> io::Result<Outcome> {
        let caller = Caller::start(self.port);
        wait(|| caller.answered(OLD))?;
        let serve = format!("httpd -f -p 127.0.0.1:{} -h /www & p=$!", self.port);
        let script = bad.script.replace("$serve", &serve).replace("$stay", "sleep 1000 & wait");
        let mut service = json!({"image": self.new, "network_mode": "host", "restart": "unless-stopped",
            "command": ["sh", "-c", format!("trap 'exit 0' TERM; {script}")]});
        for (key, value) in bad.keys.as_object().into_iter().flatten() {
            service[key] = value.clone();
        }
        let sent = self.send(json!({"site": {"services": {"web": service}}}))?;
        let state = self.until(&["ROLLED_BACK", "SUCCEEDED", "FAILED", "BROKEN", "REJECTED"])?;
        let told = sent.elapsed();
        let deployment = &state["deployment"];
        let code = deployment["error"]["code"].as_str().unwrap_or_default().to_owned();
        if deployment["status"] != "ROLLED_BACK" || !bad.codes.split(" or ").any(|wanted| wanted == code) {
            let (status, error) = (&deployment["status"], &deployment["error"]);
            return Err(io::Error::other(format!("ended as {status} with {error}")));
        }
        let remembered = json!({"gen": self.generation, "code": code});
        if !state["bad"].as_array().is_some_and(|bad| bad.contains(&remembered)) {
            return Err(io::Error::other(format!("is not remembered as bad: {}", state["bad"])));
        }
        let answers = wait(|| caller.spells().pop().filter(|last| last.answer == OLD))?;
        let since = caller.silent_until().map_or(answers.from, |end| end.max(answers.from));
        let (silent, answers) = (caller.silence(), since.saturating_duration_since(sent));
        let since = state["running"]["projects"]["site"]["services"]["web"]["since"].clone();
        let before = std::mem::replace(&mut self.since, since);
        if bad.keys.get("deploy").is_some() && before != self.since {
            return Err(io::Error::other("the old one was started again"));
        }
        Ok(Outcome { code, silent, answers, told })
    }
}

/// Waits until there is something.
fn wait<T>(mut wanted: impl FnMut() -> Option<T>) -> io::Result<T> {
    let began = Instant::now();
    loop {
        interrupt::check()?;
        match wanted() {
            Some(found) => return Ok(found),
            None if began.elapsed() > PATIENCE => {
                return Err(io::Error::other("the old one does not answer"));
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}
