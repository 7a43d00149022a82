# SPDX-License-Identifier: BSD-2-Clause
"""Nothing of the machine that it was written on: no absolute path of a checkout or a home, no package mirror's name. Which
names those are is asked of the machine, not written down here."""
import os
import re
from pathlib import Path

import project

APT_SOURCES = Path("/etc/apt")
SYSTEM_FOLDERS = {"usr", "etc", "bin", "sbin", "lib", "lib64", "var", "run", "tmp", "proc", "sys", "dev", "opt", "local", "share"}
HOST = re.compile(r"\b(?:https?|ftp)://(?:[^/@\s\"']*@)?([A-Za-z0-9.-]+)")


def apt_hosts(folder: Path):
    """Host names of the package mirrors of this machine: sources and proxies."""
    hosts = set()
    for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
        if path.is_file() and path.suffix in {".list", ".sources", ".conf", ""} and path.stat().st_size < 1 << 20:
            hosts |= set(HOST.findall(path.read_text(encoding="utf-8", errors="replace")))
    return {host.rstrip(".") for host in hosts if host not in {"localhost", "127.0.0.1"}}


def private_prefixes(root: Path):
    """The checkout's own path and its first folder (when that is none that every system has), and home folders."""
    prefixes = {os.environ.get("HOME", "")} - {"/root"}  # every system has that one
    resolved = root.resolve()
    prefixes.add(resolved.as_posix())
    if len(resolved.parts) > 1 and resolved.parts[1] not in SYSTEM_FOLDERS | {"home", "root", "builds", "src", "srv", "mnt"}:
        prefixes.add("/" + resolved.parts[1] + "/")
    return sorted(p for p in prefixes if len(p) > 3)


def find(root: Path, prefixes, hosts):
    findings = []
    for path in project.text_files(root):
        for number, line in enumerate(project.read(root, path).splitlines(), 1):
            findings += [f"{path}:{number}: a path of this machine: {p}" for p in prefixes
                         if re.search(r"(?<![\w.$}/-])" + re.escape(p) + (r"(?![\w-])" if p[-1] != "/" else ""), line)]
            findings += [f"{path}:{number}: a package registry's host" for host in hosts if host in line]
    return findings


def check(root: Path):
    return find(root, private_prefixes(root), apt_hosts(APT_SOURCES))


# For the self-test: the same search with what a made-up machine would give.
def check_sample(root: Path):
    apt = root / "sample-apt"
    hosts = apt_hosts(apt)
    if apt.is_dir() and not hosts:
        return ["sample: no host found in the apt configuration"]
    return find(root, ["/checkout/", "/home/" + "joe"], hosts)


_APT = "deb http://user:pass@mirror.example.test:3142/debian bookworm main\n"
GOOD = {"daemon/a.cpp": 'auto p = "/run/librettos/x";\n', "docs/a.md": "see build/checkout/x\n", "sample-apt/sources.list": _APT,
        "docs/b.md": "${X}/checkout/a\n"}
BAD = [
    {"daemon/a.cpp": 'auto p = "/checkout/main/x";\n'},
    {"Makefile": "x:\n\t/home/" + "joe/run\n"},
    {"sample-apt/sources.list": _APT, ".ci/run": "curl http://mirror.example" + ".test:3142/x\n"},
    {"sample-apt/sources.list.d/a.sources": "Types: deb\nURIs: http://mirror.example.test/debian\n", "docs/a.md": "mirror.example.test\n"},
]
