#!/usr/bin/env python3
"""Has bitbake's own parser and fetcher read meta-coracle, over stand-ins for the layers it depends on.

    parse.py LAYER RELEASE

RELEASE is a folder with the archive of a release for amd64, as `cargo xtask dist` makes it.
What openembedded-core's classes do beyond the stand-ins is not tried here; what bitbake does is: the syntax, how values
come together, which recipes each series gets, what is fetched and checked, what is installed and in which package.
"""

import contextlib
import fnmatch
import glob
import hashlib
import logging
import os
import re
import sys
import tempfile
import types

HERE = os.path.dirname(os.path.abspath(__file__))
STAND_INS = os.path.join(HERE, "stand-ins")
sys.path.insert(0, STAND_INS)
# Fields of the file system that some machines lack; bitbake asks for a locale it likes.
os.environ["LC_ALL"] = os.environ["LANG"] = "C.UTF-8"

import bb  # noqa: E402
import bb.build  # noqa: E402
import bb.cookerdata  # noqa: E402
import bb.fetch2  # noqa: E402
import bb.parse  # noqa: E402

# What recipes may lean on, and the layer that has it.
KNOWN = {
    "core": "ca-certificates cargo-native kernel-module-overlay libstd-rs packagegroup-core-boot pkgconfig-native "
    "rust-native tzdata zstd",
    "virtualization-layer": "crun runc",
    "meta-coracle": "coracle coracle-bin packagegroup-coracle",
}
SOURCE, BINARY = "coracle", "coracle-bin"


class Parsed:
    """What bitbake makes of the layers in one configuration."""

    def __init__(self, place, layer, settings, others=()):
        conf = os.path.join(place, "conf")
        os.makedirs(conf, exist_ok=True)
        layers = [os.path.join(STAND_INS, name) for name in ("core", "virtualization", *others)]
        with open(os.path.join(conf, "bblayers.conf"), "w", encoding="utf-8") as file:
            file.write('BBPATH = "${TOPDIR}"\nBBFILES = ""\n')
            for name, value in settings.items():
                file.write('%s = "%s"\n' % (name, value))
            file.write('BBLAYERS = "%s"\n' % " ".join(layers + ([layer] if layer else [])))
        os.chdir(place)
        files = {"prefile": [], "postfile": []}
        asked = types.SimpleNamespace(**files, tracking=False, skip_fragments=False, env=dict(os.environ))
        self.builder = bb.cookerdata.CookerDataBuilder(asked)
        self.builder.parseBaseConfiguration()
        self.data = self.builder.data
        self.recipes = {}
        files = [name for pattern in self.data.getVar("BBFILES").split() for name in sorted(glob.glob(pattern))]
        self.appends = [name for name in files if name.endswith(".bbappend")]
        for name in files:
            if name.endswith(".bb"):
                recipe = self.parse(name)
                self.recipes[recipe.getVar("PN")] = recipe

    def parse(self, name):
        """One recipe with all that is appended to it."""
        base = os.path.basename(name)
        appends = [it for it in self.appends if fnmatch.fnmatch(base, os.path.basename(it).replace("%", "*")[:-6])]
        return self.builder.parseRecipe(name, appends, "")

    def skipped(self, recipe):
        """Why a recipe is left out; nothing where it is not."""
        return self.recipes[recipe].getVar("__SKIPPED", False)


class Report:
    """Counts what was held to be right, and keeps what was not."""

    def __init__(self):
        self.held = 0
        self.bad = []

    def hold(self, good, what):
        """One fact."""
        self.held += 1
        if not good:
            self.bad.append(what)

    def same(self, found, expected, what):
        """One fact with its two sides."""
        self.hold(found == expected, "%s: %r, and not %r" % (what, found, expected))


