//! From a resolved image to the store: each layer in one pass from the network to its files.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use coracle_core::oci::reference::Reference;
use coracle_core::oci::{Descriptor, Digest};
use coracle_host::clock;
use coracle_host::registry::Cause;
use coracle_host::store::{Begun, ImageRecord, Ingested, LayerSpec, Store, StoreError};
use coracle_host::unpack::Limits;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;

use super::resolve::unfetched;
use super::{ImageError, Images, Layer, Resolved, Step, Watch};
use crate::events;

/// Pieces of a layer that may wait between the network and the unpacker; each is at most what one read of the
/// connection gave (400 KiB on a fast link), so this bounds the memory of a slow disk under a fast link. Eight pieces
/// were no faster than three and cost 4 MiB at the peak.
const PIECES: usize = 3;

/// Whether a layer that is here stays, or gives way to what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is not here, as far as is known; if it is after all, it stays.
    First,
    /// It is here and damaged.
    Again,
}

impl Images {
    /// Fetches what is missing of `resolved` and records the image. What is in the store is not fetched again.
    ///
    /// # Errors
    /// [`ImageError`] names the image and the layer; nothing of a failed layer is published.
    pub(crate) async fn pull(&self, resolved: &Resolved, watch: &Watch) -> Result<ImageRecord, ImageError> {
        let image = resolved.reference.to_string();
        let stored = |source| ImageError::Store { image: image.clone(), source: Box::new(source) };
        let _shared = self.share().await.map_err(stored)?;
        let mut missing = Vec::new();
        let mut seen = BTreeSet::new();
        for (layer, diff_id) in resolved.manifest.layers.iter().zip(&resolved.config.diff_ids) {
            if self.store.has_layer(diff_id) {
                watch(Step::Present(layer.digest));
            } else if seen.insert(*diff_id) {
                missing.push((layer.clone(), *diff_id));
            }
        }
        // Before any layer: a collection between two attempts then knows what the layers are for.
        for bytes in [&resolved.top.bytes, &resolved.raw.bytes, &resolved.config_bytes] {
            self.store.put_blob(bytes).map_err(stored)?;
        }
        self.store.put_proofs(&resolved.top.digest, &resolved.proofs).map_err(stored)?;
        // The smallest first: a failure shows early.
        missing.sort_by_key(|(layer, _)| layer.size);
        stream::iter(missing)
            .map(|(layer, diff_id)| self.layer(&resolved.reference, layer, diff_id, Arrival::First, watch))
            .buffer_unordered(self.concurrency.max(1))
            .try_collect::<Vec<u64>>()
            .await?;
        let record = ImageRecord {
            version: ImageRecord::VERSION,
            reference: image.clone(),
            index: resolved.top.digest,
            manifest: resolved.raw.digest,
            config: resolved.manifest.config.digest,
            platform: resolved.platform.clone(),
            layers: resolved.config.diff_ids.clone(),
            pulled_at: clock::wall(),
        };
        self.store.put_image(&record).map_err(stored)?;
        Ok(record)
    }

