SUMMARY = "An example of an image for boards that Coracle keeps up to date"
DESCRIPTION = "A console, a network, and the agent; put your keys and configuration in with a .bbappend as in examples/."
HOMEPAGE = "https://coracle.example.com"
BUGTRACKER = "https://coracle.example.com/issues"
SECTION = "images"
LICENSE = "MIT"
CVE_PRODUCT = ""

inherit core-image features_check

REQUIRED_DISTRO_FEATURES = "systemd seccomp"

IMAGE_FEATURES += "ssh-server-dropbear"
IMAGE_INSTALL = "packagegroup-core-boot packagegroup-coracle ${CORE_IMAGE_EXTRA_INSTALL}"

# Room for two versions of some images beside the system, in KiB. On a product, a partition of its own holds them.
IMAGE_ROOTFS_EXTRA_SPACE = "1048576"

# bitbake -c testimage coracle-image
TEST_SUITES:append = " coracle"