def series(report, place, layer):
    """Which recipes each series gets, and why it does not get the others."""
    release = {"CORACLE_RELEASE": "file://%s" % place}
    arm = {"TARGET_ARCH": "arm", "MACHINE": "qemuarm"}
    plain = {"DISTRO_FEATURES": "usrmerge"}
    none = r"missing distro features: seccomp systemd"
    rows = [
        # series, settings, why the source recipe is left out, why the binary one is, its triple
        ("wrynose", {}, None, r"set CORACLE_RELEASE", "aarch64-unknown-linux-musl"),
        ("blacksail", {}, None, r"set CORACLE_RELEASE", "aarch64-unknown-linux-musl"),
        ("scarthgap", {}, r"needs Rust 1\.94.* 1\.75", r"set CORACLE_RELEASE", "aarch64-unknown-linux-musl"),
        ("scarthgap", release, r"needs Rust 1\.94", None, "aarch64-unknown-linux-musl"),
        ("scarthgap", {**release, "RUSTVERSION": "1.94.1"}, None, None, "aarch64-unknown-linux-musl"),
        ("wrynose", {**release, **arm, "TUNE_FEATURES": "arm armv7ve vfp thumb neon callconvention-hard"}, None, None,
         "armv7-unknown-linux-musleabihf"),
        ("wrynose", {**release, **arm, "TUNE_FEATURES": "arm armv6 vfp arm1176jzfs callconvention-hard"}, None, None,
         "arm-unknown-linux-musleabihf"),
        ("wrynose", {**release, **arm, "TUNE_FEATURES": "arm armv5 dsp"}, None, r"no static release", ""),
        ("wrynose", {**release, "TARGET_ARCH": "x86_64", "TUNE_FEATURES": "m64 core2"}, None, None,
         "x86_64-unknown-linux-musl"),
        ("wrynose", {**release, "TARGET_ARCH": "riscv64", "TUNE_FEATURES": "riscv64"}, None, None,
         "riscv64gc-unknown-linux-musl"),
        ("wrynose", {**release, "TARGET_ARCH": "mips", "TUNE_FEATURES": "o32"}, None, r"no static release", ""),
        ("wrynose", {**release, **plain}, none, none, "aarch64-unknown-linux-musl"),
    ]
    for number, (name, settings, source, binary, triple) in enumerate(rows):
        parsed = Parsed(os.path.join(place, "series-%d" % number), layer, {"STAND_IN_SERIES": name, **settings})
        where = "%s with %s" % (name, settings or "nothing set")
        for recipe, why in ((SOURCE, source), (BINARY, binary)):
            said = parsed.skipped(recipe)
            good = said is None if why is None else bool(said and re.search(why, said))
            report.hold(good, "%s in %s is left out: %s, and should be: %s" % (recipe, where, said, why))
        report.same(parsed.recipes[BINARY].getVar("CORACLE_TRIPLE"), triple, "the triple in %s" % where)
        missing = None if "systemd" in parsed.data.getVar("DISTRO_FEATURES") else none
        for recipe in ("packagegroup-coracle", "coracle-image"):
            said = parsed.skipped(recipe)
            report.hold(bool(said) == bool(missing), "%s in %s is left out: %s" % (recipe, where, said))
        world(report, parsed, layer, where)
    with open(os.path.join(os.path.dirname(layer), "cross/targets.toml"), encoding="utf-8") as file:
        targets = set(re.findall(r"^\[([^.\]]+)\]$", file.read(), re.MULTILINE))
    report.same({row[-1] for row in rows} - {""}, targets, "the targets of a release, by the recipe")
    report.hold(refused(place, layer), "kirkstone takes the layer, which does not claim to fit it")


def world(report, parsed, layer, where):
    """Whatever a build of all recipes takes in finds what it needs: nothing is left whose other half was left out."""
    ours = {name: it for name, it in parsed.recipes.items() if it.getVar("FILE").startswith(layer)}
    built = {name: it for name, it in ours.items() if not parsed.skipped(name)}
    known = set(" ".join(KNOWN[it] for it in ("core", "virtualization-layer")).split()) | set(built)
    for name, recipe in built.items():
        known |= set((recipe.getVar("RPROVIDES:" + name) or "").split())
    for name, recipe in built.items():
        if recipe.getVar("EXCLUDE_FROM_WORLD") != "1":
            missing = set((recipe.getVar("RDEPENDS:" + name) or "").split()) - known
            report.same(missing, set(), "what %s needs and nobody provides in %s" % (name, where))


def refused(place, layer):
    """Whether a series that the layer does not name refuses it."""
    try:
        Parsed(os.path.join(place, "kirkstone"), layer, {"STAND_IN_SERIES": "kirkstone"})
    except (bb.BBHandledException, SystemExit):
        return True
    return False


def options(report, place, layer):
    """What can be left out is left out."""
    rows = [
        ("crun mqtt-v4", "--package coracle --no-default-features --features=mqtt-v4", {"ca-certificates", "crun"}),
        ("runc", "--package coracle --no-default-features", {"ca-certificates", "runc"}),
        ("", "--package coracle --no-default-features", {"ca-certificates"}),
    ]
    for number, (chosen, flags, needs) in enumerate(rows):
        settings = {"STAND_IN_SERIES": "wrynose"}
        if number:
            settings["PACKAGECONFIG:pn-coracle"] = chosen
        recipe = Parsed(os.path.join(place, "options-%d" % number), layer, settings).recipes[SOURCE]
        report.same(recipe.getVar("PACKAGECONFIG"), chosen, "PACKAGECONFIG")
        report.same(own_flags(recipe), flags, "flags of cargo with %r" % chosen)
        report.same(set(recipe.getVar("RDEPENDS:" + SOURCE).split()), needs, "what is needed with %r" % chosen)


