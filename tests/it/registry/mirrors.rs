//! Mirrors that are asked first, and passed over when they fail.

use std::time::Instant;

use coracle_host::registry::{Registries, RegistryFiles};
use coracle_test_support::faults::{Fault, FaultRegistry, On, Times};
use coracle_test_support::scratch::TempDir;

use super::*;

const SIZE: usize = 1_000_000;

fn registries(dir: &TempDir, text: &str) -> Result<Registries, RegistryError> {
    let path = dir.join("registries.conf");
    std::fs::write(&path, text).unwrap();
    let files = RegistryFiles { registries_conf: Some(path), ..RegistryFiles::default() };
    RegistryConfig::load(&files).map(|config| config.registries)
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_the_registry_goes_on_where_it_failed() {
    let whole = content(SIZE);
    for (name, fault, from_mirror) in [
        ("a good mirror", None, SIZE),
        ("without the layer", Some(Fault::error(404, "BLOB_UNKNOWN")), 0),
        ("that drops for ever", Some(Fault::Truncate { after: 30_000 }), 30_000),
    ] {
        let (own, mirror) = (FaultRegistry::start(), FaultRegistry::start());
        let digest = own.put_blob(&whole);
        mirror.put_blob(&whole);
        if let Some(fault) = fault {
            mirror.script(On::any("/blobs/"), Times::Always, fault);
        }
        let dir = TempDir::new("mirrors");
        let mut config = quick(&own);
        config.registries = registries(
            &dir,
            &format!(
                "[[registry]]\nlocation = {:?}\n[[registry.mirror]]\nlocation = \"{}/cache\"\ninsecure = true\n",
                own.host(),
                mirror.host()
            ),
        )
        .unwrap();
        let tag = reference(&own, "team/app:v1");
        let (result, sunk) = stream(&client(config), &tag, &descriptor(&digest, SIZE)).await;
        assert_eq!(result.unwrap().refetched, 0, "{name}");
        assert!(sunk == whole, "{name}");
        assert!(mirror.ranges().len() == 1 || from_mirror == 30_000, "{name}");
        assert!(mirror.requests().iter().skip(1).all(|seen| seen.path.starts_with("/v2/cache/team/app/")));
        match from_mirror {
            SIZE => assert!(own.requests().is_empty(), "{name}"),
            offset => assert_eq!(own.ranges(), [format!("bytes={offset}-999999")], "{name}"),
        }
    }
}

#[tokio::test]
async fn a_blocked_registry_is_not_asked() {
    let registry = FaultRegistry::start();
    let dir = TempDir::new("blocked");
    let mut config = quick(&registry);
    let text = format!("[[registry]]\nprefix = \"{}/team\"\nblocked = true\n", registry.host());
    config.registries = registries(&dir, &text).unwrap();
    let error = client(config).manifest(&reference(&registry, "team/app:v1"), None).await.unwrap_err();
    says(&error, "blocked", &["failed to fetch manifest", "blocked by registries.conf"]);
    assert!(registry.requests().is_empty());
    says(&registries(&dir, "[[").unwrap_err(), "broken", &["failed to set up", "registries.conf"]);
}

/// The transport hides `Retry-After` of a blob; our own look at the same address finds it.
#[tokio::test]
async fn the_time_a_registry_asks_for_is_given_to_it() {
    let registry = FaultRegistry::start();
    let digest = registry.put_blob(&content(SIZE));
    // The GET, and the look after it.
    registry.script(On::any("/blobs/"), Times::Next(2), Fault::retry_after(429, 1));
    let mut config = quick(&registry);
    config.retry.retry_after_max = Duration::from_secs(600);
    config.retry.limited_min = Duration::from_secs(3600);
    let began = Instant::now();
    let client = client(config);
    let (result, _) = stream(&client, &reference(&registry, "app"), &descriptor(&digest, SIZE)).await;
    result.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}
