#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Boots the lab and runs a script in its dom0, for looking around and trying: boot.py [options] SCRIPT [FILE...]

The script and the files are in /lab of dom0, which is the working directory; the build's programs are in the path with --build.
Its output is printed as it comes; what it leaves in /lab, and the serial log, stay in WORK/boot-try. Exit status: the script's.
"""

import argparse
import os
import pathlib
import shutil
import sys
import time

import overlay
import run
from machine import Machine


def follow(step, timeout_s):
    """Prints the step's output until it ends. Returns its exit status."""
    end = time.monotonic() + timeout_s
    printed = 0
    while True:
        status, output = step.status, step.output
        print(output[printed:], end="", flush=True)
        printed = len(output)
        if status is not None:
            return status
        if time.monotonic() > end or not step.machine.alive:
            print(f"boot.py: no end within {timeout_s} s, or the machine has died", file=sys.stderr)
            return 124
        time.sleep(0.2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hypervisor", default="stock", help='"stock", "patched", "flask", or the path of a Xen image')
    parser.add_argument("--build", type=pathlib.Path, help="put this build folder's programs into dom0 and the domUs")
    parser.add_argument("--domu-program", type=pathlib.Path, action="append", default=[], help="put this program into the domUs")
    parser.add_argument("--dom0-program", type=pathlib.Path, action="append", default=[], help="put this program into dom0")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path(os.environ.get("XEN_WORK", run.ROOT / "build/xen")))
    parser.add_argument("--timeout", type=float, default=600, help="seconds for the script (600)")
    parser.add_argument("--qemu", action="append", default=[], help="an argument for QEMU; may be repeated")
    parser.add_argument("--xen", action="append", default=[], help="an argument for Xen; may be repeated")
    parser.add_argument("script", type=pathlib.Path)
    parser.add_argument("files", type=pathlib.Path, nargs="*")
    options = parser.parse_args()
    if (status := run.prepare(options.work, {options.hypervisor})) != 0:
        return status
    work = options.work.resolve()
    folder = work / "boot-try"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tree = overlay.for_dom0(options.build, work, folder, options.dom0_program)
    part = overlay.for_domu(options.build, work, folder, options.domu_program)
    with Machine(work, options.hypervisor, folder, overlay=[tree], domu_parts=[part], qemu_options=options.qemu,
                 xen_options=options.xen) as machine:
        print(f"boot.py: booted in {machine.boot_s:.0f} s; logs are in {folder}", file=sys.stderr)
        for file in (options.script, *options.files):
            shutil.copy(file, machine.share / file.name)
        return follow(machine.start_step(f"cd /lab && bash ./{options.script.name}"), options.timeout)


if __name__ == "__main__":
    sys.exit(main())
