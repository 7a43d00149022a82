# SPDX-License-Identifier: BSD-2-Clause
"""Sources look as clang-format makes them. Another major version formats differently: then the check is skipped."""
import os
import re
import shutil
import subprocess
from pathlib import Path

import project

WANTED_MAJOR = 14


class Skip(Exception):
    pass


def tool():
    for name in (f"clang-format-{WANTED_MAJOR}", "clang-format"):
        path = shutil.which(name)
        if path:
            version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
            if re.search(rf"version {WANTED_MAJOR}\.", version):
                return path
    raise Skip(f"clang-format {WANTED_MAJOR} is not installed")


def check(root: Path):
    formatter = tool()
    paths = project.sources(root)
    findings = []
    for start in range(0, len(paths), 40):
        command = [formatter, "--dry-run", "--style=file"] + paths[start:start + 40]
        result = subprocess.run(command, cwd=root, capture_output=True, text=True, env=dict(os.environ, LC_ALL="C"))
        places = re.findall(r"^(\S+?):(\d+):\d+: (?:warning|error): (.*)$", result.stderr, re.MULTILINE)
        seen = set()
        for path, line, text in places:  # one line per file says enough
            if path not in seen:
                findings.append(f"{path}:{line}: {text.replace(' [-Wclang-format-violations]', '')}: clang-format -i {path}")
            seen.add(path)
        if result.returncode != 0 and not places:
            findings.append("clang-format failed: " + result.stderr.strip()[:400])
    return findings


_STYLE = "# SPDX\n---\nLanguage: Cpp\nBasedOnStyle: Google\n...\n"
GOOD = {".clang-format": _STYLE, "daemon/a.cpp": "int f() { return 1; }\n"}
BAD = [{".clang-format": _STYLE, "daemon/a.cpp": "int  f(){return 1;}\n"},
       {".clang-format": _STYLE, "guest-frontend/a.c": "int f( void );\n"}]
