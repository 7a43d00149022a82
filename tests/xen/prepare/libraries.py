#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Copies the shared libraries that programs need, and their loader, out of a root tree: libraries.py --root R --to FOLDER PROGRAM...

Reads DT_NEEDED itself, so that the programs of another tree are never run. A library that no folder of the loader's default
path holds is an error.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys

FOLDERS = ["usr/lib/x86_64-linux-gnu", "usr/lib", "lib64"]


def needed(file):
    """(DT_NEEDED names, DT_RUNPATH folders, interpreter or None)."""
    said = subprocess.run(["readelf", "-W", "-d", "-l", file], capture_output=True, text=True, check=True).stdout
    names, paths, interpreter = [], [], None
    for line in said.splitlines():
        if "(NEEDED)" in line:
            names.append(line.split("[")[1].split("]")[0])
        elif "(RUNPATH)" in line or "(RPATH)" in line:
            paths += line.split("[")[1].split("]")[0].split(":")
        elif "Requesting program interpreter" in line:
            interpreter = line.split(": ")[1].rstrip("]")
    return names, paths, interpreter


def find(root, name, extra=()):
    for folder in [*(path.lstrip("/") for path in extra), *FOLDERS]:
        candidate = root / folder / name
        if candidate.exists():
            return candidate
    return None


def closure(root, programs, but=()):
    """{path inside the tree: file} of all libraries of the programs but these, which are looked for nowhere."""
    found, todo = {}, list(programs)
    while todo:
        file = todo.pop()
        names, paths, interpreter = needed(file)
        wanted = [(name, find(root, name, paths)) for name in names if name not in but]
        if interpreter:
            wanted.append((interpreter, root / interpreter.lstrip("/")))
        for name, library in wanted:
            if library is None or not library.exists():
                raise SystemExit(f"{file} needs {name}, and {root} has none")
            inside = library.relative_to(root)
            if inside not in found:
                found[inside] = library
                todo.append(library)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path("/"), help="tree to copy from (/)")
    parser.add_argument("--to", type=pathlib.Path, required=True, help="tree to copy to")
    parser.add_argument("--unless-in", type=pathlib.Path, help="leave out what this tree has")
    parser.add_argument("--but", default=[], action="append", help="a library's name; may be given again")
    parser.add_argument("programs", nargs="+", type=pathlib.Path)
    options = parser.parse_args()
    for inside, library in sorted(closure(options.root, options.programs, options.but).items()):
        if options.unless_in is not None and find(options.unless_in, inside.name):
            continue
        target = options.to / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)


if __name__ == "__main__":
    sys.exit(main())
