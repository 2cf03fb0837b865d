//! A broker that breaks the protocol: packets that ended, hung or overran other clients (agent/docs/security.md).
//!
//! It says one thing wrong on its first connection and hangs up; from the second one on it is a sound broker.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use coracle_host::channel::Protocol;
use coracle_test_support::acceptor::Acceptor;

use super::{BOTH, Device, PATIENCE, config_at};

/// When the wrong thing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// In place of the answer to CONNECT.
    AtOnce,
    /// In place of the answer to SUBSCRIBE.
    Subscribing,
    /// After it.
    Standing,
}

fn broken(protocol: Protocol, when: When, wrong: Vec<u8>) -> Acceptor {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut wrong = Some((when, wrong));
    let one_by_one = move |client| {
        // A client that hangs up in the middle is what some of these are about.
        let _ = serve(client, protocol, wrong.take().as_ref());
    };
    Acceptor::start(listener, Arc::default(), one_by_one).unwrap()
}

fn serve(mut client: TcpStream, protocol: Protocol, wrong: Option<&(When, Vec<u8>)>) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    let say = |client: &mut TcpStream, at: When| match wrong {
        // It is said whole; then nobody is there any more.
        Some((when, bytes)) if *when == at => client.write_all(bytes).and(Err(io::ErrorKind::Other.into())),
        _ => Ok(()),
    };
    let five = protocol == Protocol::V5;
    loop {
        let (kind, body) = packet(&mut client)?;
        match kind >> 4 {
            1 => {
                say(&mut client, When::AtOnce)?;
                client.write_all(if five { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] })?;
            }
            8 => {
                say(&mut client, When::Subscribing)?;
                let codes = vec![1; filters(protocol, &body)];
                let head: &[u8] = if five { &[0] } else { &[] };
                client.write_all(&framed(0x90, &[&body[..2], head, &codes].concat()))?;
                say(&mut client, When::Standing)?;
                client.write_all(&publish(protocol, b"d/board/desired", b"sound"))?;
            }
            3 if kind & 0b110 != 0 => {
                let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
                client.write_all(&framed(0x40, &body[2 + topic..4 + topic]))?;
            }
            12 => client.write_all(&[0xd0, 0])?,
            14 => return Ok(()),
            _ => {}
        }
    }
}

/// First byte and body of the next packet.
fn packet(client: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let mut byte = [0];
    client.read_exact(&mut byte)?;
    let kind = byte[0];
    let (mut length, mut shift) = (0, 0);
    loop {
        client.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    client.read_exact(&mut body)?;
    Ok((kind, body))
}

/// How many filters a SUBSCRIBE has; its properties are shorter than 128 bytes.
fn filters(protocol: Protocol, body: &[u8]) -> usize {
    let mut at = 2 + if protocol == Protocol::V5 { 1 + usize::from(body[2]) } else { 0 };
    let mut count = 0;
    while at < body.len() {
        at += 2 + usize::from(u16::from_be_bytes([body[at], body[at + 1]])) + 1;
        count += 1;
    }
    count
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    let mut rest = body.len();
    while rest > 0x7f {
        bytes.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).unwrap());
    [bytes.as_slice(), body].concat()
}

fn publish(protocol: Protocol, topic: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(topic.len()).unwrap().to_be_bytes();
    let properties: &[u8] = if protocol == Protocol::V5 { &[0] } else { &[] };
    framed(0x30, &[&length, topic, properties, payload].concat())
}

/// What is wrong, by name.
fn rows(protocol: Protocol) -> Vec<(&'static str, When, Vec<u8>)> {
    use When::{AtOnce, Standing, Subscribing};
    let no_codes: &[u8] = if protocol == Protocol::V5 { &[0x90, 3, 0, 1, 0] } else { &[0x90, 2, 0, 1] };
    vec![
        ("it hangs up without a word", AtOnce, vec![]),
        ("half of an answer", AtOnce, vec![0x20]),
        ("an answer that is another packet", AtOnce, publish(protocol, b"d/board/desired", b"early")),
        (
            "an answer that is a long packet with control characters",
            AtOnce,
            publish(protocol, b"d/\x1b[31m\n", &[b'\n'; 60 << 10]),
        ),
        ("an answer with a code that does not exist", AtOnce, vec![0x20, 2, 0, 0xee]),
        ("an answer with a length of five bytes", AtOnce, vec![0x20, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        ("it hangs up after its first answer", Subscribing, vec![]),
        ("a subscription without codes (CVE-2024-10525)", Subscribing, no_codes.to_vec()),
        ("a subscription without a body", Subscribing, vec![0x90, 0]),
        ("another answer to CONNECT", Standing, vec![0x20, 2, 0, 0]),
        ("a topic that is no UTF-8 (CVE-2017-7653)", Standing, publish(protocol, b"d/\xff\xfe", b"x")),
        ("a topic with a zero byte", Standing, publish(protocol, b"d/board/\0desired", b"x")),
        ("a topic with wildcards", Standing, publish(protocol, b"d/+/#", b"x")),
        ("a topic longer than its packet", Standing, vec![0x30, 4, 0xff, 0xff, b'a', b'b']),
        ("a message of 256 MB", Standing, vec![0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, b'a']),
        ("a message with a length of five bytes", Standing, vec![0x30, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        ("a packet of kind 0", Standing, vec![0x00, 0]),
        ("a packet of kind 15", Standing, vec![0xf0, 0]),
        ("a CONNECT from the broker", Standing, vec![0x10, 0]),
        ("a SUBSCRIBE from the broker", Standing, vec![0x82, 5, 0, 1, 0, 0, 0]),
        ("an acknowledgment of nothing", Standing, vec![0x40, 2, 0x12, 0x34]),
        ("a release of nothing", Standing, vec![0x62, 2, 0x12, 0x34]),
        ("a message of service level 3", Standing, vec![0x36, 5, 0, 1, b'a', 0, 1]),
        ("a message without its number", Standing, vec![0x32, 3, 0, 1, b'a']),
    ]
}

#[test]
fn a_broker_that_breaks_the_protocol_costs_a_connection_and_nothing_more() {
    for protocol in BOTH {
        for (what, when, wrong) in rows(protocol) {
            let broken = broken(protocol, when, wrong);
            let mut device = Device::start(config_at(broken.address().port(), protocol));
            let (_, cause, retry_in) = device.lost();
            let printable = !cause.contains(char::is_control) && cause.len() < 1024;
            assert!(printable && retry_in < Duration::from_secs(60), "{protocol:?}, {what}: {cause}");
            device.connected();
            let (topic, payload, _) = device.message();
            assert_eq!((topic.as_str(), &payload[..]), ("d/board/desired", &b"sound"[..]), "{what}");
            println!("{protocol:?}: {what}: {cause}");
            device.stop();
        }
    }
}
