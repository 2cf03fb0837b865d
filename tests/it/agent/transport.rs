//! What the agent does with its credentials as long as it runs, and with the memory they are in.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::Duration;

use coracle_test_support::agent::{Board, Settings};
use coracle_test_support::broker::{Broker, BrokerOptions, KeyForm};
use coracle_test_support::certificates;
use coracle_test_support::faults::FaultRegistry;
use coracle_test_support::process::{Running, eventually, run};
use coracle_test_support::proxy::Proxy;
use coracle_test_support::scratch::TempDir;
use coracle_test_support::secrets;
use nix::sys::signal::Signal;

use super::bench::{Bench, PATIENCE, command, exe, idle};

/// A broker with TLS and the settings of a board with a certificate for it, more lines of its table included.
fn secured(device: &str, more: &str) -> (Broker, Settings) {
    let options = BrokerOptions { tls: true, client_certificates: true, ..Default::default() };
    let broker = Broker::start(options).unwrap();
    let (certificate, key) = broker.client_certificate(device, KeyForm::Pkcs8).unwrap();
    let mut settings = Settings::new(device);
    settings.tables += &format!(
        "[broker]\nurl = \"{}\"\nca_file = {:?}\ncert_file = {certificate:?}\nkey_file = {key:?}\n\
         first_connect_splay_seconds = 0\n{more}",
        broker.url(),
        broker.ca()
    );
    (broker, settings)
}

#[test]
fn a_hang_up_has_a_renewed_certificate_used_at_once() {
    let (broker, settings) = secured("renewed", "");
    let mut bench = Bench::with(&broker, settings);
    bench.board.start().unwrap();
    let sid = bench.until_up()["sid"].clone();
    let (certificate, key) = certificates::client(broker.dir(), "next", KeyForm::Ed25519).unwrap();
    let own = |end: &str| broker.dir().join(format!("renewed.{end}"));
    fs::rename(certificate, own("crt")).unwrap();
    bench.board.agent().unwrap().signal(Signal::SIGHUP).unwrap();
    eventually(PATIENCE, || {
        let log = bench.board.agent().unwrap().output();
        if log.contains("without the other") { Ok(()) } else { Err(log) }
    });
    fs::rename(key, own("key")).unwrap();
    bench.board.agent().unwrap().signal(Signal::SIGHUP).unwrap();
    bench.until_said("up", |up| up["up"] == true && up["sid"] != sid);
    eventually(PATIENCE, || broker.log().contains("u'next'"));
    assert!(!bench.said("up").iter().any(|up| up["up"] == false), "{:?}", bench.said("up"));
    let log = bench.board.agent().unwrap().output();
    assert!(log.contains("credentials for the broker were renewed"), "{log}");
}

#[test]
fn a_hang_up_does_an_agent_without_a_broker_no_harm() {
    let mut board = Board::new(exe(), &Settings::new("quiet")).unwrap();
    board.start().unwrap();
    eventually(PATIENCE, || board.agent().unwrap().output().contains("agent started"));
    board.agent().unwrap().signal(Signal::SIGHUP).unwrap();
    eventually(PATIENCE, || command(&board, &["status"]).status.success());
    assert!(board.agent().unwrap().is_running());
}

#[test]
fn a_board_whose_clock_is_behind_judges_certificates_by_the_time_of_its_build() {
    let (mut broker, settings) = secured("behind", "");
    // Counts from tomorrow on, as one of today does on a board whose clock is still in 1970.
    let day = |days: u32| {
        let shown =
            run(Command::new("date").args(["-u", "+%Y%m%d%H%M%SZ", "-d"]).arg(format!("{days} days")));
        shown.unwrap().trim().to_owned()
    };
    certificates::server_for(broker.dir(), &day(1), &day(30)).unwrap();
    broker.restart().unwrap();
    let mut board = Board::new(exe(), &settings).unwrap();
    board.start().unwrap();
    eventually(PATIENCE, || {
        let log = board.agent().unwrap().output();
        if log.contains("this board's clock is behind") { Ok(()) } else { Err(log) }
    });
    board.stop().unwrap();
    // The same program, from the day after tomorrow.
    let dir = TempDir::new("built");
    let later = dir.join("coracle");
    fs::copy(exe(), &later).unwrap();
    run(Command::new("touch").args(["-d", "2 days"]).arg(&later)).unwrap();
    let mut board = Board::new(&later, &settings).unwrap();
    board.start().unwrap();
    eventually(PATIENCE, || {
        let log = board.agent().unwrap().output();
        if log.contains("connected to the broker") { Ok(()) } else { Err(log) }
    });
}

