//! The OCI image specification's values: digests, descriptors, platforms, manifests, layers.

pub mod descriptor;
pub mod digest;
pub mod platform;

pub use descriptor::Descriptor;
pub use digest::{Digest, Hasher};
pub use platform::Platform;
