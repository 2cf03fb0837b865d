//! The OCI image specification's values: digests, descriptors, platforms, manifests, layers.

mod bounded;
pub mod config;
pub mod descriptor;
pub mod digest;
pub mod layer;
pub mod manifest;
pub mod platform;
pub mod reference;
pub mod select;

pub use config::{ExecConfig, ImageConfig};
pub use descriptor::Descriptor;
pub use digest::{Digest, Hasher};
pub use manifest::{Document, Index, Manifest};
pub use platform::Platform;
pub use reference::Reference;
pub use select::{NoMatch, Selection, Verdict, select};
