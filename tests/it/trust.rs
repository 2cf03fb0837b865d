//! What a board makes of documents, signed by openssl: a table of all that may be wrong with one, and of what is right.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coracle_core::desired::{Accepted, Clock, Facts, Received, Scope, Tags, receive};
use coracle_core::fault::Fault;
use coracle_core::ident::{DeviceId, GroupName};
use coracle_core::oci::Digest;
use coracle_core::time::Timestamp;
use coracle_core::trust::{Lineage, Policy, Rotated, TrustDocument};
use coracle_test_support::sign::{Algorithm, DESIRED, Signer, TRUST, envelope, trust, with_signatures};
use serde_json::{Value, json};

use crate::attacks::table::{self, Family};

const NOW: u64 = 1_789_000_000;
const BUILT: u64 = 1_700_000_000;
const HOUR: u64 = 3600;

/// What the board knows of the time.
#[derive(Clone, Copy)]
enum Time {
    /// It is [`NOW`].
    Right,
    /// The clock began in 1970; the agent was built at [`BUILT`], and this is the newest `iat` so far.
    Since1970(u64),
}

/// Everybody who signs here.
struct People {
    alice: Signer,
    bob: Signer,
    carol: Signer,
    mallory: Signer,
    root: Signer,
    next_root: Signer,
}

impl People {
    fn new() -> Self {
        let key = |algorithm| Signer::new(algorithm).unwrap();
        Self {
            alice: key(Algorithm::Ed25519),
            bob: key(Algorithm::P256),
            carol: key(Algorithm::Ed25519),
            mallory: key(Algorithm::Ed25519),
            root: key(Algorithm::P256),
            next_root: key(Algorithm::Ed25519),
        }
    }

    /// A board whose image trusts Alice and Bob to deploy, any one of them or both.
    fn board(&self, threshold: usize) -> Policy {
        let document = trust(3, (&[&self.alice, &self.bob], threshold), (&[&self.root], 1));
        let document = TrustDocument::parse(document.to_string().as_bytes()).unwrap();
        Policy::Keys(Box::new(Lineage::of_image(document)))
    }

    /// What follows: Carol deploys, and another root came.
    fn next(&self, counter: u64) -> Vec<u8> {
        trust(counter, (&[&self.carol], 1), (&[&self.next_root], 1)).to_string().into_bytes()
    }

    /// The board after it.
    fn rotated(&self) -> Policy {
        let envelope = envelope(TRUST, &self.next(4), &[&self.root, &self.next_root]).unwrap();
        let Rotated(lineage) = self.board(1).rotate(&envelope).unwrap().unwrap();
        Policy::Keys(Box::new(lineage))
    }
}

/// The document that is right: generation 42, revision 3.
fn document() -> Value {
    json!({
        "schema": "desired/v1", "id": "01J9", "scope": "d/board-1", "gen": 42, "rev": 3,
        "iat": NOW - 10, "exp": NOW + 86_400, "projects": {},
    })
}

fn with(changes: &[(&str, Value)]) -> Vec<u8> {
    let mut document = document();
    for (key, value) in changes {
        document[*key] = value.clone();
    }
    document.to_string().into_bytes()
}

fn signed(payload: &[u8], signers: &[&Signer]) -> Vec<u8> {
    envelope(DESIRED, payload, signers).unwrap()
}

/// The table as it grows.
#[derive(Default)]
struct Table {
    rows: Vec<[String; 3]>,
    accepted: usize,
    refused: usize,
}

impl Table {
    #[track_caller]
    fn row(&mut self, name: &str, got: Result<&str, Fault>, expected: &str) {
        let (verdict, reason) = match got {
            Ok(word) => {
                self.accepted += 1;
                (word.to_owned(), String::new())
            }
            Err(fault) => {
                self.refused += 1;
                table::refused(Family::Document, name, fault.code.wire(), fault.message(), None);
                (fault.code.wire().to_owned(), fault.message().to_owned())
            }
        };
        assert_eq!(verdict, expected, "{name}: {reason}");
        self.rows.push([name.to_owned(), verdict, reason]);
    }

