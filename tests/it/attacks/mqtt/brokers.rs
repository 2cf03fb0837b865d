//! What the puppet says.

use std::io;

use coracle_test_support::puppet::{Hand, WELCOME, packet, publish};

use super::{Attack, lost, stands};

const DESIRED: &[u8] = b"coracle/v1/d/besieged/desired";
const COMMAND: &[u8] = b"coracle/v1/d/besieged/cmd/diag";
const TRUST: &[u8] = b"coracle/v1/trust";
/// The largest packet that a board takes, less its head.
const LONG: usize = (128 << 10) - 1024;

/// A bad document, whose refusal shows that the board still listens, and a command, whose answer does: after a flood of
/// one kind the other is told.
fn marker(hand: &mut Hand) -> io::Result<()> {
    let document = br#"{"payloadType":"the marker","payload":"","signatures":[]}"#;
    hand.send(&publish(0, DESIRED, None, b"", document))?;
    let command = br#"{"id":"the-marker"}"#;
    hand.send(&publish(0, COMMAND, None, b"", command))?;
    hand.serve()
}

/// After a good beginning sends these bytes.
fn after(hand: &mut Hand, bytes: &[u8]) -> io::Result<()> {
    hand.welcome()?;
    hand.send(bytes)?;
    hand.serve()
}

/// The same, and then the marker.
fn then_marker(hand: &mut Hand, pieces: impl Iterator<Item = Vec<u8>>) -> io::Result<()> {
    hand.welcome()?;
    for piece in pieces {
        hand.send(&piece)?;
    }
    marker(hand)
}

pub(super) fn attacks() -> Vec<Attack> {
    let mut all = greetings();
    all.extend(packets());
    all.extend(floods());
    all
}

fn greetings() -> Vec<Attack> {
    vec![
        lost("no MQTT at all", |hand| hand.greet(b"HTTP/1.1 400 Bad Request\r\n\r\n"), ""),
        lost("greeting of another kind", |hand| hand.greet(&[0xd0, 0]), ""),
        lost("greeting with an unknown answer", |hand| hand.greet(&[0x20, 3, 0, 0xf0, 0]), ""),
        lost("length of five bytes", |hand| hand.greet(&[0x20, 0xff, 0xff, 0xff, 0xff, 0x7f]), ""),
        lost(
            "message before the greeting",
            |hand| hand.greet(&publish(0, DESIRED, None, b"", &vec![7; LONG])),
            "",
        ),
        lost("greeting that grants no message", |hand| hand.greet(&[0x20, 6, 0, 0, 3, 0x21, 0, 0]), ""),
        lost("greeting that grants no byte", |hand| hand.greet(&[0x20, 8, 0, 0, 5, 0x27, 0, 0, 0, 0]), ""),
        lost("properties longer than the greeting", |hand| hand.greet(&[0x20, 3, 0, 0, 0x7f]), ""),
        lost(
            "session that nobody had",
            |hand| {
                hand.greet(&[0x20, 3, 1, 0, 0])?;
                hand.serve()
            },
            "",
        ),
    ]
}