    /// The image of `reference` if the store has all of it already, so that nothing need be asked of the network.
    /// Only a reference with a digest is certain; a tag may have moved.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub(crate) fn held(&self, reference: &Reference) -> Result<Option<ImageRecord>, StoreError> {
        let Some(&digest) = reference.digest() else { return Ok(None) };
        let fits = |record: &ImageRecord| {
            (record.index == digest || record.manifest == digest) && self.whole(record)
        };
        Ok(self.store.images()?.into_iter().find(fits))
    }

    /// The image of `reference` as it was last pulled for this board, a tag included, if the store has all of it.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub(crate) fn known(&self, reference: &Reference) -> Result<Option<ImageRecord>, StoreError> {
        if reference.digest().is_some() {
            return self.held(reference);
        }
        Ok(self.store.image(&reference.to_string())?.filter(|record| self.whole(record)))
    }

    fn whole(&self, record: &ImageRecord) -> bool {
        self.can_run.iter().any(|platform| platform.normalized() == record.platform.normalized())
            && record.layers.iter().all(|layer| self.store.has_layer(layer))
    }

    /// Gets a layer: goes on with one that an earlier attempt or process left in the middle. Where that does not come
    /// out as claimed, it is fetched from its first byte, once. The bytes that came for it now.
    pub(super) async fn layer(
        &self,
        reference: &Reference,
        layer: Descriptor,
        diff_id: Digest,
        arrival: Arrival,
        watch: &Watch,
    ) -> Result<u64, ImageError> {
        let spec = LayerSpec { descriptor: layer, diff_id, limits: Limits::default() };
        match self.attempt(reference, spec.clone(), arrival, watch).await {
            Err(ImageError::Store { source, .. }) if matches!(*source, StoreError::Resumed { .. }) => {
                events::begun_anew(&spec.descriptor.digest, &source);
                self.attempt(reference, spec, arrival, watch).await
            }
            other => other,
        }
    }

    async fn attempt(
        &self,
        reference: &Reference,
        spec: LayerSpec,
        arrival: Arrival,
        watch: &Watch,
    ) -> Result<u64, ImageError> {
        let image = || reference.to_string();
        let stored = |source| ImageError::Store { image: image(), source: Box::new(source) };
        let layer = spec.descriptor.clone();
        let (digest, total) = (layer.digest, layer.size);
        let store = Arc::clone(&self.store);
        let begun = blocking(digest, move || store.begin_layer(spec)).await.map_err(stored)?;
        let (from, tally) = (begun.at(), begun.tally());
        let (sink, source) = mpsc::channel(PIECES);
        let (pace, told) = (Arc::clone(&self.pace), Arc::clone(watch));
        let hold_up = move || pace.hold_up(&told);
        let unpacking = unpack(Arc::clone(&self.store), (digest, begun), arrival, source, hold_up);
        let fetching = self.registry.stream_blob(reference, &layer, from, sink, |progress| {
            let came = progress.bytes - from + progress.refetched;
            tally.received(came);
            let refetched = (tally.before() + came).saturating_sub(progress.bytes);
            watch(Step::Layer { digest, done: progress.bytes, total, refetched });
        });
        let (fetched, unpacked) = tokio::join!(fetching, unpacking);
        match (fetched, unpacked) {
            // The unpacker gave up first; the fetch only noticed that nobody listens.
            (Err(error), Err(source)) if matches!(*error.cause, Cause::ConsumerGone) => Err(stored(source)),
            (Ok(_), Err(source)) => Err(stored(source)),
            (Err(source), _) => Err(unfetched(reference, source)),
            (Ok(moved), Ok(ingested)) => {
                let came = tally.before() + moved.bytes + moved.refetched;
                watch(Step::Unpacked(Layer {
                    digest,
                    size: total,
                    unpacked: ingested.unpacked_bytes,
                    resumed_at: from,
                    refetched: came.saturating_sub(total),
                }));
                Ok(moved.bytes + moved.refetched)
            }
        }
    }
}

async fn unpack(
    store: Arc<Store>,
    (digest, begun): (Digest, Begun),
    arrival: Arrival,
    source: mpsc::Receiver<Bytes>,
    hold_up: impl Fn() + Send + 'static,
) -> Result<Ingested, StoreError> {
    let reader = Pieces { source, piece: Bytes::new() };
    let take_in = move || match arrival {
        Arrival::First => store.finish_layer(begun, reader, |_| hold_up()),
        Arrival::Again => store.finish_replacing(begun, reader, |_| hold_up()),
    };
    blocking(digest, take_in).await
}

async fn blocking<T: Send + 'static>(
    digest: Digest,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| Err(StoreError::Input { digest, source: io::Error::other(panic) }))
}

/// The pieces that come over a channel, as one stream of bytes.
struct Pieces {
    source: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.source.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let length = self.piece.len().min(buffer.len());
        if let Some(room) = buffer.get_mut(..length) {
            self.piece.copy_to_slice(room);
        }
        Ok(length)
    }
}
