#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The groups whose `places` name Xen, in its dom0: in_xen.py --build DIR [--json FILE] [FILE.GROUP[.TEST]...]

tests/xen/smoke_test.py runs it there. Group and test, outcome, seconds and text of each test go to the JSON file.
"""

import argparse
import importlib
import json
import pathlib
import sys
import time
import unittest

import case
import lab as laboratory
import xen_lab


def groups():
    """Names, as FILE.GROUP, of the groups for Xen."""
    for file in sorted(path.stem for path in pathlib.Path(__file__).parent.glob("*_test.py")):
        for group in vars(importlib.import_module(file)).values():
            if isinstance(group, type) and issubclass(group, case.SmokeTest) and group.__module__ == file and "xen" in group.places:
                yield f"{file}.{group.__name__}"


class Outcomes(unittest.TextTestResult):
    """Keeps what becomes of each test."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.rows, self._began = [], time.monotonic()

    def startTest(self, test):
        super().startTest(test)
        self._began = time.monotonic()

    def _add(self, test, outcome, text=""):
        self.rows.append({"test": test.id(), "outcome": outcome, "seconds": time.monotonic() - self._began, "text": text})

    def addSuccess(self, test):
        super().addSuccess(test)
        self._add(test, "passed")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._add(test, "skipped", reason)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._add(test, "FAILED", self._exc_info_to_string(err, test))

    def addError(self, test, err):
        super().addError(test, err)
        self._add(test, "FAILED", self._exc_info_to_string(err, test))

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._add(subtest, "FAILED", self._exc_info_to_string(err, test))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=case.build, help="build folder (build/release)")
    parser.add_argument("--list", choices=("groups", "domains", "programs"), help="print the groups, or the domUs that they need, or NAME=FOLDER of the "
                        "programs, and end")
    parser.add_argument("--json", type=pathlib.Path, help="where the outcomes go")
    parser.add_argument("tests", nargs="*", help="default: all for Xen")
    options = parser.parse_args()
    if options.list:
        lists = {"groups": groups, "domains": lambda: xen_lab.DOMAINS, "programs": lambda: map("=".join, laboratory.PROGRAMS.items())}
        print("\n".join(lists[options.list]()))
        return 0
    case.build, case.make = options.build.resolve(), xen_lab.XenLab
    suite = unittest.defaultTestLoader.loadTestsFromNames(options.tests or list(groups()))
    result = unittest.TextTestRunner(verbosity=2, stream=sys.stdout, resultclass=Outcomes).run(suite)
    if options.json:
        options.json.write_text(json.dumps(result.rows))
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
