# SPDX-License-Identifier: BSD-2-Clause
"""What the smoke tests have in common: --build DIR, one lab per group, logs of the lab on failure, exit status 77 when all was skipped.

    python3 tests/smoke/applications_test.py [--build DIR] [GROUP[.TEST]...]

A group runs on this machine (namespaces, librettos-hypervisord), and in dom0 of a real Xen if its `places` say so: see in_xen.py.
"""

import argparse
import pathlib
import sys
import unittest

import lab as laboratory

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77
build = ROOT / "build/release"
make = laboratory.Lab  # the lab of the place where the tests run


class SmokeTest(unittest.TestCase):
    """A group: tests that share the lab that setUpClass makes by make_lab()."""

    places = ("local",)
    lab = None

    @classmethod
    def make_lab(cls, *programs, **options):
        """Makes cls.lab; the options are those of lab.Lab."""
        try:
            make.check_machine(build, *programs)
        except laboratory.CannotRun as reason:
            raise unittest.SkipTest(str(reason)) from None
        cls.lab = cls.enterClassContext(make(build, **options))
        return cls.lab

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if self.lab is not None and len(result.failures) + len(result.errors) > before:
            sys.stderr.write(f"\nlogs after {self.id()}:\n{self.lab.report()}\n")

    def eventually(self, condition, what, timeout_s=laboratory.PATIENCE_S):
        """The condition's first true value."""
        return laboratory.wait_until(condition, what, timeout_s)


def main():
    """Runs the groups of the calling program."""
    global build
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, default=build, help="build folder (build/release)")
    parser.add_argument("tests", nargs="*", help="groups or tests, as Group or Group.test; default: all")
    options = parser.parse_args()
    build = options.build.resolve()
    loader = unittest.defaultTestLoader
    module = sys.modules["__main__"]
    suite = loader.loadTestsFromNames(options.tests, module) if options.tests else loader.loadTestsFromModule(module)
    result = unittest.TextTestRunner(verbosity=2, stream=sys.stdout).run(suite)
    for test, reason in result.skipped:
        print(f"skipped: {test.id()}: {reason}")
    if not result.wasSuccessful():
        return 1
    ran = result.testsRun - len(result.skipped)
    return SKIPPED if result.skipped and ran <= 0 else 0
