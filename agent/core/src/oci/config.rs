//! Image configs (OCI image-spec, config.md): what an image is for and how its process starts.
//!
//! Docker writes `null` where it means nothing; the specification writes absence. Both read the same here.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::bounded::{List, Map};
use super::manifest::Manifest;
use super::{Digest, Platform};
use crate::compose::service::Healthcheck;
use crate::limits::{CONFIG_BYTES_MAX, CONFIG_ENTRIES_MAX, DESCRIPTOR_WORDS_MAX, LAYERS_MAX};
use crate::plain::complaint;

/// Docker's defaults of a health check, in milliseconds and failures.
const HEALTH_INTERVAL_MS: u64 = 30_000;
const HEALTH_TIMEOUT_MS: u64 = 30_000;
const HEALTH_RETRIES: u32 = 3;

/// What one image config says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageConfig {
    platform: Platform,
    /// The digests of the layers' uncompressed archives, lowest first.
    pub diff_ids: Vec<Digest>,
    /// How its process starts.
    pub exec: ExecConfig,
}

/// How the process of an image starts, where the service does not say otherwise. Also a saved form.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecConfig {
    /// `user[:group]`, names or numbers; empty for root.
    pub user: String,
    /// `NAME=value`, in order.
    pub env: Vec<String>,
    /// The words before the command.
    pub entrypoint: Vec<String>,
    /// The command, or the arguments of the entrypoint.
    pub cmd: Vec<String>,
    /// Absolute; empty for `/`.
    pub working_dir: String,
    /// The signal that asks the process to end; empty for `SIGTERM`.
    pub stop_signal: String,
    /// Free-form facts.
    pub labels: BTreeMap<String, String>,
    /// Absolute paths that the image wants outside its layers.
    pub volumes: Vec<String>,
    /// How health is found out.
    pub healthcheck: Option<Healthcheck>,
}

/// Why an image config was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Longer than [`CONFIG_BYTES_MAX`].
    #[error("the image config is longer than {CONFIG_BYTES_MAX} bytes")]
    TooLong,
    /// Not JSON of the expected form.
    #[error("the image config cannot be read: {0}")]
    Form(String),
    /// It does not say what it is for.
    #[error("the image config names no os and architecture")]
    NoPlatform,
    /// `rootfs.type` is another thing than layers.
    #[error("the image config has a rootfs of type {0:?} (only layers)")]
    Rootfs(String),
    /// Config and manifest belong to different images.
    #[error("the image config has {diff_ids} diff IDs, the manifest {layers} layers")]
    LayerCount {
        /// As the config counts them.
        diff_ids: usize,
        /// As the manifest does.
        layers: usize,
    },
}

type Words = List<CONFIG_ENTRIES_MAX>;

#[derive(Deserialize)]
struct Wire {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    #[serde(rename = "os.version")]
    os_version: Option<String>,
    #[serde(rename = "os.features")]
    os_features: Option<List<DESCRIPTOR_WORDS_MAX>>,
    rootfs: WireRootfs,
    config: Option<WireExec>,
}

#[derive(Deserialize)]
struct WireRootfs {
    #[serde(rename = "type")]
    kind: Option<String>,
    diff_ids: Option<List<LAYERS_MAX, Digest>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct WireExec {
    user: Option<String>,
    env: Option<Words>,
    entrypoint: Option<Words>,
    cmd: Option<Words>,
    working_dir: Option<String>,
    stop_signal: Option<String>,
    labels: Option<Map<CONFIG_ENTRIES_MAX>>,
    volumes: Option<Map<CONFIG_ENTRIES_MAX, IgnoredAny>>,
    healthcheck: Option<WireHealth>,
}

/// Durations are nanoseconds; 0 stands for the default.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireHealth {
    test: Option<Words>,
    interval: Option<u64>,
    timeout: Option<u64>,
    start_period: Option<u64>,
    start_interval: Option<u64>,
    retries: Option<u32>,
}

