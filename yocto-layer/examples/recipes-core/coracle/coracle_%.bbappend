# A .bbappend for your own layer: the keys that your boards believe, and where they report. For coracle-bin, copy it to
# coracle-bin_%.bbappend. Put keys, certificates and settings beside it, in a folder coracle/.
FILESEXTRAPATHS:prepend := "${THISDIR}/coracle:"

SRC_URI += "file://alice.pub file://config.toml"

# In scarthgap, write ${WORKDIR} for ${UNPACKDIR}.
do_install:append() {
    # Keys whose documents boards take; on a read-only root nobody can add one.
    install -D -m 0644 ${UNPACKDIR}/alice.pub ${D}${datadir}/coracle/trust.d/alice.pub
    # The vendor's settings. What differs from board to board comes into /etc/coracle/config.d at first boot.
    install -D -m 0644 ${UNPACKDIR}/config.toml ${D}${nonarch_libdir}/coracle/config.toml
}