    /// A desired document, on a board that has accepted nothing and knows the time.
    #[track_caller]
    fn desired(&mut self, name: &str, board: &Policy, bytes: &[u8], expected: &str) {
        self.known(name, board, bytes, None, Time::Right, expected);
    }

    /// The same on a board that has accepted these numbers of [`document`], and knows that of the time.
    #[track_caller]
    fn known(
        &mut self,
        name: &str,
        board: &Policy,
        bytes: &[u8],
        numbers: Option<(u64, u64)>,
        time: Time,
        expected: &str,
    ) {
        let digest = Digest::of(document().to_string().as_bytes());
        let accepted = numbers
            .map(|(number, rev)| (Scope::parse("d/board-1").unwrap(), Accepted { number, rev, digest }));
        let accepted: BTreeMap<Scope, Accepted> = accepted.into_iter().collect();
        let (synced, newest) = match time {
            Time::Right => (Some(Timestamp(NOW)), 0),
            Time::Since1970(newest) => (None, newest),
        };
        let facts = Facts {
            device: &DeviceId::parse("board-1").unwrap(),
            groups: &[GroupName::parse("canary").unwrap()],
            trust: board,
            tags: Tags::Refused,
            accepted: &accepted,
            clock: Clock { synced, built: Timestamp(BUILT), newest_issued: Timestamp(newest) },
            agent: "0.1.0",
            platforms: &[],
        };
        let got = receive(bytes, &facts).map(|received| match received {
            Received::Empty => "nothing",
            Received::Same(_) => "known",
            Received::Fresh(..) => "accepted",
        });
        self.row(name, got, expected);
    }

    /// A trust document.
    #[track_caller]
    fn trust(&mut self, name: &str, board: &Policy, payload: &[u8], signers: &[&Signer], expected: &str) {
        let envelope = envelope(TRUST, payload, signers).unwrap();
        let got = board.rotate(&envelope).map(|rotated| if rotated.is_some() { "accepted" } else { "known" });
        self.row(name, got, expected);
    }

    fn print(&self) {
        let wide = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (first, second) = (wide(0), wide(1));
        for [name, verdict, reason] in &self.rows {
            println!("{}", format!("{name:first$}  {verdict:second$}  {reason}").trim_end());
        }
        let (accepted, refused) = (self.accepted, self.refused);
        println!("signed only: {} documents, {accepted} taken, {refused} refused", self.rows.len());
    }
}

/// One signature under `payload` with other bytes.
fn forged(payload: &[u8], sig: &[u8]) -> Vec<u8> {
    with_signatures(DESIRED, payload, &[json!({"sig": STANDARD.encode(sig)})])
}

/// The two numbers of a signature in DER.
fn numbers(sig: &[u8]) -> [Vec<u8>; 2] {
    let (r_length, rest) = (usize::from(sig[3]), &sig[4..]);
    let (r, rest) = rest.split_at(r_length);
    [r.to_vec(), rest[2..].to_vec()]
}

fn der(numbers: &[Vec<u8>; 2]) -> Vec<u8> {
    let number = |bytes: &Vec<u8>| [&[0x02, u8::try_from(bytes.len()).unwrap()], bytes.as_slice()].concat();
    let inner = numbers.iter().flat_map(number).collect::<Vec<u8>>();
    [&[0x30, u8::try_from(inner.len()).unwrap()], inner.as_slice()].concat()
}

/// The other signature that anybody can make of one (SEC 1: `n - s` is as good as `s`).
fn twin(sig: &[u8]) -> Vec<u8> {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let [r, s] = numbers(sig);
    let mut padded = [0; 33];
    padded[33 - s.len()..].copy_from_slice(&s);
    let (mut other, mut borrow) = (Vec::new(), 0_i16);
    for (n, s) in ORDER.iter().zip(&padded[1..]).rev() {
        let difference = i16::from(*n) - i16::from(*s) - borrow;
        borrow = i16::from(difference < 0);
        other.push(u8::try_from(difference + 256 * borrow).unwrap());
    }
    other.reverse();
    while other[0] == 0 && other[1] < 0x80 {
        other.remove(0);
    }
    if other[0] >= 0x80 {
        other.insert(0, 0);
    }
    der(&[r, other])
}

