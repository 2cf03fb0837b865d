use serde_json::{Value, json};

use super::*;
use crate::desired::Clock;
use crate::fault::{Code, Fault};
use crate::limits::{COMMAND_BYTES_MAX, REPLY_BYTES_MAX};
use crate::time::Timestamp;

const NOW: u64 = 1_789_000_000;

fn clock(synced: Option<u64>) -> Clock {
    Clock { synced: synced.map(Timestamp), built: Timestamp(1_700_000_000), newest_issued: Timestamp(0) }
}

fn facts(now_ms: u64) -> Facts<'static> {
    Facts { device: "board-1", clock: clock(Some(NOW)), now_ms }
}

fn document(id: &str, args: &Value) -> Value {
    json!({"schema": "command/v1", "id": id, "iat": NOW - 10, "exp": NOW + 50, "args": args})
}

fn group() -> Origin {
    Origin::Group(GroupName::parse("eu").unwrap())
}

fn send(intake: &mut Intake, origin: &Origin, verb: &str, document: &Value) -> Result<Command, Refusal> {
    let payload = document.to_string();
    let message = Message { origin, verb, payload: payload.as_bytes(), retained: false };
    intake.take(message, &facts(0))
}

/// One command with these arguments, from the device's topic and from the console: both must read the same.
#[track_caller]
fn asks(verb: &str, args: &Value, expected: Result<Action, &str>) {
    let sent = send(&mut Intake::default(), &Origin::Device, verb, &document("a", args));
    let said = console(json!({"verb": verb, "args": args}).to_string().as_bytes());
    match expected {
        Ok(action) => {
            let console = Command { id: None, origin: Origin::Console, action: action.clone(), delay_s: 0 };
            assert_eq!(said, Ok(console));
            let device = Command { id: Some("a".into()), origin: Origin::Device, action, delay_s: 0 };
            assert_eq!(sent, Ok(device));
        }
        Err(says) => {
            let (sent, said) = (sent.unwrap_err(), said.unwrap_err());
            assert_eq!(*sent.fault, said);
            assert_eq!((said.code, said.message()), (Code::Schema, says));
            assert_eq!((sent.id.as_deref(), sent.told), (Some("a"), true));
        }
    }
}

#[test]
fn each_verb_takes_its_own_arguments_and_no_others() {
    let web = || WorkloadId::parse("shop.web").unwrap();
    asks("refresh", &json!({}), Ok(Action::Refresh));
    asks("refresh", &Value::Null, Ok(Action::Refresh));
    asks("cancel", &json!({}), Ok(Action::Cancel(None)));
    asks("cancel", &json!({"gen": 42}), Ok(Action::Cancel(Some(42))));
    asks("retry", &json!({"gen": 0}), Ok(Action::Retry(Some(0))));
    asks("confirm", &json!({"gen": null}), Ok(Action::Confirm(None)));
    asks("restart", &json!({"workload": "shop.web"}), Ok(Action::Restart(Which::Workload(web()))));
    let shop = ProjectName::parse("shop").unwrap();
    asks("restart", &json!({"project": "shop"}), Ok(Action::Restart(Which::Project(shop))));
    asks("logs", &json!({"workload": "shop.web"}), Ok(Action::Logs { workload: web(), lines: LINES }));
    let few = Action::Logs { workload: web(), lines: 3 };
    asks("logs", &json!({"workload": "shop.web", "lines": 3}), Ok(few));
    asks("diag", &json!({}), Ok(Action::Diag));
    asks("gc", &json!({}), Ok(Action::Gc));
    asks("hold", &json!({}), Ok(Action::Hold(String::new())));
    asks(
        "hold",
        &json!({"reason": "moving house", "release": false}),
        Ok(Action::Hold("moving house".into())),
    );
    asks("hold", &json!({"release": true}), Ok(Action::Release));

    asks("refresh", &json!({"spread": 5}), Err("args.spread is not a key this agent knows"));
    asks("gc", &json!({"all": true}), Err("args.all is not a key this agent knows"));
    asks("cancel", &json!({"gen": -1}), Err("args.gen is not a whole number from 0 to 18446744073709551615"));
    asks("cancel", &json!([42]), Err("args is not an object"));
    asks("restart", &json!({}), Err("args name neither a workload nor a project"));
    let both = json!({"workload": "shop.web", "project": "shop"});
    asks("restart", &both, Err("args name a workload and a project: say one of them"));
    asks("restart", &json!({"workload": "web"}), Err("args.workload is not of the form project.service"));
    asks("restart", &json!({"workload": "../x"}), Err("args.workload is not of the form project.service"));
    asks("logs", &json!({}), Err("args.workload is missing"));
    let both = json!({"release": true, "reason": "done"});
    asks("hold", &both, Err("args say release and a reason: a release needs none"));
    let rule = "args.reason is not one line of at most 100 characters";
    asks("hold", &json!({"reason": "x".repeat(101)}), Err(rule));
    asks("hold", &json!({"reason": "a\u{1b}[2J"}), Err(rule));
    asks(
        "logs",
        &json!({"workload": "shop.web", "lines": 0}),
        Err("args.lines is not a whole number from 1 to 1000"),
    );
    asks("logs", &json!({"workload": 7}), Err("args.workload is not a string"));
}