impl ImageConfig {
    /// Reads the bytes of a manifest's config blob.
    ///
    /// # Errors
    /// [`ConfigError`] names what is missing or wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        if u64::try_from(bytes.len()).is_ok_and(|length| length > CONFIG_BYTES_MAX) {
            return Err(ConfigError::TooLong);
        }
        let wire: Wire =
            serde_json::from_slice(bytes).map_err(|error| ConfigError::Form(complaint(&error)))?;
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (Some(os), Some(architecture)) = (said(wire.os), said(wire.architecture)) else {
            return Err(ConfigError::NoPlatform);
        };
        if let Some(kind) = wire.rootfs.kind.filter(|kind| kind != "layers") {
            return Err(ConfigError::Rootfs(kind.chars().take(40).collect()));
        }
        let diff_ids = wire.rootfs.diff_ids.map_or_else(Vec::new, |List(diff_ids)| diff_ids);
        let platform = Platform {
            os,
            architecture,
            variant: said(wire.variant),
            os_version: said(wire.os_version),
            os_features: words(wire.os_features),
        };
        Ok(Self { platform, diff_ids, exec: wire.config.unwrap_or_default().into() })
    }

    /// What the image says it is built for.
    #[must_use]
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// Whether each layer of `manifest` has its diff ID here.
    ///
    /// # Errors
    /// [`ConfigError::LayerCount`] where the counts differ.
    pub fn matches(&self, manifest: &Manifest) -> Result<(), ConfigError> {
        let (diff_ids, layers) = (self.diff_ids.len(), manifest.layers.len());
        if diff_ids == layers { Ok(()) } else { Err(ConfigError::LayerCount { diff_ids, layers }) }
    }
}

fn words<const MAX: usize>(list: Option<List<MAX>>) -> Vec<String> {
    list.map_or_else(Vec::new, |List(words)| words)
}

impl From<WireExec> for ExecConfig {
    fn from(wire: WireExec) -> Self {
        Self {
            user: wire.user.unwrap_or_default(),
            env: words(wire.env),
            entrypoint: words(wire.entrypoint),
            cmd: words(wire.cmd),
            working_dir: wire.working_dir.unwrap_or_default(),
            stop_signal: wire.stop_signal.unwrap_or_default(),
            labels: wire.labels.map_or_else(BTreeMap::new, |Map(labels)| labels),
            volumes: wire.volumes.map_or_else(Vec::new, |Map(volumes)| volumes.into_keys().collect()),
            healthcheck: wire.healthcheck.and_then(WireHealth::known),
        }
    }
}

