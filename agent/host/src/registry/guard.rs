//! Bounds on waiting for the head of a blob's answer.
//!
//! The transport library reads the body of an error answer to its end, whatever its length, before it returns.
//! From outside one sees of that only that it is polled often, that time passes and that memory grows.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::error::Cause;

/// Bytes this process may grow while it waits for a head; a head itself is at most some hundred KiB.
const GROWTH_BYTES_MAX: u64 = 4 << 20;
/// Polls in which a head arrives at the latest on good connections; memory is looked at only after them, so that
/// what other transfers take meanwhile does not count.
const POLLS_FREE: u32 = 32;
/// Polls after which the answer is endless whatever its size: each brings a piece of it.
const POLLS_MAX: u32 = 4096;

/// Runs `future` for at most `wait`, and while memory does not run away.
///
/// # Errors
/// [`Cause::Stalled`] when time is up, [`Cause::Endless`] when it grew.
pub(super) async fn guarded<F: Future>(wait: Duration, future: F) -> Result<F::Output, Cause> {
    let mut future = pin!(future);
    let start = resident_bytes();
    let mut polls = 0_u32;
    let watched = std::future::poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        polls += 1;
        let grown = polls > POLLS_FREE && resident_bytes().saturating_sub(start) > GROWTH_BYTES_MAX;
        if grown || polls > POLLS_MAX { Poll::Ready(Err(Cause::Endless)) } else { Poll::Pending }
    });
    tokio::time::timeout(wait, watched).await.unwrap_or(Err(Cause::Stalled(wait)))
}

/// Resident bytes of this process; 0 where the kernel does not say, and then only time and polls bound.
fn resident_bytes() -> u64 {
    // The second field of statm counts pages; 4 KiB is the least of any page size, so growth is never overstated.
    const PAGE_BYTES: u64 = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0).saturating_mul(PAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn a_future_that_ends_is_let_through() {
        assert_eq!(block_on(guarded(Duration::from_secs(5), async { 7 })).unwrap(), 7);
    }

    #[test]
    fn a_future_that_never_ends_is_given_up() {
        let wait = Duration::from_millis(20);
        let cause = block_on(guarded(wait, std::future::pending::<()>())).unwrap_err();
        assert!(matches!(cause, Cause::Stalled(_)), "{cause}");
    }

    #[test]
    fn a_future_that_eats_memory_or_is_polled_without_end_is_given_up() {
        let mut eaten = Vec::new();
        let eating = std::future::poll_fn(|context| {
            eaten.push(vec![1_u8; 256 << 10]);
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        let cause = block_on(guarded(Duration::from_secs(60), eating)).unwrap_err();
        assert!(matches!(cause, Cause::Endless), "{cause}");
        assert!(eaten.len() < 1024, "{} pieces", eaten.len());

        let spinning = std::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        let cause = block_on(guarded(Duration::from_secs(60), spinning)).unwrap_err();
        assert!(matches!(cause, Cause::Endless), "{cause}");
    }
}
