# Stands in: it looks for every Cargo.lock below this folder.
CARGO_LOCK_SRC_DIR ??= "${S}"