impl WireHealth {
    /// `None` where it only inherits (an empty test).
    fn known(self) -> Option<Healthcheck> {
        let test = words(self.test);
        if test.is_empty() {
            return None;
        }
        let ms = |ns: Option<u64>| ns.filter(|ns| *ns != 0).map(|ns| ns.div_ceil(1_000_000));
        Some(Healthcheck {
            test,
            interval_ms: ms(self.interval).unwrap_or(HEALTH_INTERVAL_MS),
            timeout_ms: ms(self.timeout).unwrap_or(HEALTH_TIMEOUT_MS),
            retries: self.retries.filter(|retries| *retries != 0).unwrap_or(HEALTH_RETRIES),
            start_period_ms: ms(self.start_period).unwrap_or(0),
            start_interval_ms: ms(self.start_interval),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn with(config: &str) -> String {
        format!(
            r#"{{"os":"linux","architecture":"arm","variant":"v7","config":{config},
                "rootfs":{{"type":"layers","diff_ids":["{DIFF}"]}},"history":[{{"empty_layer":true}}]}}"#
        )
    }

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        let error = ImageConfig::parse(text.as_bytes()).expect_err(text).to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn everything_a_process_needs_is_read() {
        let text = with(
            r#"{"User":"1000:www","Env":["A=b"],"Entrypoint":["/e"],"Cmd":["x","y"],"WorkingDir":"/w",
                "StopSignal":"SIGQUIT","Labels":{"k":"v"},"Volumes":{"/b":{},"/a":{}},"ExposedPorts":{"80/tcp":{}},
                "Healthcheck":{"Test":["CMD","true"],"Interval":1500000,"Timeout":0,"StartInterval":2000000}}"#,
        );
        let config = ImageConfig::parse(text.as_bytes()).unwrap();
        assert_eq!(config.platform().to_string(), "linux/arm/v7");
        let exec = config.exec;
        assert_eq!((exec.user.as_str(), exec.working_dir.as_str()), ("1000:www", "/w"));
        assert_eq!((exec.env, exec.entrypoint), (vec!["A=b".to_owned()], vec!["/e".to_owned()]));
        assert_eq!((exec.cmd, exec.stop_signal.as_str()), (vec!["x".to_owned(), "y".to_owned()], "SIGQUIT"));
        assert_eq!(exec.volumes, ["/a", "/b"]);
        let health = exec.healthcheck.unwrap();
        assert_eq!((health.interval_ms, health.timeout_ms, health.retries), (2, 30_000, 3));
        assert_eq!((health.start_period_ms, health.start_interval_ms), (0, Some(2)));
    }

    #[test]
    fn null_and_absence_read_the_same() {
        let nulls = with(
            r#"{"User":null,"Env":null,"Entrypoint":null,"Cmd":null,"Volumes":null,"Labels":null,
                "Healthcheck":null}"#,
        );
        for text in [nulls, with("null"), with("{}")] {
            let config = ImageConfig::parse(text.as_bytes()).unwrap();
            assert_eq!(config.exec, ExecConfig::default());
        }
    }

    #[test]
    fn a_config_without_platform_or_of_another_kind_is_refused() {
        refused(r#"{"rootfs":{"type":"layers","diff_ids":[]}}"#, "no os and architecture");
        refused(r#"{"os":"","architecture":"","rootfs":{"diff_ids":[]}}"#, "no os and architecture");
        refused(&with("{}").replace("\"layers\"", "\"vm\""), "\"vm\"");
        refused(r#"{"os":"linux","architecture":"arm"}"#, "rootfs");
        refused(&with("{}").replace("sha256:", "sha512:"), "only sha256");
        refused(&with(r#"{"Env":"A=b"}"#), "cannot be read");
        let many = vec![format!("\"{DIFF}\""); LAYERS_MAX + 1].join(",");
        refused(&with("{}").replace(&format!("\"{DIFF}\""), &many), "more than 512");
        refused(&" ".repeat(usize::try_from(CONFIG_BYTES_MAX).unwrap() + 1), "longer than");
    }

    // What stood in a config was in the error as long as it was, which went on into the log.
    #[test]
    fn an_error_repeats_little_of_the_config() {
        let error = ImageConfig::parse(with(&format!("{:?}", "x".repeat(9000))).as_bytes()).unwrap_err();
        assert!(error.to_string().len() < 300, "{error}");
    }

    #[test]
    fn the_diff_ids_and_the_layers_are_counted_against_each_other() {
        let config = ImageConfig::parse(with("{}").as_bytes()).unwrap();
        let layer = crate::oci::Descriptor {
            media_type: "application/vnd.oci.image.layer.v1.tar".to_owned(),
            digest: Digest::of(b""),
            size: 0,
            platform: None,
            artifact_type: None,
            annotations: BTreeMap::new(),
            urls: Vec::new(),
        };
        let manifest = |count| Manifest { config: layer.clone(), layers: vec![layer.clone(); count] };
        assert_eq!(config.matches(&manifest(1)), Ok(()));
        assert_eq!(config.matches(&manifest(2)), Err(ConfigError::LayerCount { diff_ids: 1, layers: 2 }));
    }
}