def own_flags(recipe):
    """What the recipe adds to the class's words for cargo."""
    return " ".join(recipe.getVar("CARGO_BUILD_FLAGS").split("Cargo.toml", 1)[1].split())


def dependencies(report, parsed, layer):
    """What recipes need is in a layer that this one says it depends on."""
    wanted = set((parsed.data.getVar("LAYERDEPENDS_meta-coracle") or "").split()) | {"meta-coracle"}
    known = {word for name in wanted for word in KNOWN.get(name, "").split()}
    for name, recipe in sorted(parsed.recipes.items()):
        if not recipe.getVar("FILE").startswith(layer):
            continue
        variables = ("DEPENDS", "RDEPENDS:" + name, "RRECOMMENDS:" + name, "IMAGE_INSTALL")
        for word in " ".join(recipe.getVar(it) or "" for it in variables).split():
            report.hold(word in known, "%s needs %s, which is in none of %s" % (name, word, " ".join(sorted(wanted))))


def sources(report, recipe):
    """Every source can be told what it is and what it has to be."""
    fetch = bb.fetch2.Fetch(recipe.getVar("SRC_URI").split(), recipe)
    kinds = {}
    for ud in fetch.ud.values():
        kinds[ud.type] = kinds.get(ud.type, 0) + 1
        if ud.type == "crate":
            report.hold(re.fullmatch("[0-9a-f]{64}", ud.sha256_expected or ""), "%s has no sum" % ud.url)
        elif ud.type == "git":
            report.hold(re.fullmatch("[0-9a-f]{40}", ud.revision), "%s is not a commit" % ud.revision)
    report.same(kinds.get("git"), 1, "git sources of %s" % recipe.getVar("PN"))
    return kinds


def hash_of(recipe, task):
    """What a task depends on, as bitbake's own generator of signatures collects it."""
    values, needs, todo = {}, set(), [task]
    # Where a build lies is no part of what is built; bitbake's own configuration leaves these out as well.
    places = {"TOPDIR", "TMPDIR", "WORKDIR", "DL_DIR", "FILE"}
    _, gendeps, lookup = bb.data.generate_dependencies(recipe, places)
    while todo:
        name = todo.pop()
        if name in needs or name in places:
            continue
        needs.add(name)
        values[name] = lookup.get(name)
        todo.extend(gendeps.get(name, ()))
    return hashlib.sha256(repr(sorted(values.items(), key=str)).encode()).hexdigest()


def signatures(report, place, layer):
    """The layer changes nothing of other recipes before it is asked to, and then what it says."""
    kernels = ("linux-yocto", "linux-raspberrypi")
    asked = {"DISTRO_FEATURES": "systemd usrmerge seccomp coracle-kernel"}
    settings = {"STAND_IN_SERIES": "wrynose"}
    bare = Parsed(os.path.join(place, "bare"), None, settings, ["raspberrypi"])
    with_it = Parsed(os.path.join(place, "with"), layer, settings, ["raspberrypi"])
    opted = Parsed(os.path.join(place, "opted"), layer, {**settings, **asked}, ["raspberrypi"])
    for name in kernels:
        for task in ("do_fetch", "do_unpack", "do_configure", "do_compile", "do_install"):
            before, after = (hash_of(it.recipes[name], task) for it in (bare, with_it))
            report.same(after, before, "the signature of %s of %s, once the layer is there" % (task, name))
        for variable in ("SRC_URI", "KERNEL_FEATURES", "FILESEXTRAPATHS"):
            values = [it.recipes[name].getVar(variable) for it in (bare, with_it, opted)]
            report.same(values[1], values[0], "%s of %s" % (variable, name))
            report.hold(values[2] != values[0], "%s of %s stays what it was when asked for" % (variable, name))
        fetch = bb.fetch2.Fetch(["file://coracle-kernel;type=kmeta"], opted.recipes[name])
        files = set(os.listdir(fetch.localpaths()[0]))
        wanted = opted.recipes[name].getVar("KERNEL_FEATURES").split()[-1]
        report.hold(wanted in files, "%s is not in %s" % (wanted, sorted(files)))
    moved = Parsed(os.path.join(place, "moved"), layer, {**settings, "CORACLE_GIT": "git://elsewhere/coracle;branch=x"})
    recipes = [it.recipes[SOURCE] for it in (with_it, moved)]
    report.hold(recipes[0].getVar("SRC_URI") != recipes[1].getVar("SRC_URI"), "CORACLE_GIT changes nothing")
    for task in ("do_fetch", "do_unpack", "do_compile"):
        hashes = [hash_of(it, task) for it in recipes]
        report.same(hashes[1], hashes[0], "the signature of %s, fetched from elsewhere" % task)


