#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""ctest with these arguments, which also says why tests were skipped: before its summary, since that ends the run."""

import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

SUMMARY = re.compile(r"\d+% tests passed")
REASONS = (re.compile(r": Skipped\n(.+)"),                    # GoogleTest
           re.compile(r"skipped[: ]+['\"]?(.+?)['\"]?$", re.I | re.M))  # scripts


def reason(output):
    """Why, from what a skipped test printed."""
    for pattern in REASONS:
        if found := pattern.search(output):
            return found.group(1).strip()
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "it does not say"


def skips(junit):
    """(test, reason) of each skipped one."""
    if not junit.exists():
        return []
    cases = xml.etree.ElementTree.parse(junit).iter("testcase")
    return [(case.get("name"), reason(case.findtext("system-out") or "")) for case in cases if case.find("skipped") is not None]


def main():
    with tempfile.TemporaryDirectory(prefix="run-tests-") as folder:
        junit = pathlib.Path(folder) / "junit.xml"
        held = []
        with subprocess.Popen(["ctest", *sys.argv[1:], "--output-junit", junit], stdout=subprocess.PIPE, text=True) as ctest:
            for line in ctest.stdout:
                if held or SUMMARY.match(line):
                    held.append(line)
                else:
                    print(line, end="", flush=True)
        for test, why in skips(junit):
            print(f"skipped: {test}: {why}")
        print("".join(held), end="", flush=True)
        return ctest.returncode


if __name__ == "__main__":
    sys.exit(main())
