//! Blobs over connections that break, stall, lie and go on for ever.

use coracle_test_support::faults::{Fault, FaultRegistry, On, Times};

use super::*;

const SIZE: usize = 3_000_000;

struct Row {
    name: &'static str,
    fault: Fault,
    expected: &'static str,
    /// Bytes of the sink that may be there when it fails.
    sunk_max: usize,
    sent_max: u64,
}

fn row(name: &'static str, fault: Fault, expected: &'static str, sunk_max: usize) -> Row {
    // What the fetch sees of an endless answer is the memory of the whole process, other tests' too, and the polls.
    Row { name, fault, expected, sunk_max, sent_max: 128 << 20 }
}

#[tokio::test]
async fn each_fault_of_a_blob_ends_in_an_error_that_names_it() {
    let rows = [
        row("not found", Fault::error(404, "BLOB_UNKNOWN"), "registry answered 404 (BLOB_UNKNOWN)", 0),
        row("403", Fault::error(403, "DENIED"), "registry answered 403 (DENIED)", 0),
        row("429 with Retry-After", Fault::retry_after(429, 7), "registry answered 429 (tried 3 times)", 0),
        row(
            "429 without",
            Fault::error(429, "TOOMANYREQUESTS"),
            "answered 429 (TOOMANYREQUESTS) (tried 3",
            0,
        ),
        row("503", Fault::status(503), "registry answered 503 (tried 3 times)", 0),
        row("416", Fault::status(416), "registry answered 416", 0),
        row("cut at once", Fault::Truncate { after: 0 }, "(tried 3 times)", 0),
        row("stall at once", Fault::Stall { after: 0 }, "nothing came for 400 ms (tried 3 times)", 0),
        row("longer, announced", Fault::Longer { extra: 5, announced: true }, "announced 3000005 bytes", 0),
        row(
            "longer, not announced",
            Fault::Longer { extra: 5, announced: false },
            "longer than 3000000",
            SIZE,
        ),
        row("shorter", Fault::Body(vec![0; 10]), "announced 10 bytes, expected 3000000", 0),
        row("endless", Fault::Endless { status: 206 }, "longer than 3000000 bytes", SIZE),
        row("endless error", Fault::Endless { status: 500 }, "did not end where its head should", 0),
        row("endless 404", Fault::Endless { status: 404 }, "did not end where its head should", 0),
    ];
    for Row { name, fault, expected, sunk_max, sent_max } in rows {
        let registry = FaultRegistry::start();
        let digest = registry.put_blob(&content(SIZE));
        registry.script(On::get("/blobs/"), Times::Always, fault);
        let client = client(quick(&registry));
        let (result, sunk) = stream(&client, &reference(&registry, "app"), &descriptor(&digest, SIZE)).await;
        let object = format!("failed to fetch blob {digest} from {:?}: ", registry.host());
        let error = result.unwrap_err();
        says(&error, name, &[&object, expected]);
        // What a good registry answers on a bad day is no attack.
        if !name.starts_with(|c: char| c.is_ascii_digit()) && name != "not found" {
            refuses(&error, &format!("layer: {name}"), &[]);
        }
        assert!(sunk.len() <= sunk_max, "{name}: {} bytes in the sink", sunk.len());
        assert!(registry.bytes_sent() <= sent_max, "{name}: {} bytes sent", registry.bytes_sent());
    }
}

#[tokio::test]
async fn a_layer_is_resumed_at_the_byte_where_its_connection_broke() {
    for drops in [1, 2, 7] {
        let registry = FaultRegistry::start();
        let whole = content(SIZE);
        let digest = registry.put_blob(&whole);
        registry.script(On::get("/blobs/"), Times::Next(drops), Fault::Truncate { after: 300_000 });
        let client = client(quick(&registry));
        let (result, sunk) = stream(&client, &reference(&registry, "app"), &descriptor(&digest, SIZE)).await;
        let transferred = result.unwrap();
        assert_eq!((transferred.bytes, transferred.refetched), (SIZE as u64, 0), "{drops} drops");
        assert!(sunk == whole, "{drops} drops: other bytes");
        let ranges = registry.ranges();
        assert_eq!(ranges.len(), drops as usize + 1);
        assert_eq!(ranges[0], "bytes=0-2999999");
        for range in ranges {
            assert!(range.ends_with("-2999999"), "closed: {range}");
        }
        assert_eq!(registry.bytes_sent() - 2, SIZE as u64, "each byte once, and the ping's two");
    }
}