#[test]
fn a_word_that_is_no_verb_is_answered_with_those_there_are() {
    let refusal =
        send(&mut Intake::default(), &Origin::Device, "reboot", &document("a", &json!({}))).unwrap_err();
    assert_eq!((refusal.fault.code, refusal.id.as_deref()), (Code::UnknownVerb, Some("a")));
    assert_eq!(
        refusal.fault.hint.as_deref(),
        Some("there are refresh, cancel, retry, restart, confirm, logs, diag, gc, hold")
    );
    assert_eq!(console(br#"{"verb":"reboot"}"#).unwrap_err().code, Code::UnknownVerb);
    for line in ["", "{", "[]", "\"gc\"", "{}", r#"{"verb":7}"#, r#"{"verb":"gc","id":"a"}"#] {
        assert_eq!(console(line.as_bytes()).unwrap_err().code, Code::Schema, "{line}");
    }
    for verb in Verb::ALL {
        assert_eq!(Verb::parse(verb.wire()), Some(*verb));
    }
}

#[test]
fn old_software_comes_back_by_the_word_of_a_person_at_the_board_alone() {
    let said = console(br#"{"verb":"rollback","args":{"gen":41}}"#).unwrap();
    assert_eq!(said.action, Action::Rollback(Some(41)));
    let sent = send(&mut Intake::default(), &Origin::Device, "rollback", &document("a", &json!({})));
    assert_eq!(sent.unwrap_err().fault.code, Code::UnknownVerb);
}

#[test]
fn documents_are_handed_over_at_the_console_alone() {
    let line = |verb: &str, args: Value| console(json!({"verb": verb, "args": args}).to_string().as_bytes());
    let action = |verb: &str| line(verb, json!({"document": "e30="})).unwrap().action;
    assert_eq!(action("apply"), Action::Apply(b"{}".to_vec()));
    assert_eq!(action("trust"), Action::Trust(b"{}".to_vec()));
    for verb in ["apply", "trust"] {
        for (args, says) in
            [(json!({}), "args.document is missing"), (json!({"document": "{}"}), "is not base64")]
        {
            let fault = line(verb, args).unwrap_err();
            assert!(fault.code == Code::Schema && fault.message().contains(says), "{fault}");
        }
        let sent =
            send(&mut Intake::default(), &Origin::Device, verb, &document("a", &json!({"document": "e30="})));
        assert_eq!(sent.unwrap_err().fault.code, Code::UnknownVerb);
    }
}

#[track_caller]
fn refused(document: &Value, code: Code, says: &str) {
    let refusal = send(&mut Intake::default(), &Origin::Device, "diag", document).unwrap_err();
    assert_eq!(refusal.fault.code, code, "{refusal:?}");
    assert!(refusal.fault.message().contains(says), "{refusal:?}");
    assert!(refusal.told);
}

#[test]
fn a_command_of_another_form_is_refused() {
    let with = |key: &str, value: Value| {
        let mut document = document("a", &json!({}));
        document[key] = value;
        document
    };
    refused(&json!("diag"), Code::Schema, "is not an object");
    refused(&with("schema", json!("command/v2")), Code::Schema, "schema is not \"command/v1\"");
    refused(&with("schema", Value::Null), Code::Schema, "schema");
    refused(&with("id", json!("a/b")), Code::Schema, "id is not 1 to 64");
    refused(&with("id", Value::Null), Code::Schema, "id is missing");
    refused(&with("iat", Value::Null), Code::Schema, "iat is missing");
    refused(&with("exp", Value::Null), Code::Schema, "exp is missing");
    refused(&with("exp", json!("soon")), Code::Schema, "exp is not a whole number");
    refused(&with("more", json!(1)), Code::Schema, "more is not a key");
    refused(&with("args", json!({"x": "y".repeat(COMMAND_BYTES_MAX)})), Code::TooLarge, "4096");
}

#[track_caller]
fn lives(synced: Option<u64>, issued: u64, expires: u64, code: Option<Code>) {
    let document = json!({"schema": "command/v1", "id": "a", "iat": issued, "exp": expires});
    let payload = document.to_string();
    let message =
        Message { origin: &Origin::Device, verb: "diag", payload: payload.as_bytes(), retained: false };
    let facts = Facts { clock: clock(synced), ..facts(0) };
    let taken = Intake::default().take(message, &facts);
    assert_eq!(taken.err().map(|refusal| refusal.fault.code), code, "{document}");
}

#[test]
fn a_command_lives_for_five_minutes_at_most() {
    lives(Some(NOW), NOW, NOW + 1, None);
    lives(Some(NOW), NOW - 299, NOW + 1, None);
    lives(Some(NOW), NOW - 300, NOW, Some(Code::Expired));
    lives(Some(NOW), NOW - 600, NOW - 300, Some(Code::Expired));
    lives(Some(NOW), NOW, NOW + 300, None);
    lives(Some(NOW), NOW, NOW + 301, Some(Code::Schema));
    lives(Some(NOW), NOW, NOW, Some(Code::Schema));
    lives(Some(NOW), NOW, NOW - 1, Some(Code::Schema));
    lives(Some(NOW), NOW + 300, NOW + 600, None);
    lives(Some(NOW), NOW + 301, NOW + 600, Some(Code::Expired));
    // A board whose clock starts in 1970 knows only that time has come as far as its agent's making.
    lives(None, NOW, NOW + 60, None);
    lives(None, 1_600_000_000, 1_600_000_060, Some(Code::Expired));
    lives(None, 1_600_000_000, 1_700_000_000, Some(Code::Schema));
}

#[test]
fn a_command_is_taken_once() {
    let mut intake = Intake::default();
    assert!(send(&mut intake, &Origin::Device, "diag", &document("a", &json!({}))).is_ok());
    for (verb, origin) in [("diag", Origin::Device), ("gc", Origin::Device), ("refresh", group())] {
        let again = send(&mut intake, &origin, verb, &document("a", &json!({}))).unwrap_err();
        assert_eq!(again.fault.code, Code::Duplicate);
        assert_eq!(again.id.as_deref(), Some("a"));
    }
    // One that was refused may be mended and sent again under its id.
    assert!(send(&mut intake, &Origin::Device, "logs", &document("b", &json!({}))).is_err());
    let mended = document("b", &json!({"workload": "shop.web"}));
    assert!(send(&mut intake, &Origin::Device, "logs", &mended).is_ok());
}

#[test]
fn a_command_that_the_broker_kept_is_ignored_whatever_it_says() {
    let payload = document("a", &json!({})).to_string();
    let message =
        Message { origin: &Origin::Device, verb: "gc", payload: payload.as_bytes(), retained: true };
    let refusal = Intake::default().take(message, &facts(0)).unwrap_err();
    assert!(!refusal.told && refusal.fault.code == Code::Expired, "{refusal:?}");
}

#[test]
fn a_flood_is_cut_told_of_now_and_then_and_ends() {
    let mut intake = Intake::default();
    let (mut taken, mut told) = (0, 0);
    let mut flood = |number: u32, now_ms: u64| {
        let payload = document(&number.to_string(), &json!({})).to_string();
        let message =
            Message { origin: &Origin::Device, verb: "diag", payload: payload.as_bytes(), retained: false };
        match intake.take(message, &facts(now_ms)) {
            Ok(_) => taken += 1,
            Err(refusal) => {
                assert_eq!(refusal.fault.code, Code::Busy);
                assert_eq!(refusal.id.is_some(), refusal.told);
                told += u32::from(refusal.told);
            }
        }
        (taken, told)
    };
    for number in 0..10_000 {
        flood(number, u64::from(number));
    }
    // Ten seconds: the burst and what grew meanwhile; one word a second.
    assert_eq!(flood(10_000, 9_999), (16 + 4, 10));
    assert_eq!(flood(10_001, 12_000).0, 21);
}

#[test]
fn a_group_can_be_refreshed_over_a_time_and_held_and_nothing_else() {
    let mut intake = Intake::default();
    let refresh = send(&mut intake, &group(), "refresh", &document("a", &json!({"spread": 1000}))).unwrap();
    assert_eq!((refresh.origin, refresh.action), (group(), Action::Refresh));
    let delay = |id: &str, args: &Value| {
        send(&mut Intake::default(), &group(), "refresh", &document(id, args)).unwrap().delay_s
    };
    assert_eq!(refresh.delay_s, delay("a", &json!({"spread": 1000})), "the same board, the same moment");
    assert!((0..20).any(|id| delay(&id.to_string(), &json!({"spread": 1000})) != refresh.delay_s));
    assert!((0..20).all(|id| delay(&id.to_string(), &json!({})) < REFRESH_SPREAD_S));
    assert_eq!(delay("a", &json!({"spread": 0})), 0);
    let hold =
        send(&mut Intake::default(), &group(), "hold", &document("a", &json!({"reason": "stop"}))).unwrap();
    assert_eq!((hold.action, hold.delay_s), (Action::Hold("stop".into()), 0));
    for verb in Verb::ALL.iter().filter(|verb| ![Verb::Refresh, Verb::Hold].contains(verb)) {
        let refusal =
            send(&mut Intake::default(), &group(), verb.wire(), &document("a", &json!({}))).unwrap_err();
        assert_eq!((refusal.fault.code, refusal.told), (Code::UnknownVerb, false), "{verb:?}");
    }
    let long = document("a", &json!({"spread": SPREAD_S_MAX + 1}));
    assert_eq!(
        send(&mut Intake::default(), &group(), "refresh", &long).unwrap_err().fault.code,
        Code::Schema
    );
}

#[test]
fn a_reply_is_as_the_contract_has_it_and_never_too_long() {
    let reply = Reply::new(Some("a"), "diag", Timestamp(7), Ok(json!({"x": 1})));
    let written: Value = serde_json::from_slice(&reply.to_bytes()).unwrap();
    let expected =
        json!({"schema": "reply/v1", "id": "a", "verb": "diag", "ts": 7, "ok": true, "result": {"x": 1}});
    assert_eq!(written, expected);
    let fault = Fault::new(Code::Busy, "a download is under way");
    let reply = Reply::new(None, "gc", Timestamp(7), Err(fault));
    let written: Value = serde_json::from_slice(&reply.to_bytes()).unwrap();
    assert_eq!((&written["ok"], &written["error"]["code"]), (&json!(false), &json!("BUSY")));
    assert_eq!((&written["error"]["phase"], &written["id"]), (&json!("command"), &Value::Null));

    let long = Reply::new(Some("a"), "diag", Timestamp(7), Ok(json!("x".repeat(REPLY_BYTES_MAX))));
    let written: Value = serde_json::from_slice(&long.to_bytes()).unwrap();
    assert_eq!(written["error"]["code"], "TOO_LARGE");
}

#[test]
fn of_a_long_log_the_newest_lines_are_handed_out() {
    assert_eq!(newest_that_fit(vec!["a".into(), "b".into()]), (vec!["a".into(), "b".into()], true));
    // What JSON writes longer than it is counts as it is written.
    for text in ["x".repeat(1000), "\u{1}".repeat(1000), "é".repeat(1000)] {
        let lines: Vec<String> = (0..100).map(|number| format!("{number} {text}")).collect();
        let (kept, whole) = newest_that_fit(lines.clone());
        assert!(!whole && lines.ends_with(&kept) && !kept.is_empty());
        let id = "x".repeat(64);
        let result = json!({"workload": "p".repeat(129), "lines": kept, "truncated": true});
        assert!(Reply::new(Some(&id), "restart", Timestamp(NOW), Ok(result)).to_bytes().len() > 9_000);
        let reply = Reply::new(Some(&id), "restart", Timestamp(NOW), Ok(json!({"lines": kept})));
        assert!(reply.ok && reply.to_bytes().len() <= REPLY_BYTES_MAX);
    }
}
