#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs one lint over the project, or its self-test, which proves that it can fail: run.py CHECK [--root R] [--can-fail]."""
import argparse
import sys
import tempfile
from pathlib import Path

import contract
import formatting
import hot_path
import layers
import machine
import man_pages
import text_rules

CHECKS = {
    "contract": contract,
    "layers": layers,
    "hot_path": hot_path,
    "spdx": text_rules.Spdx,
    "length": text_rules.Length,
    "open_ends": text_rules.OpenEnds,
    "machine": machine,
    "format": formatting,
    "man_pages": man_pages,
}
SKIPPED = 77


def findings_of_sample(check, files):
    with tempfile.TemporaryDirectory(prefix="lint-sample-") as folder:
        for path, text in files.items():
            target = Path(folder) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        return getattr(check, "check_sample", check.check)(Path(folder))


def can_fail(check):
    problems = [f"good sample reported: {finding}" for finding in findings_of_sample(check, check.GOOD)]
    for number, sample in enumerate(check.BAD):
        if not findings_of_sample(check, sample):
            problems.append(f"bad sample {number} not reported: {sample}")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("check", choices=sorted(CHECKS))
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2])
    parser.add_argument("--can-fail", action="store_true", help="check the check against its samples")
    options = parser.parse_args()
    check = CHECKS[options.check]
    try:
        findings = can_fail(check) if options.can_fail else check.check(options.root)
    except formatting.Skip as reason:
        print(f"skipped: {reason}")
        return SKIPPED
    for finding in findings:
        print(finding)
    print(f"{options.check}: {len(findings)} finding{'' if len(findings) == 1 else 's'}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
