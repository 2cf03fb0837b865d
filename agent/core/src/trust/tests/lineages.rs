//! How keys follow keys.

use super::*;
use crate::fault::{Code, Fault};
use crate::limits::TRUST_CHAIN_MAX;
use crate::saved::Newer;

/// The image trusts key 1 to deploy, and of the roots 7, 8 and 9 any two.
fn image() -> Lineage {
    Lineage::of_image(parsed(&trust(3, (&[1], 1), (&[7, 8, 9], 2))))
}

fn envelope(document: &serde_json::Value, signers: &[u8]) -> Envelope {
    sealed(Kind::Trust, document.to_string().as_bytes(), signers)
}

fn rotated(
    lineage: &Lineage,
    document: &serde_json::Value,
    signers: &[u8],
) -> Result<Option<Lineage>, Fault> {
    lineage.rotate(envelope(document, signers)).map(|next| next.map(|Rotated(next)| next))
}

/// Counter 4: key 2 deploys instead of 1, root 5 came for 9.
fn next() -> serde_json::Value {
    trust(4, (&[2], 1), (&[5, 7, 8], 2))
}

#[track_caller]
fn check(document: &serde_json::Value, signers: &[u8], expected: Result<u64, (Code, &str)>) {
    let got = rotated(&image(), document, signers);
    match (got, expected) {
        (Ok(Some(lineage)), Ok(counter)) => assert_eq!(lineage.current().counter(), counter),
        (Err(fault), Err((code, says))) => {
            assert_eq!(fault.code, code, "{fault}");
            assert!(fault.message().contains(says), "{fault}");
        }
        (got, expected) => panic!("{signers:?}: {got:?} instead of {expected:?}"),
    }
}

#[test]
fn the_old_roots_and_the_new_ones_must_both_agree() {
    check(&next(), &[7, 8], Ok(4));
    check(&next(), &[7, 9, 5], Ok(4));
    check(
        &next(),
        &[7, 9],
        Err((
            Code::Signature,
            "the roots it names: 1 of 2 signatures of the trust document are good, by 1 key; root needs 2 keys",
        )),
    );
    check(&next(), &[5, 7], Err((Code::Signature, "this board's own roots: 1 of 2 ")));
    check(&next(), &[7], Err((Code::Signature, "1 of 1 signatures")));
    check(
        &next(),
        &[7, 7],
        Err((Code::Signature, "2 of 2 signatures of the trust document are good, by 1 key;")),
    );
    check(&next(), &[1, 2], Err((Code::Signature, "0 of 2 signatures")));
    check(&next(), &[], Err((Code::Unsigned, "no signature")));
    let counted = |counter| trust(counter, (&[2], 1), (&[7, 8], 2));
    check(&counted(900), &[7, 8], Ok(900));
    check(&counted(2), &[7, 8], Err((Code::Replay, "counter 2, below 3")));
    check(&counted(3), &[7, 8], Err((Code::Equivocation, "carry the counter 3")));
    check(&serde_json::json!({"schema": "trust/v1"}), &[7, 8], Err((Code::Schema, "cannot be read")));
}

#[test]
fn what_is_known_already_is_no_news_whoever_signed_it() {
    let fourth = rotated(&image(), &next(), &[7, 8]).unwrap().unwrap();
    let fifth_document = trust(5, (&[2], 1), (&[5, 6], 2));
    let fifth = rotated(&fourth, &fifth_document, &[5, 7, 6]).unwrap().unwrap();
    for document in [&next(), &fifth_document] {
        assert_eq!(rotated(&fifth, document, &[]), Ok(None));
    }
    // The one before it, by roots that count no more.
    let other = trust(4, (&[3], 1), (&[7, 8], 2));
    assert_eq!(rotated(&fifth, &other, &[7, 8]).unwrap_err().code, Code::Signature);
    let admits = |lineage: &Lineage, deployer| {
        Policy::Keys(Box::new(lineage.clone())).admit(sealed(Kind::Desired, b"{}", &[deployer])).is_ok()
    };
    assert_eq!((admits(&image(), 1), admits(&image(), 2)), (true, false));
    assert_eq!((admits(&fifth, 1), admits(&fifth, 2)), (false, true));
}

fn resumed(image: &Lineage, saved: &[u8]) -> (Lineage, Option<Fault>) {
    Lineage::resume(image.image().clone(), saved).unwrap()
}

