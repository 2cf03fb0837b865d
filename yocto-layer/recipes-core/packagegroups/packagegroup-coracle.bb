SUMMARY = "The container update agent, with what a board should have beside it"
DESCRIPTION = "The agent, and the time zones that its windows for updates are told in."
HOMEPAGE = "https://coracle.example.com"
BUGTRACKER = "https://coracle.example.com/issues"
SECTION = "admin"

# Said before the class, which would make it one package for all processors.
PACKAGE_ARCH = "${TUNE_PKGARCH}"

inherit packagegroup features_check

REQUIRED_DISTRO_FEATURES = "systemd seccomp"

# Where Rust is too old and no release was named, there is no agent to be had.
EXCLUDE_FROM_WORLD = "1"

RDEPENDS:${PN} = "coracle tzdata"
