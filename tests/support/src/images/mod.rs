//! Images to pull: real busybox for three architectures, made by the usual tools or, faster, right here.
//!
//! [`tools`] makes and pushes with umoci, skopeo and buildah only, so that at least one image owes nothing to us.
//! [`image`] writes the same documents itself and pushes them over plain HTTP; [`sample`] has the awkward layers.

pub mod busybox;
pub mod image;
pub mod layer;
pub mod push;
pub mod sample;
pub mod tools;

pub use busybox::Arch;
pub use image::{Form, Image, Pushed, push_index, web_server};
pub use layer::{Layer, Packing};
