//! Registries: fetches manifests, image configs and layers (OCI distribution-spec, "Pull").
//!
//! Invariant: nothing a registry, token server or file says is taken without a bound, credentials go only to whom they
//! are for, and plain HTTP is spoken only with registries that the configuration names insecure.
//!
//! ```text
//!              RegistryClient
//!    ping, token, manifest │ layer, image config
//!        small (reqwest) ──┴── blob (oci-client; small, where the board proves itself by a certificate)
//!   bounded bodies, own        closed ranges, resumed at the byte,
//!   redirect rules             guarded wait for the answer's head
//! ```

mod attached;
mod auth;
mod blob;
mod challenge;
mod client;
pub mod config;
mod credentials;
mod endpoint;
mod error;
mod guard;
mod retry;
mod small;
mod throttle;
mod trust;

pub use attached::Page;
pub use blob::{Progress, Transferred};
pub use challenge::{Challenge, best as best_challenge};
pub use client::{RawManifest, RegistryClient};
pub use config::{Proxy, RegistryConfig, RegistryFiles, Timeouts};
pub use credentials::CredentialFiles;
pub use endpoint::Registries;
pub use error::{Attempt, Cause, RegistryError, Retry};
pub use retry::RetryPolicy;
pub use trust::{given_cert_file, prepare_environment};
