#!/usr/bin/env python3
"""Holds the kas files of meta-coracle against kas's own schema, and against what the layer says it depends on.

kas_files.py LAYER
"""

import glob
import json
import os
import re
import sys

import jsonschema
import kas
import yaml


def merged(repository, path, schema):
    """A file with what it includes below it; refused where the schema refuses it."""
    with open(os.path.join(repository, path), encoding="utf-8") as file:
        content = yaml.safe_load(file)
    jsonschema.validate(content, schema)
    whole = {}
    for include in content["header"].get("includes", []):
        whole = {**whole, **merged(repository, include, schema)}
    return {**whole, **content}


def main():
    """Everything; ends with one line of counts."""
    layer = os.path.abspath(sys.argv[1])
    repository = os.path.dirname(layer)
    with open(os.path.join(os.path.dirname(kas.__file__), "schema-kas.json"), encoding="utf-8") as file:
        schema = json.load(file)
    with open(os.path.join(layer, "conf/layer.conf"), encoding="utf-8") as file:
        series = re.search(r'LAYERSERIES_COMPAT_\S+ = "(.+)"', file.read()).group(1).split()
    files = sorted(glob.glob(os.path.join(layer, "kas/*.yml")))
    bad = []
    for path in files:
        name = os.path.relpath(path, repository)
        whole = merged(repository, name, schema)
        layers = {it for repo in whole["repos"].values() for it in repo.get("layers") or ()}
        wanted = {"meta", "meta-oe", "meta-networking", "meta-filesystems", "meta-python", "meta-virtualization"}
        # meta-virtualization is a repository and a layer in one.
        layers |= {name for name, repo in whole["repos"].items() if not repo.get("layers")}
        bad += ["%s lacks the layer %s" % (name, it) for it in sorted(wanted - layers)]
        local = [repo for repo in whole["repos"].values() if "url" not in repo]
        good = [repo["layers"] for repo in local] == [{os.path.basename(layer): None}]
        bad += [] if good else ["%s does not take this layer from here" % name]
        if whole["defaults"]["repos"]["branch"] not in series:
            bad.append("%s is for another series than the layer" % name)
        if whole["machine"] != os.path.basename(path)[: -len(".yml")]:
            bad.append("%s is for %s" % (name, whole["machine"]))
    print("\n".join([*bad, "%d files by kas's schema, %d bad" % (len(files), len(bad))]))
    return 1 if bad or not files else 0


if __name__ == "__main__":
    sys.exit(main())
