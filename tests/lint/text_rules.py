# SPDX-License-Identifier: BSD-2-Clause
"""Rules about single files: licence line, length, open ends."""
import re
from pathlib import Path

import project

LICENCE = "SPDX-License-Identifier: BSD-2-Clause"
# Becomes part of Xen and carries its licence.
OTHER_LICENCES = {"portmap/xen/": "SPDX-License-Identifier: GPL-2.0-only"}
LONGEST = 500
# path -> why it is better long
LONG_FILES = {}
CANNOT_CARRY_A_COMMENT = {".json", ".txt"}
# Written elsewhere: prose and the licence itself.
PROSE = {".md"}


def wants_licence(path: str) -> bool:
    suffix = Path(path).suffix
    name = Path(path).name
    return (name == "CMakeLists.txt" or suffix not in CANNOT_CARRY_A_COMMENT | PROSE) and name not in {"LICENSE", ".gitignore"}


def licence_of(path: str) -> str:
    return next((licence for folder, licence in OTHER_LICENCES.items() if path.startswith(folder)), LICENCE)


class Spdx:
    """Every source begins with its licence."""
    GOOD = {"daemon/a.cpp": f"// {LICENCE}\n", "a.py": f"#!/usr/bin/python3\n# {LICENCE}\n", "docs/a.md": "text\n",
            "CMakePresets.json": "{}\n", "portmap/xen/a.c": "/* SPDX-License-Identifier: GPL-2.0-only */\n"}
    BAD = [{"daemon/a.cpp": "int a;\n"}, {"tests/CMakeLists.txt": "project(x)\n"}, {"Makefile": "all:\n"},
           {"daemon/a.hpp": "\n" * 10 + f"// {LICENCE}\n"}, {"daemon/a.c": "// SPDX-License-Identifier: GPL-2.0\n"},
           {".ci/run": "#!/bin/bash\n"}, {"portmap/xen/a.c": f"/* {LICENCE} */\n"}]

    @staticmethod
    def check(root: Path):
        return [f"{path}:1: no line '{licence_of(path)}' among the first three" for path in project.text_files(root)
                if wants_licence(path)
                and not any(licence_of(path) in line for line in project.read(root, path).splitlines()[:3])]


class Length:
    """Files stay under 500 lines."""
    GOOD = {"daemon/a.cpp": "\n" * (LONGEST - 1), "docs/a.md": "\n" * 900}
    BAD = [{"daemon/a.cpp": "\n" * LONGEST}, {"tests/a.py": "\n" * 700}, {"guest-frontend/a.c": "\n" * 501}]

    @staticmethod
    def check(root: Path):
        findings = []
        for path in project.text_files(root):
            if Path(path).suffix not in project.SOURCE_SUFFIXES | project.SCRIPT_SUFFIXES and Path(path).name != "Makefile":
                continue
            lines = len(project.read(root, path).splitlines())
            if lines >= LONGEST and path not in LONG_FILES:
                findings.append(f"{path}:{lines}: {lines} lines; under {LONGEST}: split it by role")
        return findings


class OpenEnds:
    """An open end says why it is open; nothing is switched off with #if 0."""
    MARK = "TO" + "DO"
    WORDS = re.compile(r"\b(" + MARK + "|FIX" + "ME|XX" + r"X)\b(?!: \S+ \S+)")
    DEAD = re.compile(r"^\s*#\s*if\s+0\b")
    GOOD = {"daemon/a.cpp": f"// {MARK}: wait for DPDK 23, which reports it\n", "docs/a.md": "#if 0\n"}
    BAD = [{"daemon/a.cpp": f"// {MARK}\n"}, {"daemon/a.cpp": f"int a;  // {MARK}: later\n"},
           {"tests/a.py": "# FIX" + "ME\n"}, {"daemon/a.hpp": "#if 0\nint a;\n#endif\n"}]

    @staticmethod
    def check(root: Path):
        findings = []
        for path in project.text_files(root):
            for number, line in enumerate(project.read(root, path).splitlines(), 1):
                match = OpenEnds.WORDS.search(line)
                if match:
                    findings.append(f"{path}:{number}: {match.group(1)} without a reason (write '{match.group(1)}: what and why')")
                if OpenEnds.DEAD.match(line) and Path(path).suffix in project.SOURCE_SUFFIXES:
                    findings.append(f"{path}:{number}: code switched off with #if 0")
        return findings
