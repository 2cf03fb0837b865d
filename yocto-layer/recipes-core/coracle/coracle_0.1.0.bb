# nooelint: oelint.var.bbclassextend - an agent runs on boards alone
SUMMARY = "Container update agent for embedded Linux boards"

require coracle.inc
require coracle-source.inc

# The C library of zstd is the distribution's, not the copy in the crate.
DEPENDS += "zstd"

# Where the source is fetched from. By default that is the clone which this layer is part of: it has the commit that is
# named in coracle-source.inc. A mirror of yours is set in a configuration file:
#   CORACLE_GIT = "git://git.example.com/coracle.git;protocol=https;branch=main"
CORACLE_REPOSITORY := "${@os.path.realpath('${THISDIR}/../../..')}"
CORACLE_GIT ??= "git://${CORACLE_REPOSITORY};protocol=file;nobranch=1"
# The commit says what is built; from where it came changes nothing.
CORACLE_GIT[vardepvalue] = "${SRCREV}"

SRC_URI = "${CORACLE_GIT};destsuffix=${BP}"
require coracle-crates.inc

inherit cargo cargo-update-recipe-crates pkgconfig

export ZSTD_SYS_USE_PKG_CONFIG = "1"

PACKAGECONFIG ??= "crun mqtt-v4"
# MQTT 3.1.1 beside 5.
PACKAGECONFIG[mqtt-v4] = "--features=mqtt-v4"

CARGO_BUILD_FLAGS += "--package coracle --no-default-features ${PACKAGECONFIG_CONFARGS}"
# Stripping is for do_package, which keeps the symbols in the -dbg package.
export CARGO_PROFILE_RELEASE_STRIP = "none"

# nooelint: oelint.task.noanonpython - whoever has an older Rust is told so while recipes are parsed, not by a compiler
python () {
    # The oldest Rust that builds it: rust-version in Cargo.toml.
    version = (d.getVar("RUSTVERSION") or "").rstrip("%").strip(".")
    numbers = [int(word) for word in version.split(".") if word.isdigit()]
    if numbers and numbers < [1, 94]:
        raise bb.parse.SkipRecipe("needs Rust 1.94, this series has %s: coracle-bin installs the static release" % version)
}

do_install() {
    install -D -m 0755 ${B}/target/${CARGO_TARGET_SUBDIR}/coracle ${D}${bindir}/coracle
    coracle_install_tree ${S}/systemd
}
