//! What servers say before anything is verified: what a registry asks for, and the packets of a broker.

use bytes::BytesMut;
use coracle_host::registry::{Challenge, best_challenge};

/// Bytes of a packet that are taken.
const PACKET_BYTES_MAX: u32 = 64 << 10;
/// Packets that are read of one input.
const PACKETS_MAX: usize = 64;

/// Values of `WWW-Authenticate`, one a line: a realm is one that was there.
pub(crate) fn challenge(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match best_challenge(text.lines()) {
        Some(Challenge::Bearer { realm, service }) => {
            assert!(realm.len() <= text.len() && service.is_none_or(|service| service.len() <= text.len()));
            let written = format!("Bearer realm=\"{}\"", realm.replace('\\', "\\\\").replace('"', "\\\""));
            if written.len() <= 4096 {
                let again = best_challenge(std::iter::once(written.as_str()));
                assert_eq!(again, Some(Challenge::Bearer { realm, service: None }));
            }
        }
        Some(Challenge::Basic) => assert!(text.to_ascii_lowercase().contains("basic")),
        None => {}
    }
}

/// Packets of both versions of MQTT: no packet takes more than it has, and each ends.
pub(crate) fn mqtt(data: &[u8]) {
    let mut stream = BytesMut::from(data);
    for _ in 0..PACKETS_MAX {
        let before = stream.len();
        if rumqttc_v5::mqttbytes::v5::Packet::read(&mut stream, Some(PACKET_BYTES_MAX)).is_err() {
            break;
        }
        assert!(stream.len() < before, "a packet of no bytes");
    }
    let mut stream = BytesMut::from(data);
    for _ in 0..PACKETS_MAX {
        let before = stream.len();
        if rumqttc_v4::mqttbytes::v4::Packet::read(&mut stream, PACKET_BYTES_MAX as usize).is_err() {
            break;
        }
        assert!(stream.len() < before, "a packet of no bytes");
    }
}
