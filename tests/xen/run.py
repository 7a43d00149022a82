#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Tests on a real Xen in an emulated machine: prepares the lab, boots it, runs all groups or those that are named.

    sudo python3 -B tests/xen/run.py [--build DIR] [Group[.test]...]
"""

import argparse
import importlib
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

import case
import results

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SKIPPED = 77


def prepare(work, patched):
    """Exit status of the preparation, `patched`: with our hypervisor."""
    return subprocess.run([HERE / "prepare/run.sh", work, *(["patched"] if patched else [])], check=False).returncode


def groups(wanted):
    """(group, its tests) of all *_test.py as far as they are in `wanted` (all if empty), those of one machine together."""
    chosen = []
    for name in sorted(path.stem for path in HERE.glob("*_test.py")):
        module = importlib.import_module(name)
        for group in vars(module).values():
            if not (isinstance(group, type) and issubclass(group, case.XenTest) and group.__module__ == name):
                continue
            tests = [test for test in unittest.defaultTestLoader.getTestCaseNames(group)
                     if not wanted or group.__name__ in wanted or f"{group.__name__}.{test}" in wanted]
            if tests:
                chosen.append((group, tests))
    return sorted(chosen, key=lambda entry: (entry[0].hypervisor != "stock", entry[0].qemu_options))


def run(chosen, lab):
    outcome = results.Results()
    case.XenTest.lab, case.XenTest.results = lab, outcome
    try:
        for group, tests in chosen:
            unittest.TestSuite(group(test) for test in tests).run(outcome)
    finally:
        lab.close()
    return outcome


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release", help="build folder (build/release)")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path(os.environ.get("XEN_WORK", ROOT / "build/xen")),
                        help="folder for what is prepared and for logs ($XEN_WORK, build/xen)")
    parser.add_argument("--junit", type=pathlib.Path, help="where the results go in JUnit's form (WORK/results.xml)")
    parser.add_argument("--list", action="store_true", help="print the tests and do nothing")
    parser.add_argument("tests", nargs="*", help="groups or tests, as Group or Group.test; default: all")
    options = parser.parse_args()
    chosen = groups(options.tests)
    if options.list or not chosen:
        print("\n".join(f"{group.__name__}.{test}" for group, tests in chosen for test in tests) or "no such test; --list shows all")
        return 0 if chosen else 2
    if os.environ.get("SKIP_XEN"):
        print("skipped: SKIP_XEN is set")
        return SKIPPED
    if (status := prepare(options.work, any(group.hypervisor == "patched" for group, _ in chosen))) != 0:
        return status
    folder = options.work / "runs" / str(os.getpid())
    folder.mkdir(parents=True)
    outcome = run(chosen, case.Lab(options.work.resolve(), options.build.resolve(), folder.resolve()))
    print(f"\n{outcome.table()}")
    outcome.write_junit(options.junit or options.work / "results.xml")
    if outcome.count("FAILED"):
        print(f"serial logs, consoles and the output of each step are in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0 if outcome.count("passed") else SKIPPED


if __name__ == "__main__":
    sys.exit(main())