def licenses(report, recipe, folder):
    """The texts are those that the recipe names."""
    for entry in recipe.getVar("LIC_FILES_CHKSUM").split():
        name, sum_ = re.fullmatch(r"file://([^;]+);md5=([0-9a-f]{32})", entry).groups()
        path = os.path.join(folder, name)
        report.hold(os.path.isfile(path), "the source has no %s, or is not in S, which is %s" % (name, folder))
        if not os.path.isfile(path):
            continue
        with open(path, "rb") as file:
            report.same(hashlib.md5(file.read()).hexdigest(), sum_, "the sum of %s" % name)


@contextlib.contextmanager
def quiet(place):
    """What programs print meanwhile is kept in a file, and shown where they fail."""
    sys.stdout.flush()
    kept = [os.dup(it) for it in (1, 2)]
    with open(os.path.join(place, "said"), "w+b") as file:
        for it in (1, 2):
            os.dup2(file.fileno(), it)
        try:
            yield
        except BaseException:
            file.seek(0)
            os.write(kept[1], file.read()[-4000:])
            raise
        finally:
            for it, old in zip((1, 2), kept):
                os.dup2(old, it)
                os.close(old)


def unpacked(recipe, urls):
    """Fetches and unpacks; gives the folder that has the source then."""
    fetch = bb.fetch2.Fetch(urls, recipe)
    os.makedirs(recipe.getVar("UNPACKDIR"), exist_ok=True)
    with quiet(recipe.getVar("TOPDIR")):
        fetch.download()
        fetch.unpack(recipe.getVar("UNPACKDIR"))
    return recipe.getVar("S")


def run(recipe, function):
    """Runs a function of the recipe as bitbake does."""
    for folder in (recipe.getVar("T"), recipe.getVar("B"), recipe.getVar("D")):
        os.makedirs(folder, exist_ok=True)
    with quiet(recipe.getVar("TOPDIR")):
        bb.build.exec_func(function, recipe)


def installed(recipe):
    """All files below D, as they will be on the board."""
    root = recipe.getVar("D")
    walked = ((folder, files) for folder, _, files in os.walk(root))
    return sorted("/" + os.path.relpath(os.path.join(folder, name), root) for folder, files in walked for name in files)


def packaged(report, recipe, files):
    """Every file has its package; units that are to be enabled are among the files."""
    name = recipe.getVar("PN")
    packages = recipe.getVar("PACKAGES").split()
    report.hold(any(it.startswith("/usr/bin/coracle") for it in files), "%s has no program" % name)
    for file in files:
        owner = next((it for it in packages if belongs(file, recipe.getVar("FILES:" + it).split())), None)
        report.hold(owner, "%s of %s is in no package" % (file, name))
        is_document = file.startswith(("/usr/share/doc/", "/usr/share/man/"))
        report.same(owner == name + "-doc", is_document, "%s of %s belongs to the documents" % (file, name))
        mode = os.stat(recipe.getVar("D") + file).st_mode & 0o7777
        report.same(mode, 0o755 if file.startswith("/usr/bin/") else 0o644, "the mode of %s" % file)
    units = [it for it in files if os.path.dirname(it) == recipe.getVar("systemd_system_unitdir") and "@." not in it]
    enabled = {os.path.basename(it) for it in units if is_for_boot(recipe.getVar("D") + it)}
    report.same(set(recipe.getVar("SYSTEMD_SERVICE:" + name).split()), enabled, "units that are started at boot")


def belongs(file, patterns):
    """Whether a file is one of a package's."""
    return any(fnmatch.fnmatch(file, it) or file.startswith(it.rstrip("/*") + "/") for it in patterns)


def is_for_boot(path):
    """Whether a unit says where it is to be enabled."""
    with open(path, encoding="utf-8") as file:
        return "[Install]\n" in file.readlines()