fn signatures(table: &mut Table, people: &People) {
    let People { alice, bob, mallory, root, .. } = people;
    let (one, two, right) = (&people.board(1), &people.board(2), &with(&[]));
    table.desired("right, Ed25519", one, &signed(right, &[alice]), "accepted");
    table.desired("right, P-256", one, &signed(right, &[bob]), "accepted");
    table.desired("right, both of two keys", two, &signed(right, &[alice, bob]), "accepted");
    table.desired(
        "right, beside a stranger's signature",
        two,
        &signed(right, &[mallory, bob, alice]),
        "accepted",
    );
    table.desired("unsigned", one, &signed(right, &[]), "UNSIGNED");
    table.desired("unsigned, on a board that takes those", &Policy::Anybody, &signed(right, &[]), "accepted");
    let keyless = Policy::Nobody("/usr/share/coracle/trust.d holds neither trust.json nor *.pub".to_owned());
    table.desired("right, on a board without keys", &keyless, &signed(right, &[alice]), "SIGNATURE");
    table.desired("wrong key", one, &signed(right, &[mallory]), "SIGNATURE");
    let mut claims = mallory.sign(DESIRED, right).unwrap();
    claims["keyid"] = alice.id().into();
    let claims = with_signatures(DESIRED, right, &[claims]);
    table.desired("wrong key under the id of a right one", one, &claims, "SIGNATURE");
    table.desired("key of another role", one, &signed(right, &[root]), "SIGNATURE");
    table.desired("one key of two", two, &signed(right, &[alice]), "SIGNATURE");
    table.desired("the same key twice", two, &signed(right, &[bob, bob]), "SIGNATURE");
    table.desired("one key of two, and a wrong one", two, &signed(right, &[alice, mallory]), "SIGNATURE");
    let sig = alice.signature(DESIRED, right).unwrap();
    table.desired("no key id at all", one, &forged(right, &sig), "accepted");
    let altered = with(&[("gen", json!(43))]);
    table.desired("altered payload", one, &forged(&altered, &sig), "SIGNATURE");
    table.desired(
        "a space more in the payload",
        one,
        &forged(&[right, &b" "[..]].concat(), &sig),
        "SIGNATURE",
    );
    let of_trust = alice.signature(TRUST, right).unwrap();
    table.desired("signed as a trust document", one, &forged(right, &of_trust), "SIGNATURE");
    let as_trust = envelope(TRUST, right, &[alice]).unwrap();
    table.desired("altered payload type", one, &as_trust, "SCHEMA");
    table.desired("signature cut short", one, &forged(right, &sig[..63]), "SIGNATURE");
    let sig = bob.signature(DESIRED, right).unwrap();
    let long = [&[0x30, 0x81], &sig[1..]].concat();
    table.desired("DER with a long length", one, &forged(right, &long), "SIGNATURE");
    table.desired("DER with a byte after it", one, &forged(right, &[&sig[..], &[0]].concat()), "SIGNATURE");
    let [r, s] = numbers(&sig);
    let padded = der(&[[&[0], r.as_slice()].concat(), s]);
    table.desired("DER with a leading zero too many", one, &forged(right, &padded), "SIGNATURE");
    let entry = |sig: &[u8]| json!({"keyid": bob.id(), "sig": STANDARD.encode(sig)});
    let twins = with_signatures(DESIRED, right, &[entry(&sig), entry(&twin(&sig))]);
    table.desired("a signature and its twin", two, &twins, "SIGNATURE");
    table.desired("the twin alone", one, &forged(right, &twin(&sig)), "accepted");
}