#[tokio::test]
async fn a_stalled_layer_is_resumed_too() {
    let registry = FaultRegistry::start();
    let whole = content(SIZE);
    let digest = registry.put_blob(&whole);
    registry.script(On::get("/blobs/"), Times::Next(2), Fault::Stall { after: 500_000 });
    let client = client(quick(&registry));
    let (result, sunk) = stream(&client, &reference(&registry, "app"), &descriptor(&digest, SIZE)).await;
    assert_eq!(result.unwrap().refetched, 0);
    assert!(sunk == whole);
}

#[tokio::test]
async fn a_registry_that_ignores_ranges_costs_bytes_but_not_content() {
    let registry = FaultRegistry::start();
    let whole = content(SIZE);
    let digest = registry.put_blob(&whole);
    let cut = |after| Fault::IgnoreRange { cut_after: Some(after) };
    registry.script(On::get("/blobs/"), Times::Next(1), cut(1_000_000));
    registry.script(On::get("/blobs/"), Times::Next(1), cut(2_000_000));
    registry.script(On::get("/blobs/"), Times::Always, Fault::IgnoreRange { cut_after: None });
    let client = client(quick(&registry));
    let (result, sunk) = stream(&client, &reference(&registry, "app"), &descriptor(&digest, SIZE)).await;
    let transferred = result.unwrap();
    assert_eq!((transferred.bytes, transferred.refetched), (SIZE as u64, 3_000_000));
    assert!(sunk == whole);
}

#[tokio::test]
async fn a_registry_that_ignores_ranges_and_always_drops_is_given_up() {
    let registry = FaultRegistry::start();
    let digest = registry.put_blob(&content(SIZE));
    let fault = Fault::IgnoreRange { cut_after: Some(1_000_000) };
    registry.script(On::get("/blobs/"), Times::Always, fault);
    let client = client(quick(&registry));
    let (result, sunk) = stream(&client, &reference(&registry, "app"), &descriptor(&digest, SIZE)).await;
    refuses(&result.unwrap_err(), "layer that is cut and begins anew, for ever", &["tried"]);
    assert_eq!(sunk.len(), 1_000_000);
}

#[tokio::test]
async fn a_drip_is_as_good_as_a_stall() {
    let registry = FaultRegistry::start();
    let digest = registry.put_blob(&content(SIZE));
    registry.script(On::get("/blobs/"), Times::Always, Fault::Drip { bytes: 10 });
    let mut config = quick(&registry);
    config.timeouts.read = Duration::from_secs(10);
    config.timeouts.rate_window = Duration::from_millis(1500);
    config.retry.attempts = 1;
    let client = client(config);
    let (result, _) = stream(&client, &reference(&registry, "app"), &descriptor(&digest, SIZE)).await;
    refuses(&result.unwrap_err(), "layer that drips", &["fewer than 512 bytes a second came"]);
}

#[tokio::test]
async fn nothing_is_asked_for_where_nothing_is_to_come() {
    let registry = FaultRegistry::start();
    let client = client(quick(&registry));
    let (result, sunk) = stream(&client, &reference(&registry, "app"), &descriptor(&digest_of(b""), 0)).await;
    assert_eq!((result.unwrap().bytes, sunk.len()), (0, 0));
    assert!(registry.requests().is_empty(), "an empty range would be answered 416");
}

