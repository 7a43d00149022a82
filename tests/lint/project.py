# SPDX-License-Identifier: BSD-2-Clause
"""The project's files as the lints see them: paths below a root, text, and code without comments and strings."""
import os
import re
from pathlib import Path

SOURCE_SUFFIXES = {".c", ".h", ".cpp", ".hpp", ".in"}
SCRIPT_SUFFIXES = {".py", ".sh", ".bash", ".cmake", ".pml", ".mk"}
TEXT_SUFFIXES = SOURCE_SUFFIXES | SCRIPT_SUFFIXES | {
    ".md", ".txt", ".json", ".toml", ".service", ".socket", ".target", ".svg", ".1", ".5", ".7", ".8", ".dict"}
NAMES = {"CMakeLists.txt", "Makefile", "LICENSE", ".clang-format", ".clang-tidy", ".gitignore"}
SKIPPED = {".git", "__pycache__", ".cache"}


def files(root: Path):
    """Relative paths (posix text) of all files of ours, sorted; build folders and what Git keeps are left out."""
    found = []
    for folder, folders, names in os.walk(root):
        top = Path(folder) == root
        folders[:] = [f for f in folders if f not in SKIPPED and not (top and re.match(r"build(-.*)?$", f))]
        found += [(Path(folder) / name).relative_to(root).as_posix() for name in names]
    return sorted(found)


def text_files(root: Path):
    return [p for p in files(root)
            if Path(p).suffix in TEXT_SUFFIXES or Path(p).name in NAMES or p.startswith(".ci/")]


def sources(root: Path):
    """C and C++ files."""
    return [p for p in files(root) if Path(p).suffix in {".c", ".h", ".cpp", ".hpp"}]


def read(root: Path, path: str) -> str:
    return (root / path).read_text(encoding="utf-8", errors="replace")


_TOKENS = re.compile(
    r'R"(?P<delimiter>[^()\\ ]{0,16})\(.*?\)(?P=delimiter)"'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'"
    r"|//[^\n]*"
    r"|/\*.*?\*/", re.DOTALL)


def code(text: str) -> str:
    """The text with comments, strings and characters blanked; lines and columns stay where they are."""
    return _TOKENS.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def line_of(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1