#[test]
fn a_saved_lineage_goes_on_where_it_was() {
    let fourth = rotated(&image(), &next(), &[7, 8]).unwrap().unwrap();
    let fifth = rotated(&fourth, &trust(5, (&[2], 1), (&[5, 6], 2)), &[5, 7, 6]).unwrap().unwrap();
    assert_eq!((fifth.rotations(), fifth.floor()), (2, 5));
    assert_eq!(resumed(&image(), &fifth.to_bytes()), (fifth.clone(), None));
    // An image that brings the fourth, and one that brings the sixth.
    let of_fourth = Lineage::of_image(parsed(&next()));
    let (lineage, broken) = resumed(&of_fourth, &fifth.to_bytes());
    assert_eq!((lineage.current(), lineage.rotations(), broken), (fifth.current(), 1, None));
    let of_sixth = Lineage::of_image(parsed(&trust(6, (&[3], 1), (&[4], 1))));
    let (lineage, broken) = resumed(&of_sixth, &fifth.to_bytes());
    assert_eq!((lineage.current(), lineage.rotations(), broken), (of_sixth.current(), 0, None));
    // Back to the first image: what the sixth had taken away does not come back.
    let (lineage, _) = resumed(&image(), &lineage.to_bytes());
    assert_eq!((lineage.current().counter(), lineage.floor()), (3, 6));
    assert_eq!(lineage.fit().unwrap_err().code, Code::Signature);
    let replay = rotated(&lineage, &trust(5, (&[1], 1), (&[7, 8], 2)), &[7, 8]);
    assert_eq!(replay.unwrap_err().code, Code::Replay);
    let seventh = rotated(&lineage, &trust(6, (&[2], 1), (&[7, 8], 2)), &[7, 8]).unwrap().unwrap();
    assert_eq!(seventh.fit(), Ok(()));
}

#[test]
fn a_saved_lineage_that_somebody_changed_opens_nothing() {
    let fourth = rotated(&image(), &next(), &[7, 8]).unwrap().unwrap();
    let saved: serde_json::Value = serde_json::from_slice(&fourth.to_bytes()).unwrap();
    let forged = serde_json::json!({
        "version": 1, "floor": 4, "chain": [serde_json::from_slice::<serde_json::Value>(
            &envelope(&trust(4, (&[6], 1), (&[6], 1)), &[6]).to_bytes()).unwrap()],
    });
    let mut cut = saved;
    cut["chain"] = serde_json::json!([]);
    for (changed, breaks) in [(forged, true), (cut, false)] {
        let (lineage, broken) = resumed(&image(), changed.to_string().as_bytes());
        assert_eq!((lineage.current().counter(), broken.is_some()), (3, breaks));
        assert_eq!(lineage.fit().unwrap_err().code, Code::Signature);
    }
    let of = |text: &str| Lineage::resume(image().image().clone(), text.as_bytes()).unwrap_err();
    assert!(matches!(of("{"), SavedError::Damaged(_)));
    assert_eq!(of(r#"{"version":2,"more":1}"#), SavedError::Newer(Newer { found: 2, known: 1 }));
}

#[test]
fn the_first_saved_form_is_read() {
    let root = PublicKey::from_pem(include_str!("../../../../../tests/data/trust/root.pub")).unwrap();
    let deploy = PublicKey::from_pem(include_str!("../../../../../tests/data/trust/ed25519.pub")).unwrap();
    let image = Lineage::of_image(TrustDocument::of_keys(vec![deploy.clone()], vec![root]).unwrap());
    let (lineage, broken) = resumed(&image, include_bytes!("../../../../../tests/data/saved/trust-1.json"));
    assert_eq!((broken, lineage.current().counter(), lineage.rotations(), lineage.floor()), (None, 2, 2, 2));
    assert!(!lineage.current().role(RoleName::Deploy).keys.contains(&deploy.id()));
}

#[test]
fn a_chain_has_an_end() {
    let mut lineage = Lineage::of_image(parsed(&trust(1, (&[1], 1), (&[9], 1))));
    for counter in 2.. {
        let document = trust(counter, (&[1], 1), (&[9], 1));
        match rotated(&lineage, &document, &[9]) {
            Ok(next) => lineage = next.unwrap(),
            Err(fault) => {
                assert_eq!(fault.code, Code::TooLarge);
                break;
            }
        }
    }
    assert_eq!(lineage.rotations(), TRUST_CHAIN_MAX);
}