#[tokio::test]
async fn a_consumer_that_stops_ends_the_transfer() {
    let registry = FaultRegistry::start();
    let digest = registry.put_blob(&content(SIZE));
    let (sink, pieces) = mpsc::channel(1);
    drop(pieces);
    let client = client(quick(&registry));
    let result =
        client.stream_blob(&reference(&registry, "app"), &descriptor(&digest, SIZE), 0, sink, |_| ()).await;
    says(&result.unwrap_err(), "consumer", &["the consumer stopped"]);
    assert_eq!(registry.ranges().len(), 1, "no second try");
}

#[tokio::test]
async fn progress_is_told_and_ends_with_the_whole() {
    let registry = FaultRegistry::start();
    let digest = registry.put_blob(&content(SIZE));
    let client = client(quick(&registry));
    let (sink, mut pieces) = mpsc::channel(2);
    let mut told = Vec::new();
    let reference = reference(&registry, "app");
    let descriptor = descriptor(&digest, SIZE);
    let fetch = client.stream_blob(&reference, &descriptor, 0, sink, |progress| told.push(progress.bytes));
    let (result, ()) = tokio::join!(fetch, async { while pieces.recv().await.is_some() {} });
    result.unwrap();
    assert!(told.is_sorted() && told.last() == Some(&(SIZE as u64)), "{told:?}");
}

#[tokio::test]
async fn a_small_blob_is_proven_and_bounded() {
    let registry = FaultRegistry::start();
    let config = content(5000);
    let digest = registry.put_blob(&config);
    let client = client(quick(&registry));
    let reference = reference(&registry, "app");
    assert_eq!(client.small_blob(&reference, &descriptor(&digest, 5000)).await.unwrap(), config);

    let wrong = digest_of(b"something else");
    registry.put_blob_as(&wrong, &config);
    let error = client.small_blob(&reference, &descriptor(&wrong, 5000)).await.unwrap_err();
    says(&error, "digest", &["failed to fetch blob", &wrong, &digest]);

    let asked = registry.requests().len();
    let error = client.small_blob(&reference, &descriptor(&digest, 9 << 20)).await.unwrap_err();
    says(&error, "size", &["longer than 2097152 bytes"]);
    assert_eq!(registry.requests().len(), asked, "what is too long is not asked for");
}

#[tokio::test]
async fn all_blobs_together_keep_to_the_speed_that_was_set() {
    let registry = FaultRegistry::start();
    let (one, two) = (content(200_000), content(199_999));
    let digests = [registry.put_blob(&one), registry.put_blob(&two)];
    let client = client(quick(&registry));
    // Beyond the burst of half a second, 400 KB at 200 KB/s take a second and a half.
    client.bound_speed(200_000);
    let reference = reference(&registry, "app");
    let [first, second] = digests.each_ref();
    let (first, second) = (descriptor(first, one.len()), descriptor(second, two.len()));
    let began = std::time::Instant::now();
    let (a, b) = tokio::join!(stream(&client, &reference, &first), stream(&client, &reference, &second));
    assert!(began.elapsed() >= Duration::from_millis(1450), "{:?}", began.elapsed());
    assert!(a.1 == one && b.1 == two);
    assert_eq!((a.0.unwrap().refetched, b.0.unwrap().refetched), (0, 0));
    client.bound_speed(0);
    let began = std::time::Instant::now();
    stream(&client, &reference, &first).await.0.unwrap();
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_link_that_is_down_for_a_while_is_waited_for_once_something_came() {
    for (patience, whole) in [(Duration::from_secs(60), true), (Duration::ZERO, false)] {
        let registry = FaultRegistry::start();
        let digest = registry.put_blob(&content(SIZE));
        registry.script(On::get("/blobs/"), Times::Next(1), Fault::Truncate { after: 300_000 });
        registry.script(On::get("/blobs/"), Times::Next(9), Fault::Truncate { after: 0 });
        let mut config = quick(&registry);
        config.retry.patience = patience;
        let (result, _) =
            stream(&client(config), &reference(&registry, "app"), &descriptor(&digest, SIZE)).await;
        assert_eq!(result.is_ok(), whole, "{patience:?}: {result:?}");
    }
}
