# SPDX-License-Identifier: BSD-2-Clause
"""The lab in dom0 of a real Xen: guests are domUs that run already, one of each name; all else is as in lab.py.

Commands get into a domU by tests/xen/dom0/in_domu.sh, which is /lab/in_domu.sh here. What a guest's program says goes to the
domU's console, which xenconsoled keeps in a file.
"""

import contextlib
import pathlib
import shlex
import signal
import subprocess

from lab import PATIENCE_S, Failure, Lab, Process

DOMAINS = ("web", "cache", "echo", "db", "other")
CONSOLES = pathlib.Path("/lab/console")
PID = "/run/guest.pid"
FOR_EVER_S = 100_000


class Domain:
    """A domU that takes commands."""

    def __init__(self, name):
        done = subprocess.run(["xl", "domid", name], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failure(f"there is no domU {name}: {done.stderr.strip()}")
        self._id = done.stdout.strip()
        self.console = CONSOLES / f"guest-{name}.log"

    def command(self, script, timeout_s):
        """The command in dom0 whose output and status are those of the script in the domain."""
        return ["bash", "-c", 'bash /lab/in_domu.sh "$1" "$2" <<<"$3"', "in_domu", self._id, str(int(timeout_s)), script]

    def run(self, script):
        done = subprocess.run(self.command(script, PATIENCE_S), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failure(f"exit status {done.returncode} in a domU of: {script}\n{done.stdout}{done.stderr}")
        return done.stdout


class DomainGuest(Process):
    """librettos-guest with its command, in the domU of the guest's name. A Process of dom0 stands for it."""

    def __init__(self, laboratory, name, command, options):
        self.guest_name, self._domain = name, Domain(name)
        self._said_before = self._console_size()
        words = ["librettos-guest", "run", "--name", name, *options, "--", *command]
        super().__init__(name, self._domain.command(
            f"echo $$ >{PID}\nexec >/dev/hvc0 2>&1\nexec {shlex.join(words)}", FOR_EVER_S), laboratory.directory / f"{name}.log")

    def _console_size(self):
        return self._domain.console.stat().st_size if self._domain.console.exists() else 0

    @property
    def log(self):
        """The console since the start, and what dom0 said about it."""
        with open(self._domain.console, "rb") as console:
            console.seek(self._said_before)
            said = console.read().decode(errors="replace").replace("\r\n", "\n")
        return said + self.log_path.read_text(errors="replace")

    def run(self, command):
        """Output of a program in the domU, without its network."""
        return self._domain.run(shlex.join(map(str, command)))

    def signal(self, number):
        """To librettos-guest."""
        self._domain.run(f"kill -{int(number)} $(cat {PID}) || true")

    def stop(self, timeout_s=PATIENCE_S):
        """SIGTERM, after the time SIGKILL. Returns the exit status."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.status is None:
                self.signal(number)
                with contextlib.suppress(Failure):
                    return self.wait(timeout_s)
        super().signal(signal.SIGKILL)
        return self.wait()


class XenLab(Lab):
    """See the module. A hypervisor with or without the portmap is there already."""

    scale, rate_scale = 1 / 20, 1 / 200  # a kill takes seconds there, and a download has to outlast several

    def hypervisor_config(self):
        return {"hypervisor": "xen", "port": {"memory_mib": 128, "buffers": 8192}, "attach": {"names": list(DOMAINS)}}

    def start_hypervisord(self):
        """There is a real one."""

    def guest_program(self, name):
        return name

    def start_guest(self, name, command, options):
        if "--dedicated" in options:  # it has a device already, and thus an offer
            self.ctl("attach", name, "--dedicated")
        return DomainGuest(self, name, command, options)
