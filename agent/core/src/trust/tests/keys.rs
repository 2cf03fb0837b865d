//! Keys, and signatures that openssl made with them.

use super::*;

const ED25519: &str = include_str!("../../../../../tests/data/trust/ed25519.pub");
const P256: &str = include_str!("../../../../../tests/data/trust/p256.pub");
const SIGNED_ED25519: &[u8] = include_bytes!("../../../../../tests/data/trust/desired-ed25519.json");
const SIGNED_P256: &[u8] = include_bytes!("../../../../../tests/data/trust/desired-p256.json");
/// The same point as `P256`, compressed.
const COMPRESSED: &str = "-----BEGIN PUBLIC KEY-----\nMDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgAC5MhzH479nhUBjLGEgk2QZt5+VLVy\nFI8+Lq9cMlR4zFs=\n-----END PUBLIC KEY-----";
const OTHER: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n-----END PUBLIC KEY-----";

#[test]
fn the_two_forms_of_openssl_are_read_and_written_the_same() {
    for (pem, algorithm) in [(ED25519, Algorithm::Ed25519), (P256, Algorithm::EcdsaP256)] {
        let key = PublicKey::from_pem(pem).unwrap();
        assert_eq!((key.algorithm(), key.to_pem().as_str()), (algorithm, pem));
        assert_eq!(KeyId::parse(&key.id().to_string()), Some(key.id()));
        assert_eq!(PublicKey::from_pem(&format!("\n{}\n\n", pem.replace('\n', "\r\n"))), Ok(key));
    }
}

#[test]
fn whatever_else_is_called_a_key_is_refused_for_what_it_is() {
    let private = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n";
    let cut = ED25519.replace("MCow", "MCo");
    for (text, error) in [
        ("", KeyError::Form),
        ("MCowBQYDK2VwAyEA", KeyError::Form),
        (&format!("{ED25519}{P256}"), KeyError::Form),
        (&cut, KeyError::Form),
        (&format!("{ED25519}{}", " ".repeat(5000)), KeyError::Form),
        (private, KeyError::Private),
        (&format!("{ED25519}{private}"), KeyError::Private),
        (COMPRESSED, KeyError::Algorithm),
        (OTHER, KeyError::Algorithm),
    ] {
        assert_eq!(PublicKey::from_pem(text), Err(error), "{text:.60}");
    }
}

fn signed(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let envelope = Envelope::parse(Kind::Desired, bytes).unwrap();
    (pae(Kind::Desired, envelope.payload()), envelope.signatures()[0].sig.clone())
}

#[test]
fn what_openssl_signed_is_good_and_nothing_beside_it() {
    for (pem, bytes) in [(ED25519, SIGNED_ED25519), (P256, SIGNED_P256)] {
        let key = PublicKey::from_pem(pem).unwrap();
        let (message, sig) = signed(bytes);
        assert!(key.verifies(&message, &sig));
        for at in 0..message.len() {
            let mut altered = message.clone();
            altered[at] ^= 1;
            assert!(!key.verifies(&altered, &sig), "byte {at} of the message");
        }
        for at in 0..sig.len() {
            let mut altered = sig.clone();
            altered[at] ^= 1;
            assert!(!key.verifies(&message, &altered), "byte {at} of the signature");
        }
        for other in [&sig[..sig.len() - 1], &[&sig[..], &[0]].concat(), &[], &[0; 64], &[0; 72]] {
            assert!(!key.verifies(&message, other), "{other:x?}");
        }
        let stranger = PublicKey::from_pem(if pem == P256 { ED25519 } else { P256 }).unwrap();
        assert!(!stranger.verifies(&message, &sig));
    }
}

#[test]
fn a_signature_in_der_has_one_encoding() {
    let (message, sig) = signed(SIGNED_P256);
    let key = PublicKey::from_pem(P256).unwrap();
    let [0x30, length, 0x02, first, ..] = *sig.as_slice() else { panic!("{sig:x?}") };
    // A length in two bytes, a leading zero too many: the same numbers in other words.
    let long = [&[0x30, 0x81, length], &sig[2..]].concat();
    let padded = [&[0x30, length + 1, 0x02, first + 1, 0], &sig[4..]].concat();
    for other in [long, padded] {
        assert!(!key.verifies(&message, &other), "{other:x?}");
    }
}
