//! Output, input, terminals, clients.

use std::fs;
use std::os::fd::AsFd as _;

use coracle_host::supervise::{Attachment, FromClient, Phase, Stream, ToClient};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::bench::{Bench, PATIENCE};

/// Listens until `wanted` was heard; answers with all of it.
#[track_caller]
fn hear(attachment: &Attachment, wanted: &str) -> String {
    let mut heard = String::new();
    while !heard.contains(wanted) {
        let timeout = PollTimeout::try_from(PATIENCE).unwrap();
        let ready = poll(&mut [PollFd::new(attachment.as_fd(), PollFlags::POLLIN)], timeout).unwrap();
        assert_eq!(ready, 1, "waited for {wanted:?}, heard {heard:?}");
        match attachment.hear().unwrap() {
            ToClient::Output(_, bytes) => heard.push_str(&String::from_utf8_lossy(&bytes)),
            ToClient::End => panic!("it ended; waited for {wanted:?}, heard {heard:?}"),
        }
    }
    heard
}

fn say(attachment: &Attachment, text: &str) {
    attachment.say(&FromClient::Input(text.as_bytes().to_vec())).unwrap();
}

#[test]
fn input_reaches_the_process_and_its_end_too() {
    let bench = Bench::new();
    let mut unit = bench.unit("count", "head -n 1; wc -l; echo end >&2");
    unit.workload.service.stdin_open = true;
    bench.direct.start(&unit).unwrap();
    let attachment = bench.direct.attach(&unit.id).unwrap();
    say(&attachment, "ping\n");
    assert_eq!(hear(&attachment, "\n"), "ping\n");
    // More than pipe and socket hold together.
    for _ in 0..400 {
        say(&attachment, &"0123456789\n".repeat(100));
    }
    attachment.say(&FromClient::EndOfInput).unwrap();
    let status = bench.until(&unit.id, |status| !status.phase.live());
    assert_eq!((status.phase, status.exit_code), (Phase::Exited, Some(0)));
    assert_eq!(bench.lines(&unit.id), ["ping", "40000", "end"]);
}

#[test]
fn without_open_input_the_process_reads_its_end_at_once() {
    let bench = Bench::new();
    let unit = bench.unit("eof", "cat; echo done");
    assert_eq!(bench.output(&unit), (vec!["done".to_owned()], 0));
    assert!(bench.direct.attach(&unit.id).is_err());
}

#[test]
fn a_client_hears_both_outputs_and_the_end() {
    let bench = Bench::new();
    let mut unit = bench.unit("both", "cat > /dev/null; echo out; echo err >&2");
    unit.workload.service.stdin_open = true;
    bench.direct.start(&unit).unwrap();
    let attachment = bench.direct.attach(&unit.id).unwrap();
    attachment.say(&FromClient::EndOfInput).unwrap();
    let mut heard = Vec::new();
    while let ToClient::Output(stream, bytes) = attachment.hear().unwrap() {
        heard.push((stream, String::from_utf8(bytes).unwrap()));
    }
    heard.sort_by_key(|(_, text)| text.clone());
    assert_eq!(heard, [(Stream::Err, "err\n".to_owned()), (Stream::Out, "out\n".to_owned())]);
}

#[test]
fn a_terminal_has_a_size_and_takes_keys() {
    let bench = Bench::new();
    let mut unit = bench.unit("tty", "test -t 0 && test -t 1 && echo is-tty; exec sh");
    unit.workload.service.tty = true;
    unit.workload.service.stdin_open = true;
    bench.direct.start(&unit).unwrap();
    bench.until_lines(&unit.id, |lines| lines.iter().any(|line| line.starts_with("is-tty")));
    let attachment = bench.direct.attach(&unit.id).unwrap();
    attachment.say(&FromClient::Size { rows: 33, columns: 77 }).unwrap();
    say(&attachment, "stty size\n");
    hear(&attachment, "33 77");
    // Another client takes part in the same terminal, and its leaving harms nobody.
    let second = bench.direct.attach(&unit.id).unwrap();
    say(&second, "echo $((6 * 7))\n");
    hear(&second, "42");
    drop(second);
    hear(&attachment, "42");
    say(&attachment, "exit 5\n");
    assert_eq!(bench.until(&unit.id, |status| !status.phase.live()).exit_code, Some(5));
}

#[test]
fn a_burst_is_kept_within_its_bound_and_its_end_is_there() {
    let bench = Bench::new();
    let mut unit = bench.unit("burst", "seq 1 200000");
    unit.log_bytes_max = 100 << 10;
    bench.run(&unit);
    let place = bench.direct.place(&unit.id);
    let size = |name: &str| fs::metadata(place.join(name)).unwrap().len();
    assert!(size("log") + size("log.1") <= 100 << 10);
    assert_eq!(bench.lines(&unit.id).last().map(String::as_str), Some("200000"));
    let entries = bench.direct.logs(&unit.id, 3).unwrap();
    assert_eq!(entries.len(), 3);
    assert!(entries[0].contains("Z stdout F 199998"), "{entries:?}");
}

#[test]
fn a_client_that_does_not_read_is_cut_off_and_the_workload_goes_on() {
    let bench = Bench::new();
    let mut unit = bench.unit("stuck", "cat > /dev/null; seq 1 300000");
    unit.workload.service.stdin_open = true;
    bench.direct.start(&unit).unwrap();
    let stuck = bench.direct.attach(&unit.id).unwrap();
    stuck.say(&FromClient::EndOfInput).unwrap();
    let status = bench.until(&unit.id, |status| !status.phase.live());
    assert_eq!(status.exit_code, Some(0));
    assert_eq!(bench.lines(&unit.id).last().map(String::as_str), Some("300000"));
}
