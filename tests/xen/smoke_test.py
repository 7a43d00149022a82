# SPDX-License-Identifier: BSD-2-Clause
"""The smoke tests of tests/smoke that are for Xen: the very script, in dom0, with a domU for each of its guests."""

import json

import case
from domu import DomU, pvh_obstacle
from machine import PATIENCE
from overlay import SMOKE_PROGRAMS, listed

SLOWER = 8  # than the machine that it runs on


def with_smoke_tests(group):
    """Adds a test for each group of the script."""
    for name in listed("groups"):
        setattr(group, f"test_{name.split('.')[1]}", lambda self, name=name: self.smoke(name))
    return group


@with_smoke_tests
class Smoke:
    """The domUs live as long as the class. The classes below say on which hypervisor."""

    programs = tuple(SMOKE_PROGRAMS)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        kinds = {"echo": "pv" if pvh_obstacle(cls.machine) else "pvh"}
        domains = [DomU(cls.machine, name, kind=kinds.get(name, "pv")) for name in listed("domains")]
        for domain in domains:
            cls.addClassCleanup(domain.destroy)
            domain.create()
        for domain in domains:
            domain.wait()

    def smoke(self, group):
        """Runs it and adds a line for each of its tests."""
        outcomes = self.machine.share / f"{group}.json"
        step = self.machine.start_step(
            f"cd /opt/librettos/tests/smoke && SMOKE_PATIENCE={SLOWER * PATIENCE} python3 -B in_xen.py --build /opt/librettos/build "
            f"--json /lab/{outcomes.name} {group}")
        status = step.wait(900)
        rows = json.loads(outcomes.read_text()) if outcomes.exists() else []
        for row in rows:
            test = row["test"].split(".", 2)[-1]
            self.results.record(f"{type(self).__name__}.{group.split('.')[1]}", test, row["outcome"], row["seconds"], row["text"])
        self.assertEqual(status, 0, step.output)
        self.assertTrue(rows)
        if all(row["outcome"] == "skipped" for row in rows):
            self.skipTest(rows[0]["text"])


class SmokeOnStockXen(Smoke, case.XenTest):
    """The server is the portmap's authority."""


class SmokeOnPatchedXen(Smoke, case.XenTest):
    """The hypervisor is."""

    hypervisor = "patched"
