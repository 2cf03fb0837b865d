#!/usr/bin/env python3
"""Runs the test that meta-coracle has for boards against an agent of this machine, as far as that needs no board.

    runtime.py LAYER AGENT

openembedded's test framework is stood in for: `self.target.run` runs here. What systemd has to say is left to a board,
and so are the verdicts of `coracle doctor`, for they are this machine's; that it has the checks is held here.
"""

import importlib.util
import io
import json
import os
import platform
import subprocess
import sys
import types
import unittest

HERE = ("test_says_its_version", "test_knows_the_board", "test_configuration_is_right")


class Target:
    """A board that is this machine."""

    def __init__(self, agent):
        self.path = os.path.dirname(os.path.abspath(agent))

    def run(self, command, timeout):
        """As over ssh: the code that it ended with, and all it printed."""
        environment = {**os.environ, "PATH": self.path + ":" + os.environ["PATH"]}
        done = subprocess.run(
            command, shell=True, check=False, env=environment, timeout=timeout, encoding="utf-8",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        return done.returncode, done.stdout.strip()


def framework(agent):
    """The parts of openembedded's framework that the test asks for."""

    def decorator(*_words):
        return lambda function: function

    case = type("OERuntimeTestCase", (unittest.TestCase,), {
        "target": Target(agent), "td": {"TARGET_ARCH": platform.machine()},
    })
    names = {
        "oeqa.core.decorator.data": {"skipIfNotFeature": decorator},
        "oeqa.core.decorator.depends": {"OETestDepends": decorator},
        "oeqa.runtime.case": {"OERuntimeTestCase": case},
        "oeqa.runtime.decorator.package": {"OEHasPackage": decorator},
    }
    for name, content in names.items():
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            sys.modules.setdefault(".".join(parts[:end]), types.ModuleType(".".join(parts[:end])))
        vars(sys.modules[name]).update(content)


def main():
    """Everything; ends with one line of counts."""
    layer, agent = sys.argv[1:3]
    framework(agent)
    path = os.path.join(layer, "lib/oeqa/runtime/cases/coracle.py")
    spec = importlib.util.spec_from_file_location("coracle", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    said = io.StringIO()
    suite = unittest.TestSuite(module.CoracleTest(name) for name in HERE)
    result = unittest.TextTestRunner(stream=said).run(suite)
    _, output = Target(agent).run("coracle doctor --json", module.TIMEOUT)
    there = {check["name"] for check in json.loads(output)["checks"]}
    missing = sorted(set(module.CHECKS) - there)
    if not result.wasSuccessful() or missing:
        print(said.getvalue())
        print("the doctor has no check %s" % ", ".join(missing) if missing else "")
        return 1
    counts = (result.testsRun, len(module.CHECKS))
    print("%d of the board's tests pass here, %d checks of the doctor are there" % counts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
