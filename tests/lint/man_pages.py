# SPDX-License-Identifier: BSD-2-Clause
"""Manual pages are well formed: mandoc has no warning for them."""
import re
import shutil
import subprocess
from pathlib import Path

import project
from formatting import Skip


def check(root: Path):
    if shutil.which("mandoc") is None:
        raise Skip("mandoc is not installed")
    pages = [path for path in project.files(root) if re.search(r"\.[1-9]$", path)]
    if not pages:
        return ["no manual page found"]
    lint = subprocess.run(["mandoc", "-Tlint", "-W", "warning", *pages], cwd=root, capture_output=True, text=True)
    return (lint.stdout + lint.stderr).splitlines()


PAGE = '.TH SAMPLE 1 "2026-11-22"\n.SH NAME\nsample \\- does nothing\n'
GOOD = {"sample.1": PAGE}
BAD = [
    {"sample.1": PAGE.replace('"2026-11-22"', '""')},
    {"sample.1": PAGE + ".SH\n"},
    {"readme.md": "# no page at all\n"},
]