def from_source(report, parsed):
    """Fetches and unpacks the commit by git, and installs it."""
    recipe = parsed.recipes[SOURCE]
    kinds = sources(report, recipe)
    # Crates are on a server; the source itself is in this repository.
    git = [it for it in recipe.getVar("SRC_URI").split() if it.startswith("git://")]
    recipe.setVar("SRC_URI", " ".join(git))
    folder = unpacked(recipe, git)
    licenses(report, recipe, folder)
    locks = [it for it, _, files in os.walk(recipe.getVar("CARGO_LOCK_SRC_DIR")) if "Cargo.lock" in files]
    report.same(locks, [folder], "folders with a Cargo.lock")
    with open(os.path.join(folder, "Cargo.toml"), encoding="utf-8") as file:
        version = re.search(r'^version = "(.+)"$', file.read(), re.MULTILINE).group(1)
    report.same(recipe.getVar("PV"), version, "the recipe's version and the workspace's")
    binary = os.path.join(recipe.getVar("B"), "target", recipe.getVar("CARGO_TARGET_SUBDIR"), "coracle")
    os.makedirs(os.path.dirname(binary))
    with open(binary, "w", encoding="utf-8") as file:
        file.write("stands in for the binary\n")
    run(recipe, "do_install")
    files = installed(recipe)
    packaged(report, recipe, files)
    return kinds, files


def from_release(report, place, layer, release):
    """Unpacks the archive of a release and installs it, in the layouts of an old and of a new series."""
    for name in ("scarthgap", "wrynose"):
        settings = {"STAND_IN_SERIES": name, "TARGET_ARCH": "x86_64", "CORACLE_RELEASE": "file://" + release}
        recipe = Parsed(os.path.join(place, "release-" + name), layer, settings).recipes[BINARY]
        licenses(report, recipe, unpacked(recipe, recipe.getVar("SRC_URI").split()))
        run(recipe, "do_install")
        packaged(report, recipe, installed(recipe))
    server = {**settings, "CORACLE_RELEASE": "https://releases.example.com", "CORACLE_RELEASE_SUM[%s]": "0" * 64}
    server = {key.replace("%s", "x86_64-unknown-linux-musl"): value for key, value in server.items()}
    recipe = Parsed(os.path.join(place, "release-server"), layer, server).recipes[BINARY]
    ud = next(iter(bb.fetch2.Fetch(recipe.getVar("SRC_URI").split(), recipe).ud.values()))
    report.same(ud.sha256_expected, "0" * 64, "the sum of an archive from a server")


def example(report, place, layer):
    """The example of a .bbappend is not parsed by itself, and does what it says where it is taken over."""
    settings = {"STAND_IN_SERIES": "wrynose"}
    folder = os.path.join(layer, "examples/recipes-core/coracle")
    parsed = Parsed(os.path.join(place, "example"), layer, settings)
    report.hold(not any("examples" in it for it in parsed.appends), "examples are parsed")
    parsed.appends.append(os.path.join(folder, "coracle_%.bbappend"))
    recipe = parsed.parse(parsed.recipes[SOURCE].getVar("FILE"))
    report.hold("file://config.toml" in recipe.getVar("SRC_URI"), "the example adds no configuration")
    found = bb.fetch2.Fetch(["file://config.toml"], recipe).localpaths()
    report.same(found, [os.path.join(folder, "coracle/config.toml")], "the example's configuration")


def main():
    """Everything; ends with one line of counts."""
    layer = os.path.abspath(sys.argv[1])
    logging.basicConfig(level=logging.ERROR)
    logging.getLogger("BitBake").setLevel(logging.CRITICAL + 1)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="coracle-yocto-") as made:
        place = os.path.realpath(made)
        series(report, place, layer)
        options(report, place, layer)
        signatures(report, place, layer)
        parsed = Parsed(os.path.join(place, "source"), layer, {"STAND_IN_SERIES": "wrynose"})
        dependencies(report, parsed, layer)
        kinds, files = from_source(report, parsed)
        from_release(report, place, layer, os.path.abspath(sys.argv[2]))
        example(report, place, layer)
        os.chdir(HERE)
    for what in report.bad:
        print(what)
    print("flags: %s" % own_flags(parsed.recipes[SOURCE]))
    counts = (bb.__version__, report.held, len(files), kinds.get("crate", 0), len(report.bad))
    print("bitbake %s: %d facts, %d files installed, %d crates, %d bad" % counts)
    return 1 if report.bad else 0


if __name__ == "__main__":
    sys.exit(main())
