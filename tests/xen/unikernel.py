# SPDX-License-Identifier: BSD-2-Clause
"""A rumprun unikernel of the emulated machine, which runs rumprun/services.c or smoke_echo. The images are not built here: docs/rump.md."""

import json
import os
import pathlib
import shlex
import shutil
import time
import unittest

from machine import PATIENCE, Failure

IMAGES = pathlib.Path(os.environ.get("XEN_RUMPRUN", ""))
BOOTS, BOOT_S = 5, 40  # 1 boot in 8 hangs (docs/rump.md)
READY = "services: ready"
CALLED = 'calling "%s" main()'


def require_images(*names):
    """Skips the group where they are not."""
    for name in names:
        if not os.environ.get("XEN_RUMPRUN") or not (IMAGES / name).exists():
            raise unittest.SkipTest(f"no unikernel {name} in the folder $XEN_RUMPRUN: docs/rump.md says how it is baked")


def put_images(machine, *names):
    """Into dom0."""
    for name in names:
        shutil.copy(IMAGES / name, machine.share / name)
        machine.run(f"[ -e /tmp/{name} ] || cp /lab/{name} /tmp/")  # xl maps the file: not from a shared folder


class Unikernel:
    """`command` is the program's. `net` is rumprun's configuration of an interface, for an image that has none of ours; `settings` are more lines for xl."""

    def __init__(self, machine, name, image, command, *, net=None, settings=()):
        self.machine, self.name, self.domid = machine, name, None
        extra = {**({"net": net} if net else {}), "cmdline": command}
        self._configuration = "\n".join([
            f'name = "{name}"', f'kernel = "/tmp/{image}"', "memory = 64", "vcpus = 1", f"extra = '{json.dumps(extra)}'",
            'on_poweroff = "destroy"', 'on_reboot = "destroy"', 'on_crash = "destroy"', *settings]) + "\n"

    def _console_file(self):
        return self.machine.share / "console" / f"guest-{self.name}.log"

    def console(self):
        """What it has said since it was created."""
        file = self._console_file()
        return file.read_bytes()[self._console_from :].decode(errors="replace") if file.exists() else ""

    def create(self):
        """Once, whatever becomes of it."""
        path = self.machine.put(f"domu/{self.name}.cfg", self._configuration)
        self._console_from = self._console_file().stat().st_size if self._console_file().exists() else 0
        self.domid = int(self.machine.run(f"xl create {path} >&2 && echo DOMID $(xl domid {shlex.quote(self.name)})", timeout_s=120)
                         .split("DOMID ")[1])

    def start(self, said=READY):
        """Until it has said that."""
        for _ in range(BOOTS):
            self.create()
            end = time.monotonic() + BOOT_S * PATIENCE
            while time.monotonic() < end:
                if said in self.console():
                    return self
                time.sleep(0.2)
            self.destroy()
        raise Failure(f"unikernel {self.name} has not said {said!r} in {BOOTS} boots:\n{self.console()[-3000:]}")

    def destroy(self):
        if self.domid is not None:
            self.machine.run(f"xl destroy {self.domid} 2>/dev/null || ! xl domname {self.domid} 2>/dev/null")
            self.domid = None
