# As for linux-yocto: only with DISTRO_FEATURES:append = " coracle-kernel"
require ${@bb.utils.contains("DISTRO_FEATURES", "coracle-kernel", "recipes-kernel/linux/coracle-kernel.inc", "", d)}
