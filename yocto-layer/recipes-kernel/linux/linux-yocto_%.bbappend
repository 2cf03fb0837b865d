# Nothing but a line, unless the distribution asks for it: DISTRO_FEATURES:append = " coracle-kernel"
require ${@bb.utils.contains("DISTRO_FEATURES", "coracle-kernel", "coracle-kernel.inc", "", d)}
