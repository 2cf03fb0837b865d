//! How many signatures of whom are enough.

use super::*;
use crate::fault::Code;

const PAYLOAD: &[u8] = b"{}";

/// Keys 1, 2 and 3 deploy, 8 and 9 are the root.
fn board(threshold: usize) -> TrustDocument {
    parsed(&trust(1, (&[1, 2, 3], threshold), (&[8, 9], 2)))
}

#[track_caller]
fn check(threshold: usize, signers: &[u8], expected: Result<usize, (Code, &str)>) {
    let got = verify(sealed(Kind::Desired, PAYLOAD, signers), &board(threshold), RoleName::Deploy);
    match (got, expected) {
        (Ok(verified), Ok(count)) => {
            assert_eq!((&verified[..], verified.digest()), (PAYLOAD, crate::oci::Digest::of(PAYLOAD)));
            let Voucher::Keys(keys) = verified.voucher() else { panic!("nobody vouches") };
            assert_eq!(keys.len(), count);
        }
        (Err(fault), Err((code, says))) => {
            assert_eq!(fault.code, code);
            assert!(fault.message().contains(says), "{}", fault.message());
            let hint = fault.hint.unwrap();
            for key in [1, 2, 3] {
                assert!(hint.contains(&Signer::new(key).public().id().short()), "{hint}");
            }
        }
        (got, expected) => panic!("{signers:?}: {got:?} instead of {expected:?}"),
    }
}

#[test]
fn different_keys_of_the_role_count_each_once() {
    check(1, &[1], Ok(1));
    check(1, &[7, 8, 3], Ok(1));
    check(2, &[1, 3], Ok(2));
    check(2, &[3, 7, 2, 1], Ok(2));
    check(3, &[1, 2, 3], Ok(3));
    check(1, &[], Err((Code::Unsigned, "no signature")));
    check(1, &[7], Err((Code::Signature, "0 of 1 signatures")));
    check(1, &[8, 9], Err((Code::Signature, "0 of 2 signatures")));
    check(
        2,
        &[1],
        Err((Code::Signature, "1 of 1 signatures of the document are good, by 1 key; deploy needs 2 keys")),
    );
    check(
        2,
        &[1, 1, 1],
        Err((Code::Signature, "3 of 3 signatures of the document are good, by 1 key; deploy needs 2 keys")),
    );
    check(
        3,
        &[1, 2, 8, 2],
        Err((Code::Signature, "3 of 4 signatures of the document are good, by 2 keys; deploy needs 3 keys")),
    );
}

#[test]
fn a_key_id_in_a_signature_is_a_hint_and_no_proof() {
    for claimed in [None, Some(String::new()), Some("me".to_owned()), Some("0".repeat(64))] {
        let mut signature = Signer::new(2).sign(Kind::Desired, PAYLOAD);
        signature.keyid = claimed;
        let envelope = Envelope::sealed(Kind::Desired, PAYLOAD.to_vec(), vec![signature]);
        assert!(verify(envelope, &board(1), RoleName::Deploy).is_ok());
    }
    let mut stranger = Signer::new(7).sign(Kind::Desired, PAYLOAD);
    stranger.keyid = Some(Signer::new(1).public().id().to_string());
    let envelope = Envelope::sealed(Kind::Desired, PAYLOAD.to_vec(), vec![stranger]);
    assert_eq!(verify(envelope, &board(1), RoleName::Deploy).unwrap_err().code, Code::Signature);
}

#[test]
fn a_signature_is_bound_to_what_it_signed() {
    let other_kind = Signer::new(1).sign(Kind::Trust, PAYLOAD);
    let other_bytes = Signer::new(1).sign(Kind::Desired, b"{} ");
    for signature in [other_kind, other_bytes] {
        let envelope = Envelope::sealed(Kind::Desired, PAYLOAD.to_vec(), vec![signature]);
        assert_eq!(verify(envelope, &board(1), RoleName::Deploy).unwrap_err().code, Code::Signature);
    }
}

