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
import signal
import subprocess
import sys
import unittest

import case
import results
from machine import PATIENCE, Failure

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SKIPPED = 77
OURS = ("patched", "flask")  # hypervisors with the portmap in them
PREPARATION_S = 900  # at the most
TESTS_S = 60 * float(os.environ.get("XEN_MINUTES", 20 * PATIENCE))  # no test begins later
LAST_TEST_S = 300 * PATIENCE  # for the one that runs then
TOO_LATE = f"not run: {TESTS_S / 60:g} minutes were over (XEN_MINUTES)"


class Ended(KeyboardInterrupt):
    """By a signal. unittest takes everything else for a test's failure."""


def _end_by_signal(number, _):
    raise Ended(number)


def prepare(work, hypervisors):
    """Exit status of the preparation, with these kinds of our hypervisor. Nothing of it runs on when this one is ended."""
    command = [HERE / "prepare/run.sh", work, *(kind for kind in OURS if kind in hypervisors)]
    with subprocess.Popen(command, start_new_session=True) as child:
        try:
            return child.wait(PREPARATION_S * max(1, PATIENCE / 2))
        except BaseException as why:
            os.killpg(child.pid, signal.SIGTERM)
            if isinstance(why, subprocess.TimeoutExpired):
                print(f"the preparation took more than {why.timeout:.0f} s; what it was at is in *.log of {work}", flush=True)
                return 1
            raise


def groups(wanted):
    """(group, its tests) of all *_test.py as far as they are in `wanted` (if empty, all that do not have to be named), those of one machine together,
    our hypervisor's first."""
    chosen = []
    for name in sorted(path.stem for path in HERE.glob("*_test.py")):
        module = importlib.import_module(name)
        for group in vars(module).values():
            if not (isinstance(group, type) and issubclass(group, case.XenTest) and group.__module__ == name):
                continue
            tests = [test for test in unittest.defaultTestLoader.getTestCaseNames(group)
                     if group.__name__ in wanted or f"{group.__name__}.{test}" in wanted or (not wanted and not group.when_named)]
            if tests:
                chosen.append((group, tests))
    return sorted(chosen, key=lambda entry: (entry[0].hypervisor == "stock", entry[0].qemu_options))


def run_group(group, tests, outcome):
    """Those that were on a machine that died get a second one, once."""
    unittest.TestSuite(group(test) for test in tests).run(outcome)
    if not outcome.orphans:
        return
    outcome.orphans.clear()
    done = {row[1] for row in outcome.rows if row[0] == group.__name__}
    outcome.second_try, outcome._previousTestClass = True, None  # else unittest would take the class for set up
    try:
        unittest.TestSuite(group(test) for test in tests if test not in done).run(outcome)
    finally:
        outcome.second_try = False


def run(chosen, lab):
    outcome = results.Results(lab.died)
    case.XenTest.lab, case.XenTest.results = lab, outcome

    def time_is_up(*_):
        if outcome.shouldStop:
            raise Failure(f"took {LAST_TEST_S:.0f} s more than the {TESTS_S:.0f} s of all tests")
        outcome.stop()
        signal.alarm(int(LAST_TEST_S))

    signal.signal(signal.SIGALRM, time_is_up)
    signal.alarm(int(TESTS_S))
    try:
        for group, tests in chosen:
            if not outcome.shouldStop:
                run_group(group, tests, outcome)
    except Failure as why:
        print(why, flush=True)
    finally:
        signal.alarm(0)
        lab.close()
    if outcome.shouldStop:
        reported = {(row[0], row[1].split()[0]) for row in outcome.rows}
        for group, test in ((group.__name__, test) for group, tests in chosen for test in tests):
            if not {(group, test), (group, "setUpClass")} & reported:
                outcome.record(group, test, "skipped", 0, TOO_LATE)
    return outcome


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release", help="build folder (build/release)")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path(os.environ.get("XEN_WORK", ROOT / "build/xen")),
                        help="folder for what is prepared and for logs ($XEN_WORK, build/xen)")
    parser.add_argument("--junit", type=pathlib.Path, help="where the results go in JUnit's form (WORK/results.xml)")
    parser.add_argument("--list", action="store_true", help="print the tests and do nothing")
    parser.add_argument("tests", nargs="*", help="groups or tests, as Group or Group.test; default: $XEN_TESTS, or all")
    options = parser.parse_args()
    chosen = groups(options.tests or os.environ.get("XEN_TESTS", "").split())
    if options.list or not chosen:
        print("\n".join(f"{group.__name__}.{test}" for group, tests in chosen for test in tests) or "no such test; --list shows all")
        return 0 if chosen else 2
    if os.environ.get("SKIP_XEN"):
        print("skipped: SKIP_XEN is set")
        return SKIPPED
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _end_by_signal)
    if (status := prepare(options.work, {group.hypervisor for group, _ in chosen})) != 0:
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
    try:
        sys.exit(main())
    except Ended as end:
        sys.exit(128 + end.args[0])
