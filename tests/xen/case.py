# SPDX-License-Identifier: BSD-2-Clause
"""A group of tests that share an emulated machine: what they say they need, and what is kept when one fails."""

import statistics
import time
import unittest

import overlay
from machine import PATIENCE, Failure, Machine
from wires import Outside


class Lab:
    """The machines of this run, one at a time: a group that needs the same one as the group before gets it as it is."""

    def __init__(self, work, build, folder):
        self.work, self.build, self.folder = work, build, folder
        self._machine, self._outside, self._wanted, self._boots = None, None, None, 0

    def machine(self, hypervisor, qemu_options, xen_options, memory_mib, wires):
        """A machine that runs, with whatever is built; boots one unless the last is of that kind and alive."""
        wanted = (hypervisor, tuple(qemu_options), tuple(xen_options), memory_mib, wires)
        if self._machine is not None and self._machine.alive and wanted == self._wanted:
            return self._machine
        self.close()
        self._boots += 1
        folder = self.folder / f"machine-{self._boots}-{hypervisor}"
        folder.mkdir(parents=True)
        if wires:
            self._outside = Outside(wires)
            self._outside.open()
        machine = Machine(
            self.work, hypervisor, folder, qemu_options=qemu_options, xen_options=xen_options, memory_mib=memory_mib, outside=self._outside,
            overlay=[overlay.for_dom0(self.build, self.work, folder)], domu_parts=[overlay.for_domu(self.build, self.work, folder)])
        machine.start()
        print(f"booted   the {hypervisor} hypervisor, {machine.boot_s:.0f} s", flush=True)
        self._machine, self._wanted = machine, wanted
        return machine

    def died(self):
        """Whether the last machine has; it is looked at closely."""
        return self._machine is not None and not self._machine.responds()

    def close(self):
        if self._machine is not None:
            self._machine.close()
            self._machine = None
        if self._outside is not None:
            self._outside.close()
            self._outside = None


class XenTest(unittest.TestCase):
    """A group. `hypervisor` is "stock", "patched" or "flask"; `programs` of the project have to be built for it."""

    hypervisor = "stock"
    programs = ()
    when_named = False  # runs only then: it measures, for a quiet machine, or takes long
    qemu_options = ()
    xen_options = ()
    memory_mib = 4096
    wires = 0  # TAPs of this machine's that are cables of emulated NICs: wires.py
    lab = None  # set by run.py
    results = None
    machine = None

    @classmethod
    def setUpClass(cls):
        if not (cls.lab.work / "boot" / f"xen-{cls.hypervisor}").exists():
            raise unittest.SkipTest(f"there is no {cls.hypervisor} hypervisor: portmap/xen/build-hypervisor makes it")
        if missing := set(cls.programs) - set(overlay.built(cls.lab.build)):
            raise unittest.SkipTest(f"not in {cls.lab.build}: {', '.join(sorted(missing))}; make builds them")
        cls.machine = cls.lab.machine(cls.hypervisor, cls.qemu_options, cls.xen_options, cls.memory_mib, cls.wires)

    @classmethod
    def figure(cls, name, value):
        """A measured value for the table."""
        cls.results.figures.append((name, value))
        print(f"measured {name}: {value}", flush=True)

    def compare_figures(self, what, unit, values, peer):
        """Of {name: [a value of each round]} the medians, and the medians of the rounds' ratios to `peer`. A ratio fails no test."""
        for name, found in values.items():
            self.assertGreater(min(found), 0)
            self.figure(f"{what}, {name}", f"{statistics.median(found):.2f} {unit} ({min(found):.2f}-{max(found):.2f})")
        for name in (name for name in values if name != peer):
            ratios = [ours / theirs for ours, theirs in zip(values[name], values[peer], strict=True)]
            self.figure(f"{what}, ratio of {name}", f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})")

    @staticmethod
    def eventually(condition, what, timeout_s=30):
        """The condition's first true value; it may fail with Failure until then."""
        end = time.monotonic() + timeout_s * PATIENCE
        while True:
            try:
                value, why = condition(), ""
            except Failure as failure:
                value, why = None, f" ({str(failure).splitlines()[0]})"
            if value:
                return value
            if time.monotonic() > end:
                raise Failure(f"waited {timeout_s} s in vain: {what}{why}")
            time.sleep(0.2)
