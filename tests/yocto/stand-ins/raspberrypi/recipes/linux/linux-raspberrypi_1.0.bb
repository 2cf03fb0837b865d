# Stands in for a kernel whose configuration is made of fragments.
SRC_URI = "git://kernel.example.com/linux;protocol=https;branch=main"
SRCREV = "0123456789012345678901234567890123456789"
KERNEL_FEATURES = "features/netfilter/netfilter.scc"