fn packets() -> Vec<Attack> {
    vec![
        lost(
            "packet of 256 MiB",
            |hand| {
                hand.welcome()?;
                hand.send(&[0x30, 0xff, 0xff, 0xff, 0x7f])?;
                (0..256).try_for_each(|_| hand.send(&vec![0; 1 << 20]))
            },
            "",
        ),
        lost("second greeting", |hand| after(hand, WELCOME), ""),
        lost(
            "topic by a number nobody gave",
            |hand| after(hand, &publish(0, b"", None, &[0x23, 0, 1], b"x")),
            "",
        ),
        lost("quality of service 3", |hand| after(hand, &publish(0x06, DESIRED, Some(1), b"", b"x")), ""),
        lost("topic that is no text", |hand| after(hand, &publish(0, b"\xff\xfe", None, b"", b"x")), ""),
        lost("topic longer than its packet", |hand| after(hand, &packet(0x30, &[0xff, 0xff, b'x'])), ""),
        lost("acknowledgment of nothing", |hand| after(hand, &packet(0x40, &[0x1e, 0x61])), ""),
        lost("packet of type 0", |hand| after(hand, &packet(0x00, b"x")), ""),
        lost("a client's packet", |hand| after(hand, &packet(0x82, &[0, 1, 0, 0, 1, b'#', 0])), ""),
        lost(
            "sent to another server",
            |hand| {
                let properties = [&[0x1c, 0, 14][..], b"127.0.0.1:1883"].concat();
                let length = u8::try_from(properties.len()).unwrap_or(0);
                after(hand, &packet(0xe0, &[&[0x9c, length][..], &properties].concat()))
            },
            "UseAnotherServer",
        ),
        lost("session taken over", |hand| after(hand, &packet(0xe0, &[0x8e, 0])), "SessionTakenOver"),
        lost(
            "terminal commands as a reason",
            |hand| {
                let properties = [&[0x1f, 0, 8][..], b"\x1b[2J\n\r\x07\x08"].concat();
                let length = u8::try_from(properties.len()).unwrap_or(0);
                after(hand, &packet(0xe0, &[&[0x80, length][..], &properties].concat()))
            },
            "",
        ),
    ]
}

fn floods() -> Vec<Attack> {
    vec![
        stands(
            "answer wanted elsewhere",
            |hand| {
                let properties = [&[0x08, 0, 10][..], b"evil/there", &[0x09, 0, 1, b'x']].concat();
                then_marker(hand, std::iter::once(publish(0, COMMAND, None, &properties, b"{}")))
            },
            "all that is said is said under the board's own name",
        ),
        stands(
            "topics that nobody subscribed to",
            |hand| {
                let topics = (0..2000)
                    .map(|n| format!("coracle/v1/d/other-{n}/desired\u{1b}[2J{}", "x".repeat(20_000)));
                then_marker(hand, topics.map(|topic| publish(0, topic.as_bytes(), None, b"", b"{}")))
            },
            "passed over, without a line of the log",
        ),
        stands(
            "a thousand documents of 120 KiB",
            |hand| then_marker(hand, (0..1000).map(|_| publish(0, DESIRED, None, b"", &vec![b'x'; LONG]))),
            "the newest counts; the rest costs neither memory nor disk",
        ),
        stands(
            "five thousand bad documents, each another",
            |hand| {
                let document = |n| format!(r#"{{"payloadType":"bad {n}","payload":"","signatures":[]}}"#);
                then_marker(hand, (0..5000).map(|n| publish(0, DESIRED, None, b"", document(n).as_bytes())))
            },
            "refused without a write for each",
        ),
        stands(
            "retained documents without end on the topic of keys",
            |hand| {
                then_marker(hand, (0..2000).map(|n| publish(1, TRUST, None, b"", &vec![b'x'; 20_000 + n])))
            },
            "refused without a write for each",
        ),
        stands(
            "twenty thousand commands",
            |hand| then_marker(hand, (0..20_000).map(|_| publish(0, COMMAND, None, b"", b"{\"schema\":1}"))),
            "some are answered, the rest counted",
        ),
        stands(
            "retained command",
            |hand| then_marker(hand, std::iter::once(publish(1, COMMAND, None, b"", b"{}"))),
            "not obeyed: nobody knows its age",
        ),
        stands(
            "verb that is a path",
            |hand| {
                let verbs = ["coracle/v1/d/besieged/cmd/../../x", "coracle/v1/d/besieged/cmd/\u{1b}[2J"];
                then_marker(
                    hand,
                    verbs.into_iter().map(|topic| publish(0, topic.as_bytes(), None, b"", b"{}")),
                )
            },
            "all that is said is said under the board's own name",
        ),
    ]
}
