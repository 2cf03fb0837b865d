#
# SPDX-License-Identifier: MIT
#
"""What `bitbake -c testimage coracle-image` asks a board: whether the agent is there, runs, and has what it needs."""

import json

from oeqa.core.decorator.data import skipIfNotFeature
from oeqa.core.decorator.depends import OETestDepends
from oeqa.runtime.case import OERuntimeTestCase
from oeqa.runtime.decorator.package import OEHasPackage

# A small board under emulation takes its time.
TIMEOUT = 300
# What `coracle doctor` looks at that the image is to blame for; what only an operator can set may be missing.
CHECKS = ("kernel", "overlayfs", "xattr", "namespaces", "seccomp", "cgroups", "runtime", "ca-store")


class CoracleTest(OERuntimeTestCase):
    """The agent of an image that nobody has configured."""

    def demand(self, command, expected=0):
        """Runs a command on the board; gives what it printed, and fails where it ends with another code."""
        status, output = self.target.run(command, timeout=TIMEOUT)
        self.assertEqual(status, expected, msg="%s ended with %s:\n%s" % (command, status, output))
        return output

    @OEHasPackage(["coracle", "coracle-bin"])
    @OETestDepends(["ssh.SSHTest.test_ssh"])
    def test_says_its_version(self):
        """The program runs at all: it was built for this processor."""
        self.assertRegex(self.demand("coracle --version"), r"^coracle \d+\.\d+\.\d+")

    @OETestDepends(["coracle.CoracleTest.test_says_its_version"])
    def test_knows_the_board(self):
        """It says what images this board can run, and one of them is the processor's own."""
        words = {"aarch64": "arm64", "x86_64": "amd64", "arm": "arm", "riscv64": "riscv64"}
        architecture = self.td["TARGET_ARCH"]
        output = self.demand("coracle platform --json")
        self.assertIn("linux/%s" % words.get(architecture, architecture), output)

    @OETestDepends(["coracle.CoracleTest.test_says_its_version"])
    def test_kernel_and_runtime_suffice(self):
        """Whatever a board must have to run containers is there."""
        _, output = self.target.run("coracle doctor --json", timeout=TIMEOUT)
        checks = {check["name"]: check for check in json.loads(output)["checks"]}
        for name in CHECKS:
            self.assertEqual(checks[name]["verdict"], "ok", msg=json.dumps(checks[name]))

    @OETestDepends(["coracle.CoracleTest.test_says_its_version"])
    def test_configuration_is_right(self):
        """What the image was given, if anything, is read without a complaint."""
        self.demand("coracle check-config")

    @skipIfNotFeature("systemd", "the image has another init system")
    @OETestDepends(["coracle.CoracleTest.test_says_its_version"])
    def test_agent_runs(self):
        """Its units are enabled, and the agent is up without a network that reaches anybody."""
        for unit in ("coracle.service", "coracle-boot.service"):
            self.demand("systemctl is-enabled %s" % unit)
            self.demand("systemctl is-active %s || systemctl status --full %s" % (unit, unit))
        json.loads(self.demand("coracle status --json"))
