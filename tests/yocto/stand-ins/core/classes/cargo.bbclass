# Stands in: the flags that our own are added to, and where the binary comes to lie.
DEPENDS += "cargo-native rust-native libstd-rs"
B = "${WORKDIR}/build"
RUST_HOST_SYS = "${TARGET_ARCH}-stand-in"
CARGO_MANIFEST_PATH ??= "${S}/Cargo.toml"
CARGO_BUILD_FLAGS = "-v --frozen --target ${RUST_HOST_SYS} --release --manifest-path=${CARGO_MANIFEST_PATH}"
CARGO_TARGET_SUBDIR = "${RUST_HOST_SYS}/release"