#[test]
fn a_broker_behind_a_proxy_is_reached_and_the_password_stays_where_it_is() {
    let proxy = Proxy::start(Some(("planted", secrets::PROXY_PASSWORD))).unwrap();
    let line = format!("proxy = \"http://planted:{}@{}\"\n", secrets::PROXY_PASSWORD, proxy.host());
    let (broker, settings) = secured("proxied", &line);
    let mut bench = Bench::with(&broker, settings);
    let refused = command(&bench.board, &["check-config"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("chmod 600"), "{said}");
    bench.board.close_configuration().unwrap();
    bench.board.start().unwrap();
    bench.until_up();
    assert!(proxy.asked().iter().all(|asked| asked.status == 200) && !proxy.asked().is_empty());
    for words in
        [&["check-config", "--json"][..], &["doctor", "--json"], &["diag", "--json"], &["status", "--json"]]
    {
        // What they say is held against the planted secrets; whether they are pleased is another matter.
        command(&bench.board, words);
    }
    let shown = String::from_utf8(command(&bench.board, &["check-config"]).stdout).unwrap();
    assert!(shown.contains(&format!("http://***@{}", proxy.host())), "{shown}");
}

#[test]
fn credentials_that_others_can_read_are_not_used() {
    let registry = FaultRegistry::start();
    registry.asks(coracle_test_support::faults::Asks::Password);
    registry.put_image("app", "1", &idle("one"));
    let mut settings = Settings::new("open");
    settings.insecure = vec![registry.host()];
    let board = Board::new(exe(), &settings).unwrap();
    let auth = board.secret("auth.json");
    let pull = || command(&board, &["pull", "-q", &registry.reference("app:1")]);
    assert!(pull().status.success());
    fs::set_permissions(&auth, fs::Permissions::from_mode(0o644)).unwrap();
    let output = pull();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains(&format!("chmod 600 {}", auth.display())), "{said}");
    // Where nobody named the file, it is found by its place, and held to the same.
    let output = board
        .command(&["pull", "-q", &registry.reference("app:1")])
        .env("REGISTRY_AUTH_FILE", &auth)
        .output()
        .unwrap();
    assert!(!output.status.success());
}

/// A program started so that the kernel writes its memory to disk when it fails.
fn with_core_dumps(program: &str, words: &[&str], dir: &TempDir) -> Running {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -c unlimited && cd \"$1\" && shift && exec \"$@\"", "sh"]).arg(dir.path());
    Running::start(program, command.arg(program).args(words), &dir.join("log")).unwrap()
}

#[test]
fn an_agent_that_fails_leaves_no_image_of_its_memory() {
    let dir = TempDir::new("core");
    let abort = |running: &mut Running| {
        running.signal(Signal::SIGABRT).unwrap();
        let status = running.wait(Duration::from_secs(20)).unwrap().unwrap();
        assert_eq!(status.signal(), Some(Signal::SIGABRT as i32));
        status.core_dumped()
    };
    // What any program leaves here, so that nothing is proved by a machine that writes none.
    let mut other = with_core_dumps("sleep", &["60"], &dir);
    eventually(PATIENCE, || {
        fs::read_to_string(format!("/proc/{}/comm", other.pid())).is_ok_and(|name| name.trim() == "sleep")
    });
    assert!(abort(&mut other), "this machine writes no core dumps: nothing can be proved here");
    let board = Board::new(exe(), &Settings::new("core")).unwrap();
    let agent = board.command(&["agent"]);
    let words = agent.get_args().map(|word| word.to_str().unwrap()).collect::<Vec<_>>();
    let mut agent = with_core_dumps(exe().to_str().unwrap(), &words, &dir);
    eventually(PATIENCE, || agent.output().contains("agent started"));
    assert!(!abort(&mut agent), "the agent left a core dump");
}

#[test]
fn a_workload_may_leave_one_all_the_same() {
    let registry = FaultRegistry::start();
    registry.put_image("app", "1", &super::bench::image(&["sh", "-c", "ulimit -c"], "core"));
    let mut settings = Settings::new("core-limit");
    settings.insecure = vec![registry.host()];
    let board = Board::new(exe(), &settings).unwrap();
    let own = board.command(&["run", "--rm", &registry.reference("app:1")]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -c 4096 && exec \"$@\"", "sh"]).arg(own.get_program()).args(own.get_args());
    let said = run(&mut limited).unwrap();
    // Shells count in blocks of 512 or 1024 bytes, each its own.
    assert!(["4096", "2048", "8192"].contains(&said.trim()), "{said}");
}
