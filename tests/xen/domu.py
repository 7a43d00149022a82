# SPDX-License-Identifier: BSD-2-Clause
"""A domU of the emulated machine: PV or PVH, from the lab's initramfs, with commands run in it over xenstore.

    with DomU(machine, "web", kind="pvh") as web:
        print(web.run("cat /sys/hypervisor/guest_type"))
"""

import itertools
import shlex

from machine import PATIENCE, Failure, Step, wait_for, waiting_loop

START_S = 240
SAVE_S = 120


def pvh_obstacle(machine):
    """Why no PVH domU can be had on this machine; "" where one can."""
    capabilities = machine.run("xl info virt_caps").split()
    if "hvm" in capabilities and "shadow" not in capabilities:
        return "this hypervisor is built without shadow paging, and under emulation nested paging does not get a PVH domU up"
    return "" if "hvm" in capabilities else "this hypervisor has no HVM"


class DomU:
    """`settings` are more lines of its xl configuration, `arguments` more of its kernel's; `hook` runs in dom0 with $domid while it is created but paused.
    `initramfs`: a file in dom0, with more than others have."""

    def __init__(self, machine, name, *, kind="pv", memory_mib=256, settings=(), arguments="", hook="", initramfs="/tmp/domu.cpio"):
        self.machine, self.name, self.kind, self.domid = machine, name, kind, None
        self._hook, self._commands, self._saved = hook, itertools.count(1), f"/tmp/{name}.saved"
        self._configuration = "\n".join([
            f'name = "{name}"', f'type = "{kind}"', 'kernel = "/boot/vmlinux"', f'ramdisk = "{initramfs}"',
            f'extra = "console=hvc0 loglevel=5 mitigations=off rodata=off panic=1 {arguments}"', f"memory = {memory_mib}", "vcpus = 1",
            'on_poweroff = "destroy"', 'on_reboot = "destroy"', 'on_crash = "destroy"',
            # The emulation has no nested paging that holds, and a time stamp counter that Xen must not trap.
            *(["hap = 0", 'tsc_mode = "native"'] if kind == "pvh" else []),
            *(['seclabel = "system_u:system_r:domU_t"'] if machine.hypervisor == "flask" else []), *settings]) + "\n"

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.destroy()

    def create(self):
        """Starts it; does not wait for its user space."""
        path = self.machine.put(f"domu/{self.name}.cfg", self._configuration)
        self.domid = int(self.machine.run(
            f"xl create -p {path} >&2 && domid=$(xl domid {shlex.quote(self.name)}) || exit\n{self._hook}\n"
            f"xl unpause $domid >&2 && echo DOMID $domid", timeout_s=120).split("DOMID ")[1])
        return self

    def wait(self):
        """Until it takes commands."""
        try:
            self.machine.wait_until(f"xenstore-exists /local/domain/{self.domid}/data/ready", f"domU {self.name} to be up",
                                    timeout_s=START_S)
        except Failure as failure:
            raise Failure(f"{failure}\n{self.console()[-3000:]}") from None
        return self

    def start(self):
        self.create()
        return self.wait()

    def checkpoint(self):
        """Its state goes to a file; it goes on as the same domain."""
        self.machine.run(f"xl save -c {self.domid} {self._saved} >&2 && rm {self._saved}", timeout_s=SAVE_S)

    def save(self):
        """Its state goes to a file, and the domain ends."""
        self.machine.run(f"xl save {self.domid} {self._saved} >&2", timeout_s=SAVE_S)
        self.domid = None

    def restore(self):
        """From what save() left, as another domain; does not wait for its user space."""
        self.domid = int(self.machine.run(f"xl restore {self._saved} >&2 && rm {self._saved} && xl domid {self.name}", timeout_s=SAVE_S).split()[-1])
        return self

    def destroy(self):
        """Without notice to it; nothing if it is gone."""
        if self.domid is not None:
            self.machine.run(f"xl destroy {self.domid} 2>/dev/null || ! xl domname {self.domid} 2>/dev/null")
            self.domid = None

    def start_step(self, command, *, timeout_s=60) -> Step:
        """Runs a shell command in the domU, as a Step of dom0."""
        file = self.machine.put(f"domu/{self.name}.{self.domid}.{next(self._commands)}", command)
        return self.machine.start_step(f"bash /lab/in_domu.sh {self.domid} {int(timeout_s * PATIENCE)} <{file}")

    def run(self, command, *, timeout_s=60, check=True):
        """Output of a shell command in the domU; Failure if its exit status is not 0, unless `check` is False."""
        step = self.start_step(command, timeout_s=timeout_s)
        status = step.wait(timeout_s + 60)
        if check and status != 0:
            raise Failure(f"exit status {status} in domU {self.name} of: {command}\n{step.output[-3000:]}")
        return step.output

    def wait_until(self, script, what, *, timeout_s=60):
        """Runs the script in the domU again and again, until its exit status is 0. Returns its output then."""
        return wait_for(self.start_step(waiting_loop(script, timeout_s), timeout_s=timeout_s + 30), what, timeout_s)

    def console(self):
        """What its console has said."""
        file = self.machine.share / "console" / f"guest-{self.name}.log"
        return file.read_text(errors="replace") if file.exists() else ""