fn order_and_time(table: &mut Table, people: &People) {
    let (board, alice) = (&people.board(1), &people.alice);
    let by_alice = |changes: &[(&str, Value)]| signed(&with(changes), &[alice]);
    let right = &by_alice(&[]);
    let seen = Some((42, 3));
    table.known("again", board, right, seen, Time::Right, "known");
    table.known("a newer revision", board, &by_alice(&[("rev", json!(4))]), seen, Time::Right, "accepted");
    table.known("replayed", board, right, Some((43, 0)), Time::Right, "REPLAY");
    let before = by_alice(&[("rev", json!(2))]);
    table.known("reordered: revision 2 after 3", board, &before, seen, Time::Right, "REPLAY");
    let other = by_alice(&[("id", json!("01JA"))]);
    table.known("equivocation", board, &other, seen, Time::Right, "EQUIVOCATION");
    table.desired("another device's", board, &by_alice(&[("scope", json!("d/board-2"))]), "SCOPE");
    table.desired("another group's", board, &by_alice(&[("scope", json!("g/stable"))]), "SCOPE");
    table.desired("the own group's", board, &by_alice(&[("scope", json!("g/canary"))]), "accepted");
    let expired = |at: u64| by_alice(&[("iat", json!(at - HOUR)), ("exp", json!(at))]);
    table.desired("expired, by a right clock", board, &expired(NOW), "EXPIRED");
    let since = |newest| Time::Since1970(newest);
    table.known(
        "expired before the agent was built, in 1970",
        board,
        &expired(BUILT),
        None,
        since(0),
        "EXPIRED",
    );
    let newest = BUILT + 100 * HOUR;
    table.known(
        "expired before the newest iat, in 1970",
        board,
        &expired(newest),
        None,
        since(newest),
        "EXPIRED",
    );
    table.known(
        "expired, but in 1970 nobody knows",
        board,
        &expired(newest + 1),
        None,
        since(newest),
        "accepted",
    );
    let future = by_alice(&[("iat", json!(NOW + 2 * HOUR))]);
    table.desired("from the future, by a right clock", board, &future, "EXPIRED");
    table.known("from the future, in 1970", board, &future, None, since(0), "accepted");
    table.known("expired, and accepted before", board, right, seen, since(NOW + 90_000), "known");
    let newer = by_alice(&[("requires", json!({"agent": ">=9"}))]);
    table.desired("wants a newer agent", board, &newer, "AGENT_VERSION");
}

fn rotation(table: &mut Table, people: &People) {
    let People { alice, carol, root, next_root, .. } = people;
    let (before, after, right) = (&people.board(1), &people.rotated(), &with(&[]));
    table.trust(
        "trust: by the old root and the new",
        before,
        &people.next(4),
        &[root, next_root],
        "accepted",
    );
    table.trust("trust: by the old root only", before, &people.next(4), &[root], "SIGNATURE");
    table.trust("trust: by the new root only", before, &people.next(4), &[next_root], "SIGNATURE");
    table.trust("trust: by a key that deploys", before, &people.next(4), &[alice], "SIGNATURE");
    table.trust("trust: unsigned", before, &people.next(4), &[], "UNSIGNED");
    table.trust("trust: counter too low", before, &people.next(2), &[root, next_root], "REPLAY");
    table.trust(
        "trust: the same counter, other keys",
        before,
        &people.next(3),
        &[root, next_root],
        "EQUIVOCATION",
    );
    table.trust("trust: again, after the rotation", after, &people.next(4), &[root, next_root], "known");
    table.trust("trust: by roots that were replaced", after, &people.next(5), &[root, alice], "SIGNATURE");
    table.desired("old key, before the rotation", before, &signed(right, &[alice]), "accepted");
    table.desired("new key, before the rotation", before, &signed(right, &[carol]), "SIGNATURE");
    table.desired("old key, after the rotation", after, &signed(right, &[alice]), "SIGNATURE");
    table.desired("new key, after the rotation", after, &signed(right, &[carol]), "accepted");
    let seen = Some((42, 3));
    let again = signed(right, &[alice]);
    table.known("accepted before, by a key that was replaced", after, &again, seen, Time::Right, "SIGNATURE");
}

#[test]
fn a_board_takes_what_its_keys_signed_and_nothing_else() {
    let (mut table, people) = (Table::default(), People::new());
    signatures(&mut table, &people);
    order_and_time(&mut table, &people);
    rotation(&mut table, &people);
    table.print();
}
