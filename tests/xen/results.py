# SPDX-License-Identifier: BSD-2-Clause
"""Results of the tests: lines as they come, one table at the end, a file in JUnit's form.

A test that failed on a machine that has died says nothing about the product. It is not counted yet: `orphans` are to be run once more,
on a second machine, and what becomes of them there is the result.
"""

import time
import unittest
import xml.etree.ElementTree as xml


class Results(unittest.TestResult):
    """Keeps (group, test, outcome, seconds, text) of each test; outcome is passed, FAILED or skipped. `died()` says whether the
    machine has."""

    def __init__(self, died=lambda: False):
        super().__init__()
        self.rows, self.figures = [], []
        self.orphans, self.second_try = [], False
        self._died, self._began = died, 0.0

    def startTest(self, test):
        super().startTest(test)
        self._began = time.monotonic()

    def add(self, test, outcome, text=""):
        seconds = time.monotonic() - self._began if self._began else 0.0
        self._began = 0.0
        self.record(*_names(test), outcome, seconds, text)

    def _add_broken(self, test, text):
        if self.second_try or not self._died():
            self.add(test, "FAILED", text)
        else:
            self.orphans.append(test)
            print("{:<8} {}.{}: the machine has died".format("broken", *_names(test)), flush=True)

    def record(self, group, name, outcome, seconds, text=""):
        text = text or ("on the second machine" if self.second_try else "")
        self.rows.append((group, name, outcome, seconds, text))
        print(f"{outcome:<8} {group}.{name}  {seconds:.1f} s{_remark(outcome, text)}", flush=True)
        if outcome == "FAILED":
            print("\n".join("    " + line for line in text.splitlines()), flush=True)

    def addSuccess(self, test):
        self.add(test, "passed")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._add_broken(test, self._exc_info_to_string(err, test))

    addError = addFailure

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.add(test, "skipped", reason)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._add_broken(subtest, self._exc_info_to_string(err, test))

    def count(self, outcome):
        return sum(row[2] == outcome for row in self.rows)

    def table(self):
        width = max((len(f"{row[0]}.{row[1]}") for row in self.rows), default=0)
        lines = [f"{group + '.' + name:<{width}}  {outcome:<8} {seconds:7.1f} s{_remark(outcome, text)}"
                 for group, name, outcome, seconds, text in self.rows]
        lines += [f"{name:<{width}}  {value}" for name, value in self.figures]
        lines.append(f"{self.count('passed')} passed, {self.count('FAILED')} failed, {self.count('skipped')} skipped")
        return "\n".join(lines)

    def write_junit(self, path):
        suite = xml.Element("testsuite", name="xen", tests=str(len(self.rows)), failures=str(self.count("FAILED")),
                            skipped=str(self.count("skipped")), time=f"{sum(row[3] for row in self.rows):.1f}")
        for group, name, outcome, seconds, text in self.rows:
            case = xml.SubElement(suite, "testcase", classname=f"xen.{group}", name=name, time=f"{seconds:.1f}")
            if outcome == "FAILED":
                xml.SubElement(case, "failure", message=_printable(text.splitlines()[-1] if text else "")).text = _printable(text)
            elif outcome == "skipped":
                xml.SubElement(case, "skipped", message=_printable(text))
        path.parent.mkdir(parents=True, exist_ok=True)
        xml.ElementTree(suite).write(path, encoding="unicode", xml_declaration=True)


def _remark(outcome, text):
    return f"  {text.splitlines()[0]}" if text and outcome != "FAILED" else ""


def _printable(text):
    """What XML can hold: consoles print anything."""
    return "".join(c if c in "\n\t" or c.isprintable() else "?" for c in text)


def _names(test):
    """(group, test) of a test case, a subtest, or what unittest makes of a failed setUpClass."""
    words = test.id().replace("__main__.", "")
    if words.startswith(("setUpClass (", "tearDownClass (")):
        kind, group = words.rstrip(")").split(" (")
        return group.rsplit(".", 1)[-1], kind
    parts = words.split(" ", 1)
    pieces = parts[0].split(".")
    return pieces[-2], pieces[-1] + (f" {parts[1]}" if len(parts) > 1 else "")
