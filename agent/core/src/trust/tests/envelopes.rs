//! The envelope's form.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::fault::Code;
use crate::limits::DESIRED_BYTES_MAX;

const KIND: Kind = Kind::Desired;

fn parse(value: &Value) -> Envelope {
    Envelope::parse(KIND, value.to_string().as_bytes()).unwrap()
}

#[test]
fn it_is_read_in_both_alphabets_with_and_without_padding() {
    let payload = [0xfb, 0xff, 0xfe, 0x01];
    for text in [
        STANDARD.encode(payload),
        STANDARD_NO_PAD.encode(payload),
        URL_SAFE.encode(payload),
        URL_SAFE_NO_PAD.encode(payload),
    ] {
        let envelope = parse(
            &json!({"payloadType": KIND.payload_type(), "payload": text, "signatures": [{"sig": text}]}),
        );
        assert_eq!(envelope.payload(), payload);
        assert_eq!(envelope.signatures(), [Signature { keyid: None, sig: payload.to_vec() }]);
        assert_eq!(Envelope::parse(KIND, &envelope.to_bytes()), Ok(envelope));
    }
}

#[test]
fn one_of_another_form_is_refused() {
    let sound = json!({"payloadType": KIND.payload_type(), "payload": "", "signatures": []});
    let with = |key: &str, value: Value| {
        let mut envelope = sound.clone();
        envelope[key] = value;
        envelope.to_string().into_bytes()
    };
    let twice = sound.to_string().replacen('{', r#"{"payload":"AAAA","#, 1);
    let rows = [
        (b"{".to_vec(), Code::Schema),
        (twice.into_bytes(), Code::Schema),
        (with("payloadType", "text/plain".into()), Code::Schema),
        (with("payloadType", Kind::Trust.payload_type().into()), Code::Schema),
        (with("payload", "%%".into()), Code::Schema),
        (with("payload", "AA==\n".into()), Code::Schema),
        (with("payload", "AB==".into()), Code::Schema),
        (with("payload", "+-AA".into()), Code::Schema),
        (with("payload", 7.into()), Code::Schema),
        (with("extra", 1.into()), Code::Schema),
        (with("signatures", json!([{"sig": "!"}])), Code::Schema),
        (with("signatures", json!([{"sig": "", "keyid": "x".repeat(257)}])), Code::Schema),
        (with("signatures", vec![json!({"sig": ""}); 17].into()), Code::Schema),
        (vec![b' '; DESIRED_BYTES_MAX + 1], Code::TooLarge),
    ];
    for (bytes, code) in rows {
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(Envelope::parse(KIND, &bytes).unwrap_err().code, code, "{shown:.100}");
    }
}

#[test]
fn what_is_signed_is_what_dsse_says() {
    let expected = b"DSSEv1 39 application/vnd.coracle.desired.v1+json 11 hello world";
    assert_eq!(pae(KIND, b"hello world"), expected);
    assert_ne!(pae(Kind::Trust, b"hello world"), expected);
}
