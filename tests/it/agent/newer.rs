//! What an older agent makes of a newer one's saved forms, and what programs that update the image ask of it.

use std::fs;
use std::path::{Path, PathBuf};

use super::bench::{Bench, PATIENCE, broker, command, idle};
use super::document::{Desired, site};
use coracle_test_support::faults::FaultRegistry;
use coracle_test_support::process::eventually;

/// Above every version that there is.
const NEWER: u32 = 99;
const HELPS: &str = "install the newer agent again";

/// Raises the version of a JSON form as a newer agent might have written it; hands back the bytes.
fn raise(path: &Path) -> Vec<u8> {
    let mut form: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    form["version"] = NEWER.into();
    form["more"] = "that only a newer agent knows".into();
    let bytes = serde_json::to_vec(&form).unwrap();
    fs::write(path, &bytes).unwrap();
    bytes
}

/// The one entry of a folder that ends so.
fn only(dir: &Path, ending: &str) -> PathBuf {
    let mut found = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    found.find(|path| path.to_string_lossy().ends_with(ending)).unwrap()
}

/// A command that fails for a saved form says which, with both versions and what helps, and leaves the form alone.
#[track_caller]
fn refuses(bench: &Bench, words: &[&str], form: &Path, bytes: &[u8]) {
    let output = command(&bench.board, words);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!output.status.success(), "{words:?}: {said}");
    let name = form.file_name().unwrap().to_str().unwrap();
    let told = |word: &str| said.lines().any(|line| line.contains(word));
    assert!(told(&format!("version {NEWER}")) && told(name) && told(HELPS), "{words:?} of {name}: {said}");
    assert_eq!(fs::read(form).unwrap(), bytes, "{}", form.display());
}

#[test]
fn every_saved_form_of_a_newer_agent_is_refused_with_its_name_and_stays_as_it_is() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    let mut bench = Bench::start(&broker, &registry.host(), "newer");
    let image = registry.reference("app:1");
    bench.deploy(&broker, &Desired::new("newer", 1, site(&image)));
    bench.ask(&["run", "-d", "--restart", "always", "--name", "mine", &image]);
    bench.ask(&["images", "pin", &image]);
    bench.board.stop().unwrap();
    let running = [bench.process("site.web"), bench.process("local.mine")];
    let (state, run) = (bench.board.state_dir(), bench.board.run_dir());
    let place = run.join("workloads/site.web");
    let layer = only(&only(&state.join("layers"), ""), "layer.json");
    let record = only(&state.join("images"), ".json");
    let prune: &[&str] = &["prune"];
    let rows: [(PathBuf, &[&str]); 8] = [
        (state.join("journal"), &["agent"]),
        (state.join("journal"), prune),
        (state.join("pins"), prune),
        (state.join("local/local.mine.json"), prune),
        (record.clone(), prune),
        (layer.clone(), prune),
        (place.join("unit.json"), prune),
        (place.join("status.json"), prune),
    ];
    for (form, words) in rows {
        let before = fs::read(&form).unwrap();
        let raised = raise(&form);
        refuses(&bench, words, &form, &raised);
        fs::write(&form, before).unwrap();
        assert_eq!([bench.process("site.web"), bench.process("local.mine")], running, "{}", form.display());
    }
    // An agent with all of them but the journal goes on: it says so, and touches neither them nor what runs.
    let (unit, status) = (place.join("unit.json"), place.join("status.json"));
    let forms = [unit, status, state.join("local/local.mine.json"), record, layer];
    let raised = forms.each_ref().map(|form| (fs::read(form).unwrap(), raise(form)));
    let pid = |id: &str| running[usize::from(id == "local.mine")].0;
    bench.board.start().unwrap();
    eventually(PATIENCE, || {
        let log = bench.board.agent().unwrap().output();
        let told = |form: &PathBuf| {
            log.lines().any(|line| line.contains(form.to_str().unwrap()) && line.contains(HELPS))
        };
        if forms.iter().all(told) { Ok(()) } else { Err(log) }
    });
    // It has looked at its workloads and at the store by then.
    eventually(PATIENCE, || {
        let log = bench.board.agent().unwrap().output();
        let refused = log.contains("the deployment does not run as it should");
        let unrepaired = log.contains("nothing is repaired while this board has what a newer agent wrote");
        if refused && unrepaired { Ok(()) } else { Err(log) }
    });
    for (form, (before, raised)) in forms.iter().zip(&raised) {
        assert_eq!(&fs::read(form).unwrap(), raised, "{}", form.display());
        fs::write(form, before).unwrap();
    }
    bench.board.stop().unwrap();
    assert_eq!(
        [bench.process("site.web").0, bench.process("local.mine").0],
        ["site.web", "local.mine"].map(pid)
    );
}

#[test]
fn after_a_roll_back_of_the_image_the_older_agent_starts_what_ran_before_the_newer_one_came() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    let mut bench = Bench::start(&broker, &registry.host(), "back");
    bench.deploy(&broker, &Desired::new("back", 1, site(&registry.reference("app:1"))));
    bench.board.cut_power().unwrap();
    let journal = bench.board.state_dir().join("journal");
    let version =
        serde_json::from_slice::<serde_json::Value>(&fs::read(&journal).unwrap()).unwrap()["version"].clone();
    // A newer agent keeps the last record of this one beside its own.
    fs::copy(&journal, journal.with_extension(version.to_string())).unwrap();
    let raised = raise(&journal);
    refuses(&bench, &["boot"], &journal, &raised);
    bench.process("site.web");
    refuses(&bench, &["agent"], &journal, &raised);
    bench.process("site.web");
    // The newer one is installed again.
    fs::copy(journal.with_extension(version.to_string()), &journal).unwrap();
    let before = bench.process("site.web");
    bench.board.start().unwrap();
    bench.until_up();
    assert_eq!(bench.process("site.web"), before);
}

#[test]
fn programs_that_update_the_image_are_told_whether_all_is_well() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    let mut bench = Bench::start(&broker, &registry.host(), "health");
    bench.deploy(&broker, &Desired::new("health", 1, site(&registry.reference("app:1"))));
    assert_eq!(bench.ask(&["health", "--wait", "60"]).trim(), "well");
    assert_eq!(bench.ask(&["health", "--settled"]).trim(), "settled");
    bench.board.stop().unwrap();
    let not_well = |bench: &Bench, words: &[&str], expected: &str| {
        let output = command(&bench.board, words);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!((output.status.code(), said.contains(expected)), (Some(75), true), "{words:?}: {said}");
    };
    not_well(&bench, &["health"], "no agent runs");
    assert_eq!(bench.ask(&["health", "--settled"]).trim(), "settled");
    let answer: serde_json::Value = {
        let output = command(&bench.board, &["health", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert_eq!(answer, serde_json::json!({"well": false, "lacking": ["no agent runs"]}));
    // It starts while somebody waits.
    bench.board.start().unwrap();
    assert_eq!(bench.ask(&["health", "--wait", "60"]).trim(), "well");
    bench.board.stop().unwrap();
    bench.settings.broker = Some(format!("mqtt://127.0.0.1:{}", coracle_test_support::process::free_port()));
    bench.board.configure(&bench.settings).unwrap();
    bench.board.start().unwrap();
    assert_eq!(bench.ask(&["health", "--offline", "--wait", "60"]).trim(), "well");
    not_well(&bench, &["health"], "the broker does not hear this board");
}
