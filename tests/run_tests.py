#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""ctest with these arguments, and three things that it does not do.

It says why tests were skipped, before the summary, since that ends the run. With --again what failed is run once more, one test
at a time: on a machine with two cores a neighbour may take all the time that a test of ours allowed; the result is that of the
second run, and the first is named. With --failures FILE the summary of a run that failed is kept there, for a caller with several
runs to end with.
"""

import argparse
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


def cases(junit):
    return list(xml.etree.ElementTree.parse(junit).iter("testcase")) if junit.exists() else []


def ctest(words):
    """Run and print all but the summary: (status, summary, names of the failed)."""
    with tempfile.TemporaryDirectory(prefix="run-tests-") as folder:
        junit = pathlib.Path(folder) / "junit.xml"
        held = []
        with subprocess.Popen(["ctest", *words, "--output-junit", junit], stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                if held or SUMMARY.match(line):
                    held.append(line)
                else:
                    print(line, end="", flush=True)
        ran = cases(junit)
    for case in ran:
        if case.find("skipped") is not None:
            print(f"skipped: {case.get('name')}: {reason(case.findtext('system-out') or '')}")
    return process.returncode, "".join(held), [case.get("name") for case in ran if case.get("status") == "fail"]


def run(words, again):
    status, summary, failed = ctest(words)
    if not (status and failed and again):
        return status, summary
    print(summary, "== once more, one at a time: " + " ".join(failed), sep="\n", flush=True)
    folder = words[words.index("--test-dir") + 1]
    status, second, still = ctest(["--test-dir", folder, "--rerun-failed", "--output-on-failure"])
    for name in failed:
        if name not in still:
            print(f"failed beside other tests, passed alone: {name}")
    return status, second


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False, description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--failures", type=pathlib.Path)
    options, words = parser.parse_known_args()
    status, summary = run(words, options.again)
    print(summary, end="", flush=True)
    if status and options.failures:
        with options.failures.open("a", encoding="utf-8") as file:
            file.write(summary or f"ctest {' '.join(words)}: exit status {status}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
