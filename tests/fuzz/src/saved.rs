//! What the agent wrote itself and a worn flash gives back otherwise: the journal, records, checkpoints, lists.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::time::Duration;

use coracle_core::oci::Digest;
use coracle_core::record::Record;
use coracle_core::rollout::{Event, Observation, work};
use coracle_core::scrub::{Decoder, Encoder, RECORD_BYTES_MAX};
use coracle_core::time::Timestamp;
use coracle_host::store::{ImageRecord, LayerRecord};
use coracle_host::supervise::{Status, Unit};
use coracle_host::unpack::{Interval, Whole, resume};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::layer;
use crate::pieces::Pieces;
use crate::scratch::within;
use crate::told::told;

/// A journal: the same once written and read; and whatever stands in it, the machine goes on from there.
pub(crate) fn journal(data: &[u8]) {
    let mut record = match Record::from_bytes(data) {
        Ok(record) => record,
        Err(error) => return told(&error),
    };
    let written = record.to_bytes().expect("a record is written");
    assert_eq!(Record::from_bytes(&written).as_ref(), Ok(&record));
    let pieces = &mut Pieces::new(data.get(data.len().saturating_sub(16)..).unwrap_or_default());
    let mut now = Timestamp(record.newest_iat.0.saturating_add(5));
    for event in [Event::Started, Event::Tick] {
        record.feed(event, now, now);
    }
    for _ in 0..12 {
        now = now.after(u64::from(pieces.byte()) * 60);
        let _ = work(&record.rollout, now);
        let event = event(&record, pieces.byte());
        record.feed(event, now, now);
        let written = record.to_bytes().expect("a record is written");
        assert_eq!(Record::from_bytes(&written).as_ref(), Ok(&record));
    }
}

fn event(record: &Record, which: u8) -> Event {
    let of = record.rollout.under_way().map_or_else(|| Digest::of(b""), |(of, _)| of);
    match which % 10 {
        0 => Event::Tick,
        1 => Event::Cancel,
        2 => Event::Retry(None),
        3 => Event::Confirm,
        4 => Event::RollBack,
        5 => Event::Applied(of),
        6 => Event::Observed(of, Observation::Healthy { restarts: u32::from(which) }),
        7 => Event::Restored(of),
        8 => Event::Gates(of, Vec::new()),
        _ => Event::Started,
    }
}

/// The other records, each the same once written and read; and a checkpoint that lies under a right sum.
pub(crate) fn saved(data: &[u8]) {
    round::<ImageRecord>(data);
    round::<LayerRecord>(data);
    round::<Status>(data);
    round::<Unit>(data);
    checkpoint(data);
}

fn round<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(data: &[u8]) {
    let Ok(record) = serde_json::from_slice::<T>(data) else { return };
    let written = serde_json::to_vec(&record).expect("a record is written");
    assert_eq!(serde_json::from_slice::<T>(&written).expect("the same"), record);
}

/// Goes on from a checkpoint that nobody wrote: nothing may happen outside of the tree, and nothing may be endless.
fn checkpoint(body: &[u8]) {
    let Ok(serde_json::Value::Object(said)) = serde_json::from_slice(body) else { return };
    let Some(Ok(layer)) = said.get("layer").map(|layer| serde_json::from_value::<Whole>(layer.clone()))
    else {
        return;
    };
    let bytes = [Digest::of(body).hex().as_bytes(), b"\n", body].concat();
    within(move |place| {
        let (dir, tree) = (place.join("parts"), place.join("parts/tree"));
        fs::create_dir_all(&tree).expect("a directory");
        fs::write(dir.join("checkpoint"), &bytes).expect("a file");
        fs::write(dir.join("ledger"), b"").expect("a file");
        let interval = Interval { bytes: 1, time_min: Duration::ZERO, time: Duration::ZERO, bytes_min: 1 };
        let Some(resumed) = resume(&dir, layer, interval) else { return };
        layer::go_on(&tree, Cursor::new(vec![0; 2048]), layer.size, resumed);
    });
}

/// A list: records that can be read are written again as they were read, and paths stay in their bounds.
pub(crate) fn list(data: &[u8]) {
    let (mut decoder, mut encoder, mut again) = (Decoder::default(), Encoder::default(), Decoder::default());
    let (mut rest, mut written, mut seen) = (data, Vec::new(), BTreeMap::new());
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length));
        let Some((record, after)) = after.split_at_checked(length) else { return };
        rest = after;
        let Ok(entry) = decoder.decode(record) else { return };
        encoder.encode(&entry, &mut written);
        assert!(written.len() <= RECORD_BYTES_MAX);
        assert_eq!(again.decode(&written).as_ref(), Ok(&entry));
        seen.insert(entry.path.clone(), entry);
    }
}
