use super::*;
use crate::time::Timestamp;

fn entry(path: &str, node: Node) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        mode: 0o644,
        owner: (0, 0),
        time: (1_000_000_000, 0),
        node,
        links: 1,
        inode: 0,
        attributes: 0,
    }
}

fn file(path: &str, bytes: u64) -> Entry {
    entry(path, Node::File { bytes, sum: 0xdead_beef })
}

fn all() -> Vec<Entry> {
    vec![
        Entry { mode: 0o755, ..entry("", Node::Directory) },
        Entry { mode: 0o7777, owner: (70_000, u32::MAX - 1), ..entry("bin", Node::Directory) },
        Entry { links: 3, inode: u64::MAX, attributes: 7, ..file("bin/bash", u64::MAX) },
        Entry { time: (i64::MIN, 999_999_999), ..file("bin/bashbug", 0) },
        Entry { time: (i64::MAX, 1), ..entry("bin/sh", Node::Link(b"bash".to_vec())) },
        Entry { time: (-1, 0), ..entry("dev/null", Node::Character(259)) },
        entry("dev/sda", Node::Block(2048)),
        entry("gone", Node::Character(0)),
        entry("pipe", Node::Fifo),
        entry("socket", Node::Other),
        file(&format!("{}/{}", "d".repeat(255), "é".repeat(127)), 1),
    ]
}

#[test]
fn what_is_written_is_read_again() {
    let (mut encoder, mut decoder, mut record) = (Encoder::default(), Decoder::default(), Vec::new());
    for entry in all() {
        encoder.encode(&entry, &mut record);
        assert!(record.len() <= RECORD_BYTES_MAX);
        assert_eq!(decoder.decode(&record), Ok(entry));
    }
}

#[test]
fn a_usual_file_takes_less_than_thirty_bytes() {
    let (mut encoder, mut record) = (Encoder::default(), Vec::new());
    encoder.encode(&file("usr/share/doc/package/changelog", 1), &mut record);
    encoder.encode(&file("usr/share/doc/package/copyright.gz", 40_000), &mut record);
    assert!(record.len() < 30, "{}", record.len());
}

#[test]
fn no_piece_of_a_record_is_taken_for_a_whole_one() {
    let mut encoder = Encoder::default();
    let (mut record, mut before) = (Vec::new(), Decoder::default());
    for entry in all() {
        encoder.encode(&entry, &mut record);
        for end in 0..record.len() {
            let mut decoder = before.clone();
            assert_eq!(decoder.decode(&record[..end]), Err(FormError), "{end} of {entry:?}");
        }
        let longer = [record.as_slice(), b"\0"].concat();
        assert_eq!(before.clone().decode(&longer), Err(FormError));
        before.decode(&record).unwrap();
    }
    for wrong in [&[0xff; 12][..], &[9, 0, 0, 0, 0], &[0, 0, 7, 0, 0], &[0, 0, 0x80, 0, 0]] {
        assert_eq!(Decoder::default().decode(wrong), Err(FormError), "{wrong:?}");
    }
}

#[test]
fn the_order_is_that_of_a_walk() {
    let walk: [&[u8]; 8] = [b"", b"a", b"a/b", b"a/b/c", b"a/b-c", b"a-", b"a.b", b"b"];
    for pair in walk.windows(2) {
        assert_eq!(order(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        assert_eq!(order(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
    }
    assert!(is_below(b"a/b", b"a") && is_below(b"a", b"") && !is_below(b"", b""));
    assert!(!is_below(b"a-b", b"a") && !is_below(b"a", b"a"));
}

#[track_caller]
fn check(change: impl Fn(&mut Entry), problems: &[&str]) {
    let listed = Entry { links: 2, inode: 5, ..file("f", 10) };
    let mut found = listed.clone();
    change(&mut found);
    let told: Vec<_> = differences(&listed, &found).iter().map(ToString::to_string).collect();
    assert_eq!(told, problems);
}

#[test]
fn each_difference_is_told_in_plain_words() {
    check(|_| {}, &[]);
    // Whoever reads the bytes compares them, and whoever sees all files compares their numbers.
    check(|it| it.node = Node::File { bytes: 10, sum: 1 }, &[]);
    check(|it| it.inode = 6, &[]);
    check(|it| it.node = Node::File { bytes: 3, sum: 1 }, &["had 10 bytes and has 3"]);
    check(|it| it.mode = 0o600, &["had mode 0644 and has 0600"]);
    check(|it| it.owner = (1, 2), &["belonged to 0:0 and belongs to 1:2"]);
    check(|it| it.time.1 = 1, &["has another time of change"]);
    check(|it| it.attributes = 1, &["has other attributes"]);
    check(|it| it.links = 1, &["has other names"]);
    check(|it| it.node = Node::Directory, &["was a file and is a directory"]);
    check(|it| it.node = Node::Character(0), &["was a file and is a whiteout"]);
    check(
        |it| (it.mode, it.time) = (0, (0, 0)),
        &["had mode 0644 and has 0000", "has another time of change"],
    );
    let link = |to: &str| entry("l", Node::Link(to.as_bytes().to_vec()));
    assert_eq!(differences(&link("a"), &link("b")), [Problem::Target]);
    let node = |device| entry("d", Node::Block(device));
    assert_eq!(differences(&node(1), &node(2)), [Problem::Device]);
}

// Found by fuzzing: a record that no encoder writes was read, and was another one when it was written again.
#[test]
fn a_flag_for_what_is_not_there_is_no_record() {
    // Path, flags, mode and time of a directory, then: names and file, owner, nanoseconds, sum of attributes.
    for (flags, rest) in [(1 << 4, &[1, 9][..]), (1 << 5, &[0, 0]), (1 << 6, &[0]), (1 << 3, &[0; 4])] {
        let owner = if flags == 1 << 5 { rest } else { &[] };
        let after = if flags == 1 << 5 { &[] } else { rest };
        let record = [&[0, 0, flags, 5], owner, &[0], after].concat();
        assert_eq!(Decoder::default().decode(&record), Err(FormError), "{flags:#b}");
    }
    assert!(Decoder::default().decode(&[0, 0, 1 << 4, 5, 0, 2, 9]).is_ok());
}

#[test]
fn a_pass_is_due_once_in_its_time() {
    const DAY: u64 = 86_400;
    let pace = |days| Pace { days, seed: 9 };
    let is_due = |days, last: Option<u64>, now, up| due(pace(days), last.map(Timestamp), Timestamp(now), up);
    assert!(!is_due(0, None, DAY, DAY), "0 is never");
    assert!(is_due(30, None, 0, 0), "a store that was never read");
    assert!(!is_due(30, Some(1000 * DAY), 1000 * DAY + 26 * DAY, 0));
    assert!(is_due(30, Some(1000 * DAY), 1000 * DAY + 30 * DAY, 0));
    // A board without its clock.
    assert!(!is_due(30, Some(1000 * DAY), 60, 60));
    assert!(is_due(30, Some(1000 * DAY), 31 * DAY, 30 * DAY));
    // The boards of a fleet do not come at the same time.
    let day = |seed| {
        let early =
            |hours: &u64| due(Pace { days: 30, seed }, Some(Timestamp(0)), Timestamp(hours * 3600), 0);
        (0..).find(early).unwrap()
    };
    let hours: std::collections::BTreeSet<u64> = (0..50).map(day).collect();
    assert!(hours.len() > 20 && hours.iter().all(|hour| (27 * 24..=30 * 24).contains(hour)), "{hours:?}");
}
