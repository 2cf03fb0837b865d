# Stands in: tasks in their order, and what PACKAGECONFIG does.
addtask fetch
addtask unpack after do_fetch
addtask configure after do_unpack
addtask compile after do_configure
addtask install after do_compile
python do_fetch() {
    bb.fetch2.Fetch(d.getVar("SRC_URI").split(), d).download()
}
do_fetch[vardeps] += "SRCREV"
python do_unpack() {
    bb.fetch2.Fetch(d.getVar("SRC_URI").split(), d).unpack(d.getVar("UNPACKDIR"))
}
do_configure() {
    :
}
do_compile() {
    :
}
do_install() {
    :
}

python () {
    # As there, before a recipe's own functions: what is no address ends the parsing of everything.
    for uri in (d.getVar("SRC_URI") or "").split():
        if not bb.fetch2.decodeurl(uri)[0]:
            raise bb.fetch2.MalformedUrl(uri)
}

python () {
    chosen = (d.getVar("PACKAGECONFIG") or "").split()
    known = d.getVarFlags("PACKAGECONFIG") or {}
    words = []
    for name in chosen:
        if name not in known:
            bb.fatal("PACKAGECONFIG has no %s" % name)
    for name in sorted(known):
        if name in ("doc", "defaultval"):
            continue
        fields = (known[name].split(",") + [""] * 6)[:6]
        words.append(fields[0] if name in chosen else fields[1])
        if name in chosen:
            d.appendVar("DEPENDS", " " + fields[2])
            d.appendVar("RDEPENDS:" + d.getVar("PN"), " " + fields[3])
            d.appendVar("RRECOMMENDS:" + d.getVar("PN"), " " + fields[4])
    if known:
        d.setVar("PACKAGECONFIG_CONFARGS", " ".join(word for word in words if word))
}
