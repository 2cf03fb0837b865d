# nooelint: oelint.var.bbclassextend - an agent runs on boards alone
SUMMARY = "Container update agent for embedded Linux boards (static release)"

require coracle.inc

# Where the archives of the release are, as `cargo xtask dist` makes them: a folder (file:///srv/coracle) or a server
# (https://downloads.example.com/coracle). There is no default; set it in a configuration file. Archives from a server
# need their sums as well, from its SHA256SUMS:
#   CORACLE_RELEASE_SUM[aarch64-unknown-linux-musl] = "…"
CORACLE_RELEASE ??= ""

# The archive for a processor; the C library of the rest of the image does not matter.
CORACLE_TRIPLE = "${@coracle_triple(d)}"

def coracle_triple(d):
    """The triple that the release for this machine was built for; none where there is no release."""
    tune = (d.getVar("TUNE_FEATURES") or "").split()
    if d.getVar("TARGET_ARCH") != "arm":
        known = {"aarch64": "aarch64", "x86_64": "x86_64", "riscv64": "riscv64gc"}
        return known[d.getVar("TARGET_ARCH")] + "-unknown-linux-musl" if d.getVar("TARGET_ARCH") in known else ""
    # All that is newer than ARMv6 runs what was built for ARMv7; neither goes without a floating point unit.
    if "vfp" not in tune or "bigendian" in tune:
        return ""
    if "armv6" in tune:
        return "arm-unknown-linux-musleabihf"
    return "" if {"armv4", "armv5"} & set(tune) else "armv7-unknown-linux-musleabihf"

# Unpacked to where S is by default, in every series; nothing where no release is named, for that is no address.
CORACLE_ARCHIVE = "${CORACLE_RELEASE}/coracle-${PV}-${CORACLE_TRIPLE}.tar.gz;subdir=${BP};striplevel=1"
SRC_URI = "${@d.getVar('CORACLE_ARCHIVE') if d.getVar('CORACLE_RELEASE') else ''}"
SRC_URI[sha256sum] = "${@d.getVarFlag('CORACLE_RELEASE_SUM', d.getVar('CORACLE_TRIPLE')) or ''}"

# nooelint: oelint.task.noanonpython - a recipe that cannot be built here says why, and does not break a build of all
python () {
    if not d.getVar("CORACLE_TRIPLE"):
        raise bb.parse.SkipRecipe("there is no static release for this processor: %s" % d.getVar("TUNE_FEATURES"))
    if not d.getVar("CORACLE_RELEASE"):
        raise bb.parse.SkipRecipe("set CORACLE_RELEASE to where the archives of the release are")
}

PACKAGECONFIG ??= "crun"

# Stripped when the release was made.
INHIBIT_PACKAGE_STRIP = "1"
INHIBIT_PACKAGE_DEBUG_SPLIT = "1"
INHIBIT_SYSROOT_STRIP = "1"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -d ${D}${prefix}
    cp -R --no-dereference --preserve=mode,links ${S}/usr/. ${D}${prefix}/
    chown -R root:root ${D}
}

# Completions of several shells as well; manual pages and documents belong to the -doc package, which comes first.
FILES:${PN} += "${datadir}"

# Takes the place of what is built from source.
RPROVIDES:${PN} = "coracle"
RREPLACES:${PN} = "coracle"
RCONFLICTS:${PN} = "coracle"
