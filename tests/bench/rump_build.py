# SPDX-License-Identifier: BSD-2-Clause
"""Compiles rump_peer.c against the libraries of a rump kernel, which are somebody else's: docs/rump.md says which were used."""

import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARIES = ("rumpnet_config", "rumpnet_shmif", "rumpnet_virtif", "rumpnet_netinet", "rumpnet_net", "rumpnet", "rump", "rumpuser")
IPV6 = "rumpnet_netinet6"  # of which a rump kernel need not be built


class NoRumpKernel(Exception):
    """What is missing."""


def has_library(folder, name):
    return (pathlib.Path(folder) / f"lib/lib{name}.so").exists()


def _names(folder):
    return [*([IPV6] if has_library(folder, IPV6) else []), *LIBRARIES]


def rump_libraries(folder):
    """Their files, by the names that a program looks for."""
    return [pathlib.Path(folder) / f"lib/lib{name}.so.0" for name in _names(folder)]


def build_peer(folder, program, first=()):
    """`first`: what the linker is to get before the rump kernel's libraries. CC is the compiler."""
    if not has_library(folder, "rumpnet_netinet"):
        raise NoRumpKernel(f"there is no lib/librumpnet_netinet.so in {folder}: name the folder of a rump kernel")
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-rdynamic", f"-I{ROOT}", f"-I{ROOT}/guest-frontend/include", f"-I{folder}/include",
                    str(ROOT / "tests/bench/rump_peer.c"), "-o", str(program), f"-L{folder}/lib", f"-Wl,-rpath,{folder}/lib",
                    "-Wl,--no-as-needed", *first, *[f"-l{name}" for name in _names(folder)], "-lpthread"], check=True)