#[test]
fn a_policy_takes_anybody_nobody_or_those_with_keys() {
    let keys = Policy::Keys(Box::new(Lineage::of_image(board(1))));
    let nobody = Policy::Nobody("there is no key".to_owned());
    let rows: [(&Policy, &[u8], Result<(), Code>); 6] = [
        (&Policy::Anybody, &[], Ok(())),
        (&Policy::Anybody, &[7], Ok(())),
        (&keys, &[1], Ok(())),
        (&keys, &[], Err(Code::Unsigned)),
        (&nobody, &[], Err(Code::Unsigned)),
        (&nobody, &[1], Err(Code::Signature)),
    ];
    for (policy, signers, expected) in rows {
        let got = policy.admit(sealed(Kind::Desired, PAYLOAD, signers));
        assert_eq!(got.as_ref().map(|_| ()).map_err(|fault| fault.code), expected, "{policy:?}");
        if let Ok(verified) = got {
            assert_eq!(*verified.voucher() == Voucher::Nobody, *policy == Policy::Anybody);
        }
    }
    let why = nobody.unusable().map(|(why, _)| why);
    assert_eq!(why.as_deref(), Some("there is no key"));
    assert_eq!((Policy::Anybody.unusable(), keys.unusable()), (None, None));
    let told = [Policy::Anybody.told(), nobody.told(), keys.told()];
    assert_eq!(told, ["none".to_owned(), "keyless".to_owned(), board(1).digest().hex()]);
}

#[test]
fn a_trust_document_is_refused_for_what_is_wrong_with_it() {
    let sound = || trust(1, (&[1, 2], 1), (&[9], 1));
    let id = |number: u8| Signer::new(number).public().id().to_string();
    let rows: [(&str, serde_json::Value, &str); 12] = [
        ("/schema", "trust/v2".into(), "schema is not"),
        ("/counter", 0.into(), "counter is 0"),
        ("/counter", (-1).into(), "cannot be read"),
        ("/keys", serde_json::json!({}), "which keys lacks"),
        ("/keys", serde_json::json!({ id(1): Signer::new(2).public().to_pem() }), " is the key "),
        ("/keys", serde_json::json!({ "AB": "" }), "64 lower-case hex"),
        ("/roles/deploy/threshold", 0.into(), "roles.deploy.threshold is 0, of 2 keys"),
        ("/roles/deploy/threshold", 3.into(), "roles.deploy.threshold is 3, of 2 keys"),
        ("/roles/root/threshold", 2.into(), "roles.root.threshold is 2, of 1 keys"),
        ("/roles/root", serde_json::json!({"keys": [], "threshold": 0}), "roles.root.threshold is 0"),
        ("/roles/deploy", role(&[1], 1).keys.iter().next().unwrap().to_string().into(), "cannot be read"),
        ("/roles/deploy/keys", serde_json::json!([id(1)]), "has no role"),
    ];
    for (path, value, says) in rows {
        let mut document = sound();
        *document.pointer_mut(path).unwrap() = value;
        let fault = TrustDocument::parse(document.to_string().as_bytes()).unwrap_err();
        assert_eq!(fault.code, Code::Schema);
        assert!(fault.message().contains(says), "{path}: {}", fault.message());
    }
    let many: Vec<u8> = (1..=33).collect();
    let fault = TrustDocument::parse(trust(1, (&many, 1), (&[9], 1)).to_string().as_bytes()).unwrap_err();
    assert!(fault.message().contains("more than the 32 taken"), "{fault}");
    assert!(TrustDocument::parse(sound().to_string().as_bytes()).is_ok());
}

#[test]
fn plain_keys_amount_to_a_document_without_a_counter() {
    let keys =
        |numbers: &[u8]| numbers.iter().map(|number| Signer::new(*number).public()).collect::<Vec<_>>();
    let document = TrustDocument::of_keys(keys(&[1, 2]), keys(&[9])).unwrap();
    assert_eq!((document.counter(), document.role(RoleName::Deploy)), (0, &role(&[1, 2], 1)));
    assert_eq!(document.role(RoleName::Root), &role(&[9], 1));
    let same = TrustDocument::of_keys(keys(&[2, 1]), keys(&[9])).unwrap();
    assert_eq!(document.digest(), same.digest());
    let rootless = TrustDocument::of_keys(keys(&[1]), Vec::new()).unwrap();
    assert_eq!(rootless.role(RoleName::Root).threshold, 0);
    let envelope = sealed(Kind::Trust, PAYLOAD, &[1]);
    assert_eq!(verify(envelope, &rootless, RoleName::Root).unwrap_err().code, Code::Signature);
    assert!(TrustDocument::of_keys(Vec::new(), keys(&[1])).is_err());
}
