# SPDX-License-Identifier: BSD-2-Clause
"""Every group of every *_test.py beside this file is registered in CMakeLists.txt: all_groups.py CMAKELISTS."""

import pathlib
import re
import sys


def main():
    listed = {(match[1], group) for match in re.finditer(r"^smoke_test\((\w+)([^)]*)\)", pathlib.Path(sys.argv[1]).read_text(), re.M)
              for group in match[2].split()}
    written = {(path.stem.removesuffix("_test"), group) for path in pathlib.Path(__file__).parent.glob("*_test.py")
               for group in re.findall(r"^class (\w+)\((?:\w+, )?case\.SmokeTest\):", path.read_text(), re.M)}
    for file, group in sorted(written - listed):
        print(f"{file}_test.py: {group} is not in CMakeLists.txt")
    for file, group in sorted(listed - written):
        print(f"CMakeLists.txt: there is no {group} in {file}_test.py")
    return 1 if written != listed or not written else 0


if __name__ == "__main__":
    sys.exit(main())
